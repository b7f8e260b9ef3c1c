package invariants

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

var shop = schemas.BotID{Tenant: "acme", Bot: "shop"}

func event(id, conversation string) Event {
	return Event{ConversationKey: shop.WithConversation(conversation), ID: id}
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

func failed(r endpoint.Entry) endpoint.Entry {
	r.Status = http.StatusServiceUnavailable
	return r
}

func retry(r endpoint.Entry) endpoint.Entry {
	r.Attempt++
	return r
}

// good is traffic in which two events of one conversation, and one of another, end well.
func good(t *testing.T) Traffic {
	t.Helper()
	return Traffic{
		Sent: []Event{event("1", "a"), event("2", "a"), event("3", "b")},
		Replies: []schemas.Reply{
			reply(t, "1", "a", schemas.TypeStepProgress), reply(t, "3", "b", schemas.TypeStepReplied),
			reply(t, "1", "a", schemas.TypeStepReplied), reply(t, "2", "a", schemas.TypeStepReplied),
			reply(t, "1", "a", schemas.TypeStepLate),
		},
		Requests: []endpoint.Entry{failed(request("1", 0, 10)), retry(request("1", 11, 20)), request("3", 5, 25), request("2", 20, 30)},
		Hidden:   []string{"s3cret"},
		Texts:    []Text{{"the log", []byte("nothing here")}},
	}
}

func letter(text string) DeadLetter {
	return DeadLetter{BotID: shop, Data: []byte(text)}
}

func TestCheck_GoodTraffic(t *testing.T) {
	t.Parallel()
	totals, problems := good(t).Check()
	require.Empty(t, problems)
	require.Equal(t, "3 events, 3 replies (success 3), 1 late, 1 progress, 0 dead letters, 4 requests, 1 of them repeated, "+
		"0 duplicates, 0 replies compared with the conversation's memory", totals.String())
}

func TestCheck_DeadLetterIsAnEnd(t *testing.T) {
	t.Parallel()
	b := good(t)
	b.Sent = append(b.Sent, event("4", "c"))
	b.DeadLetters = []DeadLetter{letter(`{"id":"4","subject":"c"}`), letter("no event at all")}
	_, problems := b.Check()
	require.Empty(t, problems)
}

// TestCheck_AttemptThatComesAgain: a worker that was stopped in the middle of a request sends the rest of it while the
// conversation is steps ahead.
func TestCheck_AttemptThatComesAgain(t *testing.T) {
	t.Parallel()
	b := good(t)
	b.Requests = slices.Insert(b.Requests, 3, retry(request("1", 18, 60)))
	totals, problems := b.Check()
	require.Empty(t, problems)
	require.Equal(t, 1, totals.Duplicates)
	b.Requests[3].Attempt++
	_, problems = b.Check()
	require.Len(t, problems, 1, "another attempt is the conversation's own")
}

// redriven is traffic in which the steps of one conversation failed, and were repeated.
func redriven(t *testing.T) Traffic {
	t.Helper()
	b := good(t)
	b.Sent[0].Redriven, b.Sent[1].Redriven = true, true
	b.Replies = append(b.Replies, reply(t, "2", "a", schemas.TypeStepLate))
	return b
}

func TestCheck_Redriven(t *testing.T) {
	t.Parallel()
	totals, problems := redriven(t).Check()
	require.Empty(t, problems)
	require.Equal(t, 2, totals.Late)
	for name, c := range map[string]struct {
		change func(b *Traffic)
		want   string
	}{
		"no outcome":   {func(b *Traffic) { b.Replies = b.Replies[:5] }, "(a) redriven event acme/shop/a/2 has no outcome"},
		"twice":        {func(b *Traffic) { b.Replies = append(b.Replies, b.Replies[5]) }, "(c) event acme/shop/a/2 has 2 late answers"},
		"out of order": {func(b *Traffic) { b.Replies[4], b.Replies[5] = b.Replies[5], b.Replies[4] }, "(b) in acme/shop/a the outcome of redriven event 0 came after"},
		"too early":    {func(b *Traffic) { slices.Reverse(b.Replies) }, "(b) the outcome of redriven acme/shop/a/1 came before its reply"},
		"fails again": {func(b *Traffic) {
			b.Replies[5].Data = []byte(`{"event_id":"2","outcome":"bot_break"}`)
		}, "(a) redriven acme/shop/a/2 ended as bot_break"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := redriven(t)
			c.change(&b)
			_, problems := b.Check()
			require.Contains(t, strings.Join(problems, "\n"), c.want)
		})
	}
}

