package adminapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/role"
)

func TestOperators_Roles(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	api := API{Log: discardLogger, Operators: operatorsOf(t, everyRole), Channels: o.channels}.Handler()
	ask := func(method, token string) int {
		r := httptest.NewRequest(method, "/admin/v1/channels", strings.NewReader(`{"bot":"shop2","code":"`+token[9:]+`","type":"desk2"}`))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}
	for token, changes := range map[string]bool{tokenOfViewer: false, tokenOfDoer: true, tokenOfOwner: true} {
		require.Equal(t, http.StatusOK, ask(http.MethodGet, token), token)
		require.Equal(t, !changes, ask(http.MethodPost, token) == http.StatusForbidden, token)
	}
	require.Equal(t, http.StatusUnauthorized, ask(http.MethodGet, "wrong-token-of-a-stranger"))
}

func TestOperators_PasswordOfBrowserChangesNothing(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/admin/v1/channels", strings.NewReader(`{}`))
	r.SetBasicAuth("any", operatorToken)
	w := httptest.NewRecorder()
	newOffice(t).ServeHTTP(w, r)
	require.Equal(t, http.StatusUnauthorized, w.Code)
}

func TestOperators_File(t *testing.T) {
	t.Parallel()
	plain, err := parseOperators([]byte("\uFEFF" + operatorToken + "\r\n"))
	require.NoError(t, err)
	for _, operator := range plain {
		require.Equal(t, Operator{Name: "operator", Role: role.Owner}, operator)
	}
	named, err := parseOperators([]byte(everyRole + "dan viewer sha256:" + strings.Repeat("ab", 32)))
	require.NoError(t, err)
	require.Len(t, named, 4)
	for text, want := range map[string]string{
		"":                                     "does not have a token",
		"# only\n":                             "does not have a token",
		"short":                                "line 1: the token is shorter than 20 characters",
		"ann viewer":                           "line 1: expected a name, a role and a token",
		"ann admin " + tokenOfViewer:           "line 1: invalid role of ann, expected viewer, operator or owner",
		"a.b viewer " + tokenOfViewer:          "line 1: invalid name",
		everyRole + operatorToken:              "line 5: a token without a name",
		operatorToken + "\n" + everyRole:       "line 3: a token without a name",
		everyRole + "eve owner " + tokenOfDoer: "line 5: the token belongs to bob already",
		strings.Repeat("#", operatorsMax+1):    "larger than",
	} {
		_, err := parseOperators([]byte(text))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "token-of")
	}
}
