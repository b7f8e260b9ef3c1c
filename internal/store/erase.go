package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Eraser deletes what NATS holds of a person. Messages are overwritten on the disk; values of buckets and files are removed
// from it when the server compacts its files.
type Eraser struct {
	js      jetstream.JetStream
	streams bus.Streams
	// Dry counts and deletes nothing.
	Dry bool
}

// NewEraser returns a new Eraser on an account's streams.
func NewEraser(js jetstream.JetStream, s bus.Streams) *Eraser { return &Eraser{js: js, streams: s} }

// Erased counts what was deleted, by place.
type Erased struct {
	Events      int `json:"events"`
	Replies     int `json:"replies"`
	DeadLetters int `json:"dead_letters"`
	Queued      int `json:"queue_entries"`
	Chats       int `json:"chats"`
	UserDetails int `json:"user_details"`
	Files       int `json:"files"`
}

// Add adds the counts of another.
func (e *Erased) Add(other Erased) {
	e.Events += other.Events
	e.Replies += other.Replies
	e.DeadLetters += other.DeadLetters
	e.Queued += other.Queued
	e.Chats += other.Chats
	e.UserDetails += other.UserDetails
	e.Files += other.Files
}

// Total returns the number of all.
func (e *Erased) Total() int {
	return e.Events + e.Replies + e.DeadLetters + e.Queued + e.Chats + e.UserDetails + e.Files
}

// FileIDs are the ids in texts that may be those of files.
type FileIDs map[string]struct{}

var fileID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// Find adds the ids in a text.
func (f FileIDs) Find(text []byte) {
	for _, id := range fileID.FindAll(text, -1) {
		f[string(id)] = struct{}{}
	}
}

// Conversations returns the conversations, with tokens for ids, in which stored events of a tenant name the user.
func (e *Eraser) Conversations(ctx context.Context, tenant, user string) (map[schemas.ConversationKey]struct{}, error) {
	found := map[schemas.ConversationKey]struct{}{}
	collect := func(owner schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		if namesUser(m, user) && !unaddressed(m) {
			found[owner.WithConversation(lastToken(m.Subject))] = struct{}{}
		}
		return false, nil
	}
	for _, place := range e.eventPlaces(schemas.BotID{Tenant: tenant, Bot: "*"}, "*") {
		if _, err := e.visit(ctx, place, collect); err != nil {
			return nil, err
		}
	}
	_, err := e.visit(ctx, e.queues(schemas.BotID{Tenant: tenant, Bot: "*"}), func(
		owner schemas.BotID, m *jetstream.RawStreamMsg,
	) (bool, error) {
		if q, ok := queuedOf(m.Data); ok && q.user() == user {
			found[owner.WithConversation(schemas.ConversationToken(q.Conversation))] = struct{}{}
		}
		return false, nil
	})
	if err != nil {
		return found, err
	}
	_, err = e.visit(ctx, e.chats(schemas.BotID{Tenant: tenant, Bot: "*"}), func(
		owner schemas.BotID, m *jetstream.RawStreamMsg,
	) (bool, error) {
		if token, is := sessionToken(m.Subject); is && !removed(m) && sessionNames(m.Data, user) {
			found[owner.WithConversation(token)] = struct{}{}
		}
		return false, nil
	})
	return found, err
}

// sessionNames reports whether a stored session (see activities) is one of the user.
func sessionNames(data []byte, user string) bool {
	var s struct {
		Adapters []struct {
			User struct {
				ID string `json:"id"`
			} `json:"user"`
		} `json:"adapters"`
	}
	_ = json.Unmarshal(data, &s)
	for _, of := range s.Adapters {
		if of.User.ID == user {
			return true
		}
	}
	return false
}

// namesUser reports whether a stored event, or the event of a dead letter, is one of the user. In binary mode the body is
// the data, also where a dead letter is without the headers of its event. What is not valid JSON may be of any person: such
// dead letters are deleted with their conversation.
func namesUser(m *jetstream.RawStreamMsg, user string) bool {
	type named struct{ User struct{ ID string } }
	var event struct {
		named
		Data named
	}
	_ = json.Unmarshal(strictjson.WithoutBOM(m.Data), &event) // a value of another type hides no other one
	return event.Data.User.ID == user || event.User.ID == user
}