func TestCheck_AnsweredDeadLetter(t *testing.T) {
	t.Parallel()
	b := good(t)
	b.DeadLetters = []DeadLetter{letter(`{"id":"3","subject":"b"}`)}
	_, problems := b.Check()
	require.Equal(t, []string{"(a) event acme/shop/b/3 has 1 replies and 1 dead letters"}, problems)
	b.Replies[1].Data = []byte(`{"event_id":"3","outcome":"rejected"}`)
	_, problems = b.Check()
	require.Empty(t, problems)
}

func TestCheck_EqualIDs(t *testing.T) {
	t.Parallel()
	twin := event("1", "b")
	b := Traffic{
		Sent:     []Event{event("1", "a"), twin},
		Replies:  []schemas.Reply{reply(t, "1", "a", schemas.TypeStepReplied), reply(t, "1", "b", schemas.TypeStepReplied)},
		Requests: []endpoint.Entry{request("1", 0, 10), request("1", 0, 10)},
	}
	for i, e := range b.Sent {
		b.Requests[i].Body = []byte(EventMark(e))
	}
	totals, problems := b.Check()
	require.Empty(t, problems)
	require.Zero(t, totals.Repeated)
	b.Replies[1].Subject = "a"
	_, problems = b.Check()
	require.Contains(t, problems, "(a) event acme/shop/a/1 has 2 replies and 0 dead letters")
	require.Contains(t, problems, "(a) event acme/shop/b/1 has 0 replies and 0 dead letters")
}

func TestCheck_Duplicates(t *testing.T) {
	t.Parallel()
	b := good(t)
	again := b.Requests[0] // of the same number
	again.In, again.Out = time.UnixMilli(11), time.UnixMilli(12)
	b.Requests = slices.Insert(b.Requests, 1, again)
	totals, problems := b.Check()
	require.Empty(t, problems)
	require.Equal(t, 2, totals.Repeated)
	require.Equal(t, 1, totals.Duplicates, "an attempt of the same number")

	b = good(t)
	b.Requests[0].Status = 200
	totals, _ = b.Check()
	require.Equal(t, 1, totals.Duplicates, "an attempt after one that was answered well")
}

// remembered is traffic of a conversation whose second request shows what the first reply said.
func remembered(t *testing.T) Traffic {
	t.Helper()
	b := good(t)
	told := json.RawMessage(`{"last":"first"}`)
	raw, err := json.Marshal(schemas.StepReplied{
		EventID: "1", Outcome: schemas.OutcomeSuccess, ConversationDetails: told, UserDetails: told,
	})
	require.NoError(t, err)
	b.Replies[2].Data = raw
	for i := range b.Requests {
		b.Requests[i].Path = MemoryPath
	}
	b.Requests[3].Body = []byte(`{"conversation_details":{"last":"first"},"user_details":{"last":"first"}}`)
	return b
}

func TestCheck_Memory(t *testing.T) {
	t.Parallel()
	totals, problems := remembered(t).Check()
	require.Empty(t, problems)
	require.Equal(t, 3, totals.Remembered)
	for want, body := range map[string]string{
		`before acme/shop/a/2 the conversation remembered "other"`: `{"conversation_details":{"last":"other"},"user_details":{"last":"first"}}`,
		`before acme/shop/a/2 the conversation remembered ""`:      `{"user_details":{"last":"first"}}`,
		`before acme/shop/a/2 the user's details held "other"`:     `{"conversation_details":{"last":"first"},"user_details":{"last":"other"}}`,
		`the request for acme/shop/a/2 cannot be read`:             `[]`,
	} {
		b := remembered(t)
		b.Requests[3].Body = []byte(body)
		_, problems := b.Check()
		require.Len(t, problems, 1)
		require.Contains(t, problems[0], want)
	}
	b := remembered(t)
	b.UsersForgotten = true
	b.Requests[3].Body = []byte(`{"conversation_details":{"last":"first"}}`)
	_, problems = b.Check()
	require.Empty(t, problems, "the store of users was lost on purpose")

	b = remembered(t)
	closed, err := json.Marshal(schemas.StepReplied{
		EventID: "1", Outcome: schemas.OutcomeSuccess, ConversationDetails: json.RawMessage(`{"last":"first"}`),
		UserDetails: json.RawMessage(`{"last":"first"}`), Conversation: schemas.ConversationComplete,
	})
	require.NoError(t, err)
	b.Replies[2].Data = closed
	_, problems = b.Check()
	require.Len(t, problems, 1, "a closed conversation forgets")
}

