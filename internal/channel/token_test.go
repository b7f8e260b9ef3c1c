package channel_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/schemas"
)

const (
	sharedToken = "known-to-both-tenants"
	ownToken    = "known-to-one-tenant-only"
)

// tokenFiles are the files of a bot shop of each tenant. Its secret both is the shared token, and before that its own one.
func tokenFiles(t *testing.T, channels map[string]string) *files {
	t.Helper()
	f := &files{t: t, dir: t.TempDir()}
	for tenant, list := range channels {
		require.NoError(t, os.Mkdir(filepath.Join(f.dir, tenant), 0o700))
		text := "bot: shop\nsecrets: {key: {secret: KEY}, own: {secret: OWN}, both: [{secret: KEY}, {secret: OWN}]}\nchannels: " + list
		require.NoError(t, os.WriteFile(filepath.Join(f.dir, tenant, "shop.yaml"), []byte(text), 0o600))
	}
	secrets := t.TempDir()
	for tenant := range channels {
		require.NoError(t, os.Mkdir(filepath.Join(secrets, tenant), 0o700))
		for name, value := range map[string]string{"KEY": sharedToken, "OWN": ownToken + tenant} {
			require.NoError(t, os.WriteFile(filepath.Join(secrets, tenant, name), []byte(value), 0o600))
		}
	}
	set, err := bot.Load(f.dir, bot.Options{Dialects: dialects.Specs(), SecretsDir: secrets})
	require.NoError(t, err)
	f.set = set
	return f
}

// administrationOf returns the administration of one process, its bucket, and its log.
func administrationOf(t *testing.T, f *files) (*channel.Administration, *bucket, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	kept, r := &bucket{}, channel.NewRegistry(f, bot.Options{}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, r.Follow(t.Context(), kept, func() {}))
	return &channel.Administration{Registry: r, Store: kept}, kept, &log
}

func create(t *testing.T, a *channel.Administration, tenant, code, secret string) (channel.Entry, error) {
	t.Helper()
	entry, _, err := a.Create(t.Context(), schemas.BotID{Tenant: tenant, Bot: "shop"},
		[]byte(`{"code":"`+code+`","type":"public","token_local":"`+secret+`"}`))
	return entry, err
}

func opened(a *channel.Administration, token string) string {
	ch, ok := a.ByToken(sha256.Sum256([]byte(token)))
	if !ok {
		return ""
	}
	return ch.Tenant + "/" + ch.Code
}

// TestByToken_OfTwoTenants: a token that two tenants have opens nothing, wherever their channels are defined.
func TestByToken_OfTwoTenants(t *testing.T) {
	t.Parallel()
	const none, with = "[]", "[{code: file, type: public, token_local: both}]"
	for name, c := range map[string]struct {
		files map[string]string
		api   []string // tenants with a channel of the admin API
	}{
		"both of the admin API":          {map[string]string{"acme": none, "other": none}, []string{"acme", "other"}},
		"one of a bot file":              {map[string]string{"acme": none, "other": with}, []string{"acme"}},
		"both of bot files":              {map[string]string{"acme": with, "other": with}, nil},
		"both of bot files, and a third": {map[string]string{"acme": with, "other": with, "third": none}, []string{"third"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _, log := administrationOf(t, tokenFiles(t, c.files))
			for i, tenant := range c.api {
				entry, err := create(t, a, tenant, "late", "both")
				require.NoError(t, err, "it does not show that another tenant has the token")
				require.NoError(t, entry.Problem)
				if i == 0 && len(c.api) > 1 {
					require.Equal(t, tenant+"/late", opened(a, sharedToken))
				}
			}
			require.Empty(t, opened(a, sharedToken))
			if len(c.api) > 0 {
				require.Contains(t, log.String(), "another tenant has the same token: it opens neither channel")
			}
			for _, tenant := range c.api {
				require.Equal(t, tenant+"/late", opened(a, ownToken+tenant), "its other token is its own")
			}
		})
	}
}

