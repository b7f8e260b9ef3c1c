package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

const marker = "MARKER-of-a-person"

// eraseRig is a server whose files a test reads, with data of two people.
type eraseRig struct {
	dir     string
	js      bus.JetStream
	streams bus.Streams
	eraser  *Eraser
	file    string // of the person's reply
}

var (
	theirs = schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	others = schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-2")
	tenant = schemas.BotID{Tenant: "bcme", Bot: "shop"}.WithConversation("c-1")
)

func newEraseRig(t *testing.T) *eraseRig {
	t.Helper()
	r := &eraseRig{dir: t.TempDir()}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: r.dir, NoLog: true, NoSigs: true, MaxPayload: 2 << 20,
	})
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(time.Minute))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	r.js = js
	r.streams, err = bus.Setup(testContext(t), js, bus.StreamOptions{})
	require.NoError(t, err)
	r.eraser = NewEraser(js, r.streams)
	for _, key := range []schemas.ConversationKey{theirs, others, tenant} {
		r.fill(t, key)
	}
	return r
}

// fill stores something of a conversation in every place. The marker is that of the conversation.
func (r *eraseRig) fill(t *testing.T, key schemas.ConversationKey) {
	t.Helper()
	ctx, mark := testContext(t), markerOf(key)
	file, err := NewFiles(r.streams).Put(ctx, key.BotID, File{Name: "f", Type: "text/plain"}, strings.NewReader("in a file"))
	require.NoError(t, err)
	if key == theirs {
		r.file = file.ID
	}
	event := fmt.Sprintf(`{"specversion":"1.0","id":"e-1","subject":%q,"type":"hookturn.step.requested","data":{"user":{"id":%q},"text":%q}}`,
		key.Conversation, "user-"+key.Conversation, mark)
	_, _, err = bus.NewPublisher(r.js).PublishEvent(ctx, key, []byte(event), "e-1", nil)
	require.NoError(t, err)
	reply, err := schemas.NewReply(key, "e-1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{
		EventID: "e-1", Step: "ORDER", Outcome: schemas.OutcomeSuccess, Messages: []schemas.Message{{Type: "text", Text: mark + " " + file.ID}},
	})
	require.NoError(t, err)
	require.NoError(t, bus.NewPublisher(r.js).PublishReply(ctx, key.BotID, reply))
	require.NoError(t, bus.NewDeadLetters(r.js, r.streams).Write(ctx, &bus.FailedEvent{
		BotID: key.BotID, Conversation: key.Conversation, Subject: schemas.Subject(schemas.SubjectEvents, key), Data: []byte(event),
		Sequence: 7, Deliveries: 1, Received: time.Now(),
	}, fault.New(fault.UnknownBot, "because")))
	queued := fmt.Sprintf(`{"conversation":%q,"webhook":{"user":{"id":%q},"text":%q}}`, key.Conversation, "user-"+key.Conversation, mark)
	require.NoError(t, NewQueues(r.js, r.streams).Add(ctx, key, "NOTIFY", "e-1", []byte(queued)))
	_, err = NewChats(r.js, r.streams).Remember(ctx, key.BotID, "aaaa-"+key.Conversation, key.Conversation, 1)
	require.NoError(t, err)
	session := fmt.Sprintf(`{"round":"e-1","adapters":[{"user":{"id":%q}}]}`, "user-"+key.Conversation)
	_, err = NewSessions(r.js, r.streams).Put(ctx, key, Session{Data: []byte(session), Fence: 1})
	require.NoError(t, err)
	details := replacing(json.RawMessage(`{"text":"in the details"}`))
	_, err = NewUsers(r.js, r.streams).Update(ctx, key.Tenant, "user-"+key.Conversation, details)
	require.NoError(t, err)
}

func markerOf(key schemas.ConversationKey) string {
	return marker + "-" + key.Tenant + "-" + key.Conversation
}

