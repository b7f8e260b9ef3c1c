package bus

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestPubSub(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	p, ctx := NewPubSub(js), testContext(t)
	received := make(chan string, 10)
	stop, err := p.Notices(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.*", func(class string, notice []byte) { received <- class + " " + string(notice) })
	require.NoError(t, err)
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "stock.low", []byte("1")))
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "other"}, "orders.paid", []byte("2")))
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", []byte("3")))
	require.Equal(t, "orders.paid 3", <-received)
	stop()
	require.Equal(t, fault.TooLarge, fault.Of(p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", make([]byte, 3<<20))).Kind)
	_, err = p.Request(ctx, "unknown", make([]byte, 3<<20))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
	_, err = p.Request(ctx, "unknown", []byte("x"))
	require.ErrorContains(t, err, "no such connection")
	stop, err = p.Respond("socket", func(request []byte) []byte { return append(request, '!') })
	require.NoError(t, err)
	defer stop()
	answer, err := p.Request(ctx, "socket", []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x!", string(answer))
}

func TestPubSub_Advise(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	sub, err := js.Conn().SubscribeSync(schemas.SubjectAdvisories + ".acme.>")
	require.NoError(t, err)
	require.NoError(t, NewPubSub(js).Advise(schemas.BotID{Tenant: "acme", Bot: "shop"}, []byte("{}")))
	m, err := sub.NextMsgWithContext(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "hookturn.advisories.acme.shop", m.Subject)
	require.Equal(t, "{}", string(m.Data))
}
