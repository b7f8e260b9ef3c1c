package pubsub

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestSystemNotices_ChannelAndEndpointChanged(t *testing.T) {
	t.Parallel()
	js := setup(t)
	w := New(js)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	received := make(chan schemas.Notice, 10)
	stop, err := w.Notices(shop, "hookturn.>", func(class string, text []byte) {
		var n schemas.Notice
		if json.Unmarshal(text, &n) == nil && n.Type == class {
			received <- n
		}
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	for _, advisory := range []any{
		schemas.NewChannelAdvisory(shop, time.Now(), schemas.ChannelChanged{ID: "7", Code: "crm", Action: "created"}),
		schemas.NewAdvisory(shop, time.Now(), schemas.EndpointChanged{URL: "https://shop.example/", State: "open"}),
	} {
		text, err := json.Marshal(advisory)
		require.NoError(t, err)
		require.NoError(t, w.Advise(shop, text))
	}
	n := <-received
	require.Equal(t, schemas.ClassChannelChanged, n.Type)
	require.Equal(t, "7", n.Subject)
	require.Contains(t, string(n.Data), `"action":"created"`)
	require.Equal(t, schemas.ClassEndpointChanged, (<-received).Type)
}