// TestCreate_TokenOfTheTenant: a tenant has one channel for a token, which stays where it was.
func TestCreate_TokenOfTheTenant(t *testing.T) {
	t.Parallel()
	a, _, _ := administrationOf(t, tokenFiles(t, map[string]string{"acme": "[{code: file, type: public, token_local: own}]"}))
	refused := func(err error, code string) {
		t.Helper()
		var invalid *channel.InvalidError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, "$.token_local: opens channel "+code+" of bot shop already", invalid.Reason)
	}
	_, err := create(t, a, "acme", "late", "own")
	refused(err, "file")
	_, err = create(t, a, "acme", "late", "both")
	refused(err, "file")
	first, err := create(t, a, "acme", "first", "key")
	require.NoError(t, err)
	_, err = create(t, a, "acme", "second", "key")
	refused(err, "first")
	require.Equal(t, "acme/first", opened(a, sharedToken))

	second, err := create(t, a, "acme", "second", "")
	require.NoError(t, err)
	_, _, err = a.Change(t.Context(), second.ID, second.Revision, []byte(`{"code":"second","type":"public","token_local":"key"}`), false)
	refused(err, "first")
	_, _, err = a.Change(t.Context(), first.ID, first.Revision,
		[]byte(`{"code":"first","type":"public","token_local":"key","opts":{"title":"First"}}`), false)
	require.NoError(t, err, "a token of its own")
	require.Equal(t, "acme/first", opened(a, sharedToken))
}

// TestCreate_TokenOfOtherStarter: two starters store channels of one token, and neither knows that of the other one.
func TestCreate_TokenOfOtherStarter(t *testing.T) {
	t.Parallel()
	for tenant, failed := range map[string]bool{"acme": true, "other": false} {
		t.Run(tenant, func(t *testing.T) {
			t.Parallel()
			a, kept, _ := administrationOf(t, tokenFiles(t, map[string]string{"acme": "[]", "other": "[]"}))
			kept.before = func() { kept.put("early", withToken(t, tenant, "early", time.Now())) }
			_, err := create(t, a, "acme", "late", "both")
			if !failed {
				require.NoError(t, err, "another tenant's token")
				require.Empty(t, opened(a, sharedToken))
				return
			}
			require.ErrorIs(t, err, channel.ErrOvertaken)
			require.Equal(t, "acme/early", opened(a, sharedToken))
		})
	}
}

// withToken is a channel of another starter, which is opened by the secret key.
func withToken(t *testing.T, tenant, code string, created time.Time) []byte {
	t.Helper()
	text, err := json.Marshal(channel.Stored{
		BotID: schemas.BotID{Tenant: tenant, Bot: "shop"}, ID: code, Created: created,
		Channel: json.RawMessage(`{"code":"` + code + `","type":"public","token_local":"key"}`),
	})
	require.NoError(t, err)
	return text
}

// TestByToken_StoredTwice: of two stored channels of a tenant with one token the older one is served, after that of a bot
// file.
func TestByToken_StoredTwice(t *testing.T) {
	t.Parallel()
	f := tokenFiles(t, map[string]string{"acme": "[]"})
	a, kept, _ := administrationOf(t, f)
	now := time.Now()
	kept.follower("young", withToken(t, "acme", "young", now), 1)
	kept.follower("old", withToken(t, "acme", "old", now.Add(-time.Hour)), 2)
	kept.follower("youngest", withToken(t, "acme", "youngest", now.Add(time.Hour)), 3)
	require.Equal(t, "acme/old", opened(a, sharedToken))
	for code, want := range map[string]string{
		"old": "", "young": "opens channel old of bot shop already", "youngest": "opens channel old of bot shop already",
	} {
		entry, err := a.Get(code)
		require.NoError(t, err)
		require.Equal(t, want == "", entry.Served != nil, code)
		require.Equal(t, want, strings.TrimPrefix(entry.Shown().Problem, "$.token_local: "))
	}
	f.set = tokenFiles(t, map[string]string{"acme": "[{code: file, type: public, token_local: both}]"}).set
	require.Equal(t, "acme/file", opened(a, sharedToken))
	entry, err := a.Get("old")
	require.NoError(t, err)
	require.ErrorContains(t, entry.Problem, "opens channel file of bot shop already")
}
