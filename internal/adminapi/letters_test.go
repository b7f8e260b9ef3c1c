package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// TestLetters_Operators serves dead letters by the admin listener: those of all tenants, each request by its role.
func TestLetters_Operators(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, js, err := bus.Connect(ctx, natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	letters := bus.NewDeadLetters(js, streams)
	for n, tenant := range []string{"default", "acme", ""} {
		require.NoError(t, letters.Write(ctx, &bus.FailedEvent{
			BotID: schemas.BotID{Tenant: tenant, Bot: "shop"}, Conversation: "c1", Subject: "hookturn.events." + tenant + ".shop.c1",
			Data: []byte("of " + tenant), Sequence: uint64(n + 1), Received: time.Now(),
		}, fault.New(fault.BadEvent, "not an event")))
	}
	o := newOffice(t)
	server, err := Start("127.0.0.1:0", telemetry.NewMetrics(), &Readiness{}, discardLogger)
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop(ctx)) }()
	server.Enable(API{
		Log: discardLogger, Channels: o.channels, Letters: letterapi.API{
			Letters: letters, Log: discardLogger, Knows: func(context.Context, bus.DeadLetter) (bool, error) { return false, nil },
		},
		Operators: operatorsOf(t, "eve viewer 0123456789abcdef-eve\nbob operator 0123456789abcdef-bob\n"),
	}.Handler())
	call := func(method, path, token string, answer any) int {
		r, err := http.NewRequestWithContext(ctx, method, "http://"+server.Addr()+lettersPath+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer 0123456789abcdef-"+token)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		if answer != nil {
			require.NoError(t, json.Unmarshal(body, answer), string(body))
		}
		return response.StatusCode
	}
	var page letterapi.Page
	require.Equal(t, http.StatusOK, call(http.MethodGet, "", "eve", &page))
	require.Len(t, page.DeadLetters, 3)
	page = letterapi.Page{}
	require.Equal(t, http.StatusOK, call(http.MethodGet, "?tenant=acme", "eve", &page))
	require.Len(t, page.DeadLetters, 1)
	require.Equal(t, http.StatusForbidden, call(http.MethodPost, "/2/replay", "eve", nil))
	var shown letterapi.Shown
	require.Equal(t, http.StatusOK, call(http.MethodGet, "/2", "eve", &shown))
	require.Equal(t, "of acme", string(shown.Data))
	require.Equal(t, http.StatusOK, call(http.MethodPost, "/2/replay", "bob", nil))
	require.Equal(t, []string{
		"/hookturn/acme/shop deadletters_replay requested by bob operator",
		"/hookturn/acme/shop deadletters_replay done by bob operator",
	}, o.audited.taken())
	require.Equal(t, http.StatusNotFound, call(http.MethodPost, "/2/replay", "bob", nil))
	o.audited.err = errors.New("away")
	require.Equal(t, http.StatusInternalServerError, call(http.MethodPost, "/1/replay", "bob", nil))
	require.Equal(t, http.StatusOK, call(http.MethodGet, "/1", "bob", nil), "nothing is changed without an audit event")
	require.Equal(t, http.StatusConflict, call(http.MethodPost, "/3/replay", "bob", nil))
	require.Equal(t, http.StatusMethodNotAllowed, call(http.MethodDelete, "/2", "bob", nil))
	require.Equal(t, http.StatusNotFound, call(http.MethodGet, "/2/else", "bob", nil))
	require.Equal(t, http.StatusUnauthorized, call(http.MethodGet, "", "mallory", nil))
}