// unaddressed reports whether a message is a dead letter whose event did not have a valid conversation in its subject. Those
// of a bot have one subject, whichever person they are of.
func unaddressed(m *jetstream.RawStreamMsg) bool {
	return strings.HasPrefix(m.Subject, schemas.SubjectDeadLetters+".") && lastToken(m.Subject) == bus.UnknownToken &&
		lastToken(m.Header.Get(bus.HeaderSubject)) != bus.UnknownToken
}

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// queued is what is read of an entry of a background queue (step.Queued).
type queued struct {
	Conversation string `json:"conversation"`
	Webhook      struct {
		Event struct {
			Data struct {
				User struct {
					ID string `json:"id"`
				} `json:"user"`
			} `json:"data"`
		} `json:"event"`
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	} `json:"webhook"`
}

func (q queued) user() string {
	if q.Webhook.User.ID != "" {
		return q.Webhook.User.ID
	}
	return q.Webhook.Event.Data.User.ID
}

func queuedOf(data []byte) (q queued, ok bool) {
	return q, json.Unmarshal(data, &q) == nil && q.Conversation != ""
}

// Conversation deletes the messages of a conversation, whose id may be a token, and its chats. It adds the ids in the
// deleted texts to files.
func (e *Eraser) Conversation(ctx context.Context, key schemas.ConversationKey, files FileIDs) (erased Erased, err error) {
	token := schemas.ConversationToken(key.Conversation)
	all := func(_ schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		files.Find(m.Data)
		return true, nil
	}
	places := e.places(key.BotID, token)
	for i, count := range []*int{&erased.Events, &erased.DeadLetters, &erased.Replies} {
		if *count, err = e.visit(ctx, places[i], all); err != nil {
			return erased, err
		}
	}
	erased.Queued, err = e.visit(ctx, e.queues(key.BotID), func(_ schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		q, ok := queuedOf(m.Data)
		ours := ok && schemas.ConversationToken(q.Conversation) == token
		if ours {
			files.Find(m.Data)
		}
		return ours, nil
	})
	if err != nil {
		return erased, err
	}
	erased.Chats, err = e.visit(ctx, e.chats(key.BotID), func(_ schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		return isChatOf(m, token), nil
	})
	return erased, err
}

// isChatOf reports whether a message of the bucket of chats is a chat of a conversation, or its session.
func isChatOf(m *jetstream.RawStreamMsg, token string) bool {
	session, is := sessionToken(m.Subject)
	if !is {
		session = schemas.ConversationToken(string(m.Data))
	}
	return !removed(m) && session == token
}

// Owners returns the bots of a tenant that have stored messages of a conversation.
func (e *Eraser) Owners(ctx context.Context, tenant, conversation string) (map[schemas.ConversationKey]struct{}, error) {
	found, token := map[schemas.ConversationKey]struct{}{}, schemas.ConversationToken(conversation)
	everyBot := schemas.BotID{Tenant: tenant, Bot: "*"}
	for _, p := range e.places(everyBot, token) {
		if _, err := e.visit(ctx, p, func(owner schemas.BotID, _ *jetstream.RawStreamMsg) (bool, error) {
			found[owner.WithConversation(token)] = struct{}{}
			return false, nil
		}); err != nil {
			return nil, err
		}
	}
	_, err := e.visit(ctx, e.queues(everyBot), func(owner schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		if q, ok := queuedOf(m.Data); ok && schemas.ConversationToken(q.Conversation) == token {
			found[owner.WithConversation(token)] = struct{}{}
		}
		return false, nil
	})
	if err != nil {
		return found, err
	}
	_, err = e.visit(ctx, e.chats(everyBot), func(owner schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		if isChatOf(m, token) {
			found[owner.WithConversation(token)] = struct{}{}
		}
		return false, nil
	})
	return found, err
}

// User deletes the details of a user.
func (e *Eraser) User(ctx context.Context, tenant, user string) (int, error) {
	key, err := userKey(tenant, user)
	if err != nil {
		return 0, err
	}
	return e.visit(ctx, place{
		what: "user details", stream: e.streams.BucketLog(bus.BucketUsers), bucket: bus.BucketUsers,
		filter: "$KV." + bus.BucketUsers + "." + key,
	}, func(_ schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) { return !removed(m), nil })
}

// Unaddressed deletes the dead letters of a user that are in no conversation, because the subjects of their events did not
// have a valid one. It returns their number.
func (e *Eraser) Unaddressed(ctx context.Context, tenant, user string) (int, error) {
	letters := e.eventPlaces(schemas.BotID{Tenant: tenant, Bot: "*"}, bus.UnknownToken)[1]
	return e.visit(ctx, letters, func(_ schemas.BotID, m *jetstream.RawStreamMsg) (bool, error) {
		return unaddressed(m) && namesUser(m, user), nil
	})
}