// holds reports whether a file of the server has a text.
func (r *eraseRig) holds(t *testing.T, text string) bool {
	t.Helper()
	found := false
	require.NoError(t, filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		if os.IsNotExist(err) { // the server compacts while the test reads
			return nil
		}
		return err
	}))
	return found
}

func TestEraser_UserInEveryPlace(t *testing.T) {
	t.Parallel()
	r := newEraseRig(t)
	ctx := testContext(t)
	require.True(t, r.holds(t, markerOf(theirs)), "the search reads what the server writes")
	keys, err := r.eraser.Conversations(ctx, "acme", "user-c-1")
	require.NoError(t, err)
	require.Equal(t, map[schemas.ConversationKey]struct{}{theirs: {}}, keys)

	erase := func() (erased Erased) {
		files := FileIDs{}
		var err error
		erased, err = r.eraser.Conversation(ctx, theirs, files)
		require.NoError(t, err)
		erased.UserDetails, err = r.eraser.User(ctx, "acme", "user-c-1")
		require.NoError(t, err)
		if _, named := files[r.file]; named {
			there, err := r.eraser.File(ctx, theirs.BotID, r.file)
			require.NoError(t, err)
			if there {
				erased.Files++
			}
		}
		return erased
	}
	all := Erased{Events: 1, Replies: 1, DeadLetters: 1, Queued: 1, Chats: 2, UserDetails: 1, Files: 1}
	r.eraser.Dry = true
	require.Equal(t, all, erase())
	r.eraser.Dry = false
	require.Equal(t, all, erase(), "the dry run has deleted nothing")
	require.Zero(t, erase(), "a second run deletes nothing")
	require.Eventually(t, func() bool { return !r.holds(t, markerOf(theirs)) }, time.Minute, 100*time.Millisecond)

	details, err := NewUsers(r.js, r.streams).Get(ctx, "acme", "user-c-1")
	require.NoError(t, err)
	require.Nil(t, details)
	for _, key := range []schemas.ConversationKey{others, tenant} {
		require.True(t, r.holds(t, markerOf(key)), "data of others stays")
		erased, err := r.eraser.Conversation(ctx, key, FileIDs{})
		require.NoError(t, err)
		require.Equal(t, Erased{Events: 1, Replies: 1, DeadLetters: 1, Queued: 1, Chats: 2}, erased, key)
	}
}

