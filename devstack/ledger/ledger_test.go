package ledger

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

func event(id, conversation string) Event {
	return Event{ID: id, ConversationKey: schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation(conversation)}
}

func reply(t *testing.T, id, conversation, replyType string) schemas.Reply {
	t.Helper()
	raw, err := json.Marshal(schemas.StepReplied{EventID: id, Outcome: schemas.OutcomeSuccess})
	require.NoError(t, err)
	return schemas.Reply{
		ID: "r-" + id, Type: replyType, Source: "/hookturn/acme/shop", Subject: conversation, Data: raw,
	}
}

func request(id string, from, to int) endpoint.Entry {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	return endpoint.Entry{
		WebhookID: id, Attempt: 1, Path: "/orders", Body: []byte("{}"), In: at(from), Out: at(to), Status: 200,
		Header: http.Header{OwnerHeader: {"acme"}},
	}
}

// good are books in which two events of one conversation, and one of another, end well.
func good(t *testing.T) Books {
	t.Helper()
	return Books{
		Sent: []Event{event("1", "a"), event("2", "a"), event("3", "b")},
		Replies: []schemas.Reply{
			reply(t, "1", "a", schemas.TypeStepProgress), reply(t, "3", "b", schemas.TypeStepReplied),
			reply(t, "1", "a", schemas.TypeStepReplied), reply(t, "2", "a", schemas.TypeStepReplied),
			reply(t, "1", "a", schemas.TypeStepLate),
		},
		Requests: []endpoint.Entry{request("1", 0, 10), request("1", 11, 20), request("3", 5, 25), request("2", 20, 30)},
		Hidden:   []string{"s3cret"},
		Texts:    []Text{{"the log", []byte("nothing here")}},
	}
}

func TestGoodBooksBalance(t *testing.T) {
	t.Parallel()
	totals, problems := good(t).Check()
	require.Empty(t, problems)
	require.Equal(t, "3 events, 3 replies (success 3), 1 late, 1 progress, 0 dead letters, 4 requests, 1 of them repeated",
		totals.String())
}

func TestADeadLetterIsAnEnd(t *testing.T) {
	t.Parallel()
	b := good(t)
	b.Sent = append(b.Sent, event("4", "c"))
	b.DeadLetters = [][]byte{[]byte(`{"id":"4"}`), []byte("no event at all")}
	_, problems := b.Check()
	require.Empty(t, problems)
}

func TestAnAttemptMayBeSeenAgainLate(t *testing.T) {
	t.Parallel()
	b := good(t)
	b.Requests = append(b.Requests, b.Requests[0])
	totals, problems := b.Check()
	require.Empty(t, problems)
	require.Equal(t, 2, totals.Repeated)
}

func TestEveryFraudIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *Books)
		want   string
	}{
		"a reply is missing":       {func(b *Books) { b.Replies = append(b.Replies[:1], b.Replies[2:]...) }, "(a) event 3 of acme/shop/b has 0 replies"},
		"a reply came twice":       {func(b *Books) { b.Replies = append(b.Replies, b.Replies[1]) }, "(a) event 3 of acme/shop/b has 2 replies"},
		"reply and dead letter":    {func(b *Books) { b.DeadLetters = [][]byte{[]byte(`{"id":"1"}`)} }, "1 replies and 1 dead letters"},
		"a reply to nobody":        {func(b *Books) { b.Sent = b.Sent[:2] }, "which nobody sent"},
		"replies out of order":     {func(b *Books) { b.Replies[2], b.Replies[3] = b.Replies[3], b.Replies[2] }, "(b) in acme/shop/a the reply to event 0 came after"},
		"progress after the reply": {func(b *Books) { b.Replies = append(b.Replies, b.Replies[0]) }, "(b) the progress message of 1"},
		"late twice":               {func(b *Books) { b.Replies = append(b.Replies, b.Replies[4]) }, "(c) event 1 has 2 late answers"},
		"background without end":   {func(b *Books) { b.Sent[2].Background = true }, "(a) background event 3 has 0 ends"},
		"a wrong conversation":     {func(b *Books) { b.Replies[1].Subject = "a" }, "(d) the reply to 3"},
		"a wrong tenant":           {func(b *Books) { b.Replies[1].Source = "/hookturn/other/shop" }, "(d) the reply to 3"},
		"a reply of no form":       {func(b *Books) { b.Replies[1].Data = []byte("7") }, "(g) reply r-3 cannot be read"},
		"attempts differ":          {func(b *Books) { b.Requests[1].Body = []byte("{ }") }, "are not the same request"},
		"a request for nobody":     {func(b *Books) { b.Requests[0].WebhookID = "x" }, "(c) the endpoint saw /orders"},
		"another owner":            {func(b *Books) { b.Requests[0].Header = http.Header{OwnerHeader: {"other"}} }, "(d) a request for 1"},
		"another's data": {func(b *Books) {
			b.Sent[2].Tenant, b.Replies[1].Source = "other", "/hookturn/other/shop"
			b.Requests[2].Header = http.Header{OwnerHeader: {"other"}}
			b.Requests[0].Body = []byte(Mark("other"))
		}, "holds what is other's"},
		"steps overlap":      {func(b *Books) { b.Requests[3].In = time.UnixMilli(15) }, "before it had answered event 0"},
		"requests unordered": {func(b *Books) { slices.Reverse(b.Requests) }, "(b) in acme/shop/a the endpoint saw event 0 ("},
		"a secret is logged": {func(b *Books) { b.Texts[0].Content = []byte("x=s3cret") }, "(e) the log shows hidden text 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := good(t)
			c.change(&b)
			_, problems := b.Check()
			require.NotEmpty(t, problems)
			require.Contains(t, problems[0]+problems[len(problems)-1], c.want)
		})
	}
}