// File deletes a file of a bot, and reports whether there was one.
func (e *Eraser) File(ctx context.Context, owner schemas.BotID, id string) (bool, error) {
	_, err := e.streams.Files().GetInfo(ctx, fileName(owner, id))
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find a file: %w", err)
	case e.Dry:
		return true, nil
	}
	err = NewFiles(e.streams).Delete(ctx, owner, id)
	if errors.Is(err, ErrNoFile) {
		return false, nil
	}
	return err == nil, err
}

// place is the messages of a stream under one filter.
type place struct {
	what   string
	stream jetstream.Stream
	bucket string // whose stream it is; "": a stream of messages
	filter string
	root   string // first tokens of the subjects; "": they name no bot
	skip   int    // tokens between the root and the tenant
}

// places returns those of the events, dead letters and replies of a conversation, in this order.
func (e *Eraser) places(owner schemas.BotID, token string) []place {
	return append(e.eventPlaces(owner, token), place{
		what: "replies", stream: e.streams.Replies(), root: schemas.SubjectReplies,
		filter: schemas.SubjectReplies + "." + owner.Tenant + "." + owner.Bot + "." + token,
	})
}

// eventPlaces returns those of the events and dead letters of a conversation, which name the user. Replies do not.
func (e *Eraser) eventPlaces(owner schemas.BotID, token string) []place {
	rest := "." + owner.Tenant + "." + owner.Bot + "." + token
	events := place{
		what: "events", stream: e.streams.Events(), filter: schemas.SubjectEvents + rest, root: schemas.SubjectEvents,
	}
	if e.streams.Partitioned() {
		events.filter, events.skip = schemas.SubjectEvents+".*"+rest, 1
	}
	return []place{
		events,
		{
			what: "dead letters", stream: e.streams.DeadLetters(), filter: schemas.SubjectDeadLetters + rest,
			root: schemas.SubjectDeadLetters,
		},
	}
}

func (e *Eraser) queues(owner schemas.BotID) place {
	return place{
		what: "background queues", stream: e.streams.Queues(), root: bus.SubjectQueues,
		filter: bus.SubjectQueues + "." + owner.Tenant + "." + owner.Bot + ".*",
	}
}

func (e *Eraser) chats(owner schemas.BotID) place {
	return place{
		what: "chats", stream: e.streams.BucketLog(bus.BucketChats), bucket: bus.BucketChats, root: "$KV." + bus.BucketChats,
		filter: "$KV." + bus.BucketChats + "." + owner.Tenant + "." + owner.Bot + ".>",
	}
}

// ownerOf returns the bot of a subject of the place, the zero value when it names none.
func (p place) ownerOf(subject string) schemas.BotID {
	if p.root == "" {
		return schemas.BotID{}
	}
	tokens := strings.Split(strings.TrimPrefix(subject, p.root+"."), ".")
	if len(tokens) < p.skip+2 {
		return schemas.BotID{}
	}
	return schemas.BotID{Tenant: tokens[p.skip], Bot: tokens[p.skip+1]}
}

// visit reads the messages of a place, oldest first, and deletes those that chosen chooses. It returns their number.
func (e *Eraser) visit(
	ctx context.Context, p place, chosen func(schemas.BotID, *jetstream.RawStreamMsg) (bool, error),
) (count int, err error) {
	each := func(m *jetstream.RawStreamMsg) error {
		erase, err := chosen(p.ownerOf(m.Subject), m)
		if err != nil || !erase {
			return err
		}
		if !e.Dry {
			err = e.remove(ctx, p, m)
		}
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful): // handled in between
		case err != nil:
			return fmt.Errorf("delete from %s: %w", p.what, err)
		default:
			count++
		}
		return nil
	}
	err = natsclient.ReadStored(ctx, e.js, p.stream.CachedInfo().Config.Name, p.filter, each)
	if err != nil {
		return count, fmt.Errorf("read %s: %w", p.what, err)
	}
	return count, nil
}

// remove overwrites a message. The server does not allow that for a value of a bucket: the value gives way to a marker.
func (e *Eraser) remove(ctx context.Context, p place, m *jetstream.RawStreamMsg) error {
	if p.bucket == "" {
		return p.stream.SecureDeleteMsg(ctx, m.Sequence)
	}
	return e.streams.Bucket(p.bucket).Delete(ctx, strings.TrimPrefix(m.Subject, "$KV."+p.bucket+"."))
}