// TestEraser_OnlyChatsAreLeft: chats and sessions are kept for 30 days, longer than runs and messages: they are found by
// themselves.
func TestEraser_OnlyChatsAreLeft(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	e, ctx := NewEraser(js, streams), testContext(t)
	_, err := NewChats(js, streams).Remember(ctx, others.BotID, "aaaa", others.Conversation, 1)
	require.NoError(t, err)
	session := []byte(`{"round":"e-1","adapters":[{"user":{"id":"user-c-1"}}]}`)
	stored, err := NewSessions(js, streams).Put(ctx, theirs, Session{Data: session})
	require.NoError(t, err)
	require.True(t, stored)
	for _, key := range []schemas.ConversationKey{theirs, others} {
		keys, err := e.Owners(ctx, key.Tenant, key.Conversation)
		require.NoError(t, err)
		require.Equal(t, map[schemas.ConversationKey]struct{}{key: {}}, keys)
	}
	keys, err := e.Conversations(ctx, "acme", "user-c-1")
	require.NoError(t, err)
	require.Equal(t, map[schemas.ConversationKey]struct{}{theirs: {}}, keys)
	keys, err = e.Conversations(ctx, "acme", "user-c-2")
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestEraser_OwnersOfAConversation(t *testing.T) {
	t.Parallel()
	r := newEraseRig(t)
	keys, err := r.eraser.Owners(testContext(t), "acme", "c-1")
	require.NoError(t, err)
	require.Equal(t, map[schemas.ConversationKey]struct{}{theirs: {}}, keys)
	keys, err = r.eraser.Owners(testContext(t), "acme", "c-3")
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestEraser_DataAfterTheErase(t *testing.T) {
	t.Parallel()
	r := newEraseRig(t)
	_, err := r.eraser.User(testContext(t), "acme", "user-c-1")
	require.NoError(t, err)
	users := NewUsers(r.js, r.streams)
	old, err := users.Get(testContext(t), "acme", "user-c-1")
	require.NoError(t, err)
	require.Nil(t, old)
	stored, err := users.Update(testContext(t), "acme", "user-c-1", replacing(json.RawMessage(`{"a":1}`)))
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(stored.Details), "the user may come back")
}

// TestEraser_EventsAsTheyCome: an event names its user in binary mode, with a byte order mark, and when it is not valid, as
// a waiting event and as a dead letter. It is found under the conversation of its subject.
func TestEraser_EventsAsTheyCome(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	e, ctx, shop := NewEraser(js, streams), testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}
	const data, bom = `{"user":{"id":"ann"},"text":"hello"}`, "\uFEFF"
	binary := nats.Header{"ce-id": {"e-1"}, "ce-specversion": {"1.0"}, "ce-subject": {"of the attribute"}}
	put := func(root, conversation string, header nats.Header, text string) {
		m := nats.NewMsg(root + ".acme.shop." + conversation)
		maps.Copy(m.Header, header)
		m.Data = []byte(text)
		_, err := js.PublishMsg(ctx, m)
		require.NoError(t, err)
	}
	want := map[schemas.ConversationKey]struct{}{}
	for conversation, event := range map[string]struct {
		header nats.Header
		text   string
	}{
		"binary":               {binary, data},
		"binary-bom":           {binary, bom + data},
		"bom":                  {nil, bom + `{"subject":"bom","data":` + data + `}`},
		"no-subject":           {nil, `{"data":` + data + `}`},
		"another-type":         {nil, `{"subject":7,"user":"extension","data":` + data + `}`},
		"letter-without-heads": {nil, data},
	} {
		put(schemas.SubjectEvents, conversation, event.header, event.text)
		put(schemas.SubjectDeadLetters, conversation+"-dead", event.header, event.text)
		want[shop.WithConversation(conversation)], want[shop.WithConversation(conversation+"-dead")] = struct{}{}, struct{}{}
	}
	put(schemas.SubjectEvents, "other", binary, strings.Replace(data, "ann", "bob", 1))
	keys, err := e.Conversations(ctx, "acme", "ann")
	require.NoError(t, err)
	require.Equal(t, want, keys)
}

// TestEraser_Unaddressed: dead letters of events without a valid conversation share one subject. Only those of the user go.
func TestEraser_Unaddressed(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	e, ctx, shop := NewEraser(js, streams), testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}
	letters := bus.NewDeadLetters(js, streams)
	for i, of := range []struct{ user, conversation, subject string }{
		{"ann", "", "hookturn.events.acme.shop.c 1"}, {"bob", "", "hookturn.events.acme.shop.c 2"},
		{"bob", "_", "hookturn.events.acme.shop._"},
	} {
		require.NoError(t, letters.Write(ctx, &bus.FailedEvent{
			BotID: shop, Conversation: of.conversation, Subject: of.subject, Sequence: uint64(i + 1), Deliveries: 1, Received: time.Now(),
			Data: fmt.Appendf(nil, `{"subject":"c","data":{"user":{"id":%q}}}`, of.user),
		}, fault.New(fault.BadEvent, "because")))
	}
	keys, err := e.Conversations(ctx, "acme", "ann")
	require.NoError(t, err)
	require.Empty(t, keys, "the conversation would be that of others")
	keys, err = e.Conversations(ctx, "acme", "bob")
	require.NoError(t, err)
	require.Equal(t, map[schemas.ConversationKey]struct{}{shop.WithConversation("_"): {}}, keys, "its id is valid")
	for _, want := range []int{1, 0} {
		count, err := e.Unaddressed(ctx, "acme", "ann")
		require.NoError(t, err)
		require.Equal(t, want, count)
	}
	left, err := letters.List(ctx, bus.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, left, 2)
}
