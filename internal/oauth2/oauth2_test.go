package oauth2_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/oauth2"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

// issuer is a token endpoint: every fetch returns another token.
type issuer struct {
	*httptest.Server
	fetched atomic.Int64
	last    atomic.Pointer[http.Request]
}

func issue(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int64)) (*issuer, *oauth2.Tokens) {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		i.last.Store(r)
		w.Header().Set("Content-Type", "application/json")
		answer(w, r, i.fetched.Add(1))
	}))
	t.Cleanup(i.Close)
	client, err := egress.New(egress.Options{AllowLoopback: true, AllowPlainHTTP: true})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return i, oauth2.New(client.RoundTripper(time.Minute, 64<<10))
}

func numbered(expires int) func(w http.ResponseWriter, r *http.Request, n int64) {
	return func(w http.ResponseWriter, _ *http.Request, n int64) {
		fmt.Fprintf(w, `{"access_token":"t%d","token_type":"bearer","expires_in":%d}`, n, expires)
	}
}

func (i *issuer) grant() oauth2.Grant {
	return oauth2.Grant{
		BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, TokenURL: i.URL + "/token?key=s3cret", ClientID: "me", Secret: secret.New("hunter2"),
		Scopes: []string{"a", "b"}, Audience: "orders",
	}
}

func TestTokens_FetchedOnceAndKept(t *testing.T) {
	t.Parallel()
	i, c := issue(t, numbered(3600))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, failed := c.Get(t.Context(), i.grant()); failed != nil || got != "t1" {
				t.Errorf("%s %v", got, failed)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, i.fetched.Load())
	r := i.last.Load()
	require.Equal(t, "client_credentials", r.PostForm.Get("grant_type"))
	require.Equal(t, "a b", r.PostForm.Get("scope"))
	require.Equal(t, "orders", r.PostForm.Get("audience"))
	user, password, ok := r.BasicAuth()
	require.True(t, ok)
	require.Equal(t, "me hunter2", user+" "+password)
}

func TestTokens_OnePerGrant(t *testing.T) {
	t.Parallel()
	i, c := issue(t, numbered(3600))
	seen := map[string]bool{}
	for _, change := range []func(*oauth2.Grant){
		func(*oauth2.Grant) {},
		func(g *oauth2.Grant) { g.Tenant = "other" },
		func(g *oauth2.Grant) { g.Bot = "other" },
		func(g *oauth2.Grant) { g.ClientID = "other" },
		func(g *oauth2.Grant) { g.Secret = secret.New("rotated") },
		func(g *oauth2.Grant) { g.Scopes = []string{"a"} },
		func(g *oauth2.Grant) { g.Audience = "other" },
	} {
		g := i.grant()
		change(&g)
		got, failed := c.Get(t.Context(), g)
		require.Nil(t, failed)
		require.False(t, seen[got])
		seen[got] = true
	}
}

func TestTokens_ExpiringTokenFetchedAgain(t *testing.T) {
	t.Parallel()
	i, c := issue(t, numbered(5)) // ends sooner than an attempt may take
	for n := range 3 {
		got, failed := c.Get(t.Context(), i.grant())
		require.Nil(t, failed)
		require.Equal(t, fmt.Sprintf("t%d", n+1), got)
	}
}

func TestTokens_Forget(t *testing.T) {
	t.Parallel()
	i, c := issue(t, numbered(3600))
	first, _ := c.Get(t.Context(), i.grant())
	c.Forget(i.grant(), first)
	second, _ := c.Get(t.Context(), i.grant())
	require.Equal(t, "t2", second)
	c.Forget(i.grant(), first) // a late rejection of the old token
	third, _ := c.Get(t.Context(), i.grant())
	require.Equal(t, "t2", third)
}

func TestTokens_Failures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer    func(w http.ResponseWriter, r *http.Request, n int64)
		kind      fault.Kind
		retryable bool
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"canary"}`)
		}, fault.Config, false},
		"an unknown error code": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error":"canary"}`)
		}, fault.Config, false},
		"away": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}, fault.Connect, true},
		"redirect": {func(w http.ResponseWriter, r *http.Request, _ int64) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, fault.Redirect, false},
		"garbage": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			_, _ = io.WriteString(w, "canary")
		}, fault.BadResponse, false},
		"no token": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			_, _ = io.WriteString(w, `{"token_type":"bearer"}`)
		}, fault.BadResponse, false},
		"a line break": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			_, _ = io.WriteString(w, `{"access_token":"canary\r\nX: 1","token_type":"bearer"}`)
		}, fault.BadResponse, false},
		"huge": {func(w http.ResponseWriter, _ *http.Request, _ int64) {
			_, _ = io.WriteString(w, `{"access_token":"`+strings.Repeat("canary", 20_000)+`"}`)
		}, fault.TooLarge, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, cache := issue(t, c.answer)
			got, failed := cache.Get(t.Context(), i.grant())
			require.Empty(t, got)
			require.NotNil(t, failed)
			require.Equal(t, c.kind, failed.Kind, failed.Message)
			require.Equal(t, c.retryable, failed.Retryable())
			for _, hidden := range []string{"canary", "hunter2", "s3cret"} {
				require.NotContains(t, failed.Error(), hidden)
			}
			before := i.fetched.Load()
			_, again := cache.Get(t.Context(), i.grant())
			require.Equal(t, failed, again)
			require.Equal(t, before, i.fetched.Load(), "a failure is kept for a moment")
		})
	}
}