func TestCheck_UserDetailsMayChangeBetweenAttempts(t *testing.T) {
	t.Parallel()
	b := good(t)
	b.Requests[0].Body = []byte(`{"step":"A","user_details":{"n":1}}`)
	b.Requests[1].Body = []byte(`{"step":"A","user_details":{"n":2}}`)
	_, problems := b.Check()
	require.Empty(t, problems)
	b.Requests[1].Body = []byte(`{"step":"B","user_details":{"n":2}}`)
	_, problems = b.Check()
	require.Len(t, problems, 1)
}

func TestCheck_EveryFaultIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *Traffic)
		want   string
	}{
		"a reply is missing":       {func(b *Traffic) { b.Replies = append(b.Replies[:1], b.Replies[2:]...) }, "(a) event acme/shop/b/3 has 0 replies"},
		"a reply came twice":       {func(b *Traffic) { b.Replies = append(b.Replies, b.Replies[1]) }, "(a) event acme/shop/b/3 has 2 replies"},
		"reply and dead letter":    {func(b *Traffic) { b.DeadLetters = []DeadLetter{letter(`{"id":"1","subject":"a"}`)} }, "1 replies and 1 dead letters"},
		"a reply to no event":      {func(b *Traffic) { b.Sent = b.Sent[:2] }, "which was not sent"},
		"replies out of order":     {func(b *Traffic) { b.Replies[2], b.Replies[3] = b.Replies[3], b.Replies[2] }, "(b) in acme/shop/a the reply to event 0 came after"},
		"progress after the reply": {func(b *Traffic) { b.Replies = append(b.Replies, b.Replies[0]) }, "(b) the progress message of acme/shop/a/1"},
		"late twice":               {func(b *Traffic) { b.Replies = append(b.Replies, b.Replies[4]) }, "(c) event acme/shop/a/1 has 2 late answers"},
		"background without end":   {func(b *Traffic) { b.Sent[2].Background = true }, "(a) background event acme/shop/b/3 has 0 ends"},
		"a wrong conversation":     {func(b *Traffic) { b.Replies[1].Subject = "a" }, "(d) a reply to acme/shop/b/3"},
		"a wrong tenant":           {func(b *Traffic) { b.Replies[1].Source = "/hookturn/other/shop" }, "(d) a reply to acme/shop/b/3"},
		"a reply of no form":       {func(b *Traffic) { b.Replies[1].Data = []byte("7") }, "(g) reply r-3 cannot be read"},
		"attempts differ":          {func(b *Traffic) { b.Requests[1].Body = []byte("{ }") }, "are not the same request"},
		"a request for no event":   {func(b *Traffic) { b.Requests[0].WebhookID = "x" }, "(c) the endpoint received /orders"},
		"another owner":            {func(b *Traffic) { b.Requests[0].Header = http.Header{OwnerHeader: {"other"}} }, "(d) a request for acme/shop/a/1"},
		"another's data": {func(b *Traffic) {
			b.Sent[2].Tenant, b.Replies[1].Source = "other", "/hookturn/other/shop"
			b.Requests[2].Header = http.Header{OwnerHeader: {"other"}}
			b.Requests[0].Body = []byte(Mark("other"))
		}, "holds what is other's"},
		"steps overlap":      {func(b *Traffic) { b.Requests[3].In = time.UnixMilli(15) }, "before it had answered event 0"},
		"requests unordered": {func(b *Traffic) { slices.Reverse(b.Requests) }, "(b) in acme/shop/a the endpoint received event 0 ("},
		"a secret is logged": {func(b *Traffic) { b.Texts[0].Content = []byte("x=s3cret") }, "(e) the log shows hidden text 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := good(t)
			c.change(&b)
			_, problems := b.Check()
			require.NotEmpty(t, problems)
			require.Contains(t, strings.Join(problems, "\n"), c.want)
		})
	}
}
