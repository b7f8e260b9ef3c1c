// Package gateway is the public HTTP API: one listener of the starter. Error responses are application/problem+json
// (RFC 9457) whose kind is an error code.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/internal/socket"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// Options are what the routes need. All fields are required unless they say otherwise.
type Options struct {
	Bots        Bots
	Rollout     Rollout // nil: the bot files of this gateway are the latest
	Bus         Bus
	Posted      Posted
	Chats       Chats
	Channels    Channels
	Scripts     *Scripts
	Sockets     *socket.Hub // started; it ends with the gateway
	Files       Files
	Links       Links
	Callbacks   Callbacks // opens callback addresses
	Temporal    Temporal
	EventTokens *EventTokens   // nil: engines cannot publish and read over HTTP
	Engines     *Engines       // used with EventTokens only
	TLS         *tls.Config    // nil: plain HTTP
	Proxies     []netip.Prefix // whose X-Forwarded-For is believed; none by default
	Origins     []string       // web origins that may open websockets; "*" = all; none: only pages of the gateway's own host
	// TenantRequests bounds the requests of one tenant that are served at a time: TenantRequestsDefault when 0, not when
	// negative.
	TenantRequests int
	EventShares    EventShares // nil: the stream has no share for a tenant
	// BodyTimeout bounds a whole request, its body included; 30 s when 0.
	BodyTimeout time.Duration
	Log         *slog.Logger
	Metrics     *telemetry.Metrics // nil: nothing is counted

	requests, publicRequests *shares // of each tenant; routes makes them
}

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Rollout knows whether another starter may have a file of a bot that the bot files of this one do not have. *rollout.Files
// is one.
type Rollout interface {
	Differ(ctx context.Context, own *bot.Set, id schemas.BotID) (bool, error)
}

// Bus puts events and replies on NATS and returns once JetStream has stored them. *bus.Publisher is one.
type Bus interface {
	// PublishEventWithin asks room before it stores an event again that came before, and returns its error.
	PublishEventWithin(ctx context.Context, key schemas.ConversationKey, event []byte, id string, header nats.Header,
		room func(context.Context) error) (seq uint64, duplicate bool, err error)
	PublishReply(ctx context.Context, owner schemas.BotID, reply schemas.Reply) error
}

// Posted knows the content of events that came over HTTP. *store.Posted is one.
type Posted interface {
	Reserve(ctx context.Context, key schemas.ConversationKey, eventID, content string) error
	// Reserved reports whether the same event came before.
	Reserved(ctx context.Context, key schemas.ConversationKey, eventID, content string) (bool, error)
	Release(ctx context.Context, key schemas.ConversationKey, eventID string) error
}

// Channels finds integration channels by the SHA-256 of their tokens. *channel.Registry is one.
type Channels interface {
	ByToken(sum [32]byte) (*bot.Channel, bool)
}

// Chats know which conversation a chat of a TwoWay router belongs to. *store.Chats is one.
type Chats interface {
	Conversation(ctx context.Context, owner schemas.BotID, chat string) (string, error)
}

// Server is a running gateway.
type Server struct {
	http     *http.Server
	listener net.Listener
	sockets  *socket.Hub
	done     chan error
}

// Start listens on addr (port 0 = any free one) and serves.
func Start(addr string, o Options) (*Server, error) { return o.serve(addr, o.routes()) }

// route is one operation of the gateway; schemas/openapi.yaml describes each.
type route struct {
	method, path string
	handle       httpapi.Handler
}

// table is every route of the gateway. Go's mux takes GET for HEAD too.
func (o Options) table() []route {
	const adapter = "/conversational/twoway/v2/accounts/{account}/adapters/{adapter}"
	return []route{
		{http.MethodPost, "/callbacks/{token}", o.takeCallback},
		{http.MethodPost, "/events", o.takeEvent},
		{http.MethodGet, "/replies", o.streamReplies},
		{http.MethodGet, "/deadletters", o.letters(letterapi.API.List)},
		{http.MethodGet, "/deadletters/{sequence}", o.letters(letterapi.API.Show)},
		{http.MethodPost, "/deadletters/{sequence}/replay", o.letters(o.replay)},
		{http.MethodPost, adapter, o.takeSent},
		{http.MethodPost, "/exec", o.exec},
		{http.MethodGet, "/exec", o.exec},
		{http.MethodGet, "/ws/token/v1", o.openSocket},
		{http.MethodGet, "/ws/token/v1/{token}", o.openSocket},
		{http.MethodPost, "/files", o.putFile},
		{http.MethodGet, "/files/{id}", o.getFile},
		{http.MethodDelete, "/files/{id}", o.deleteFile},
		{http.MethodPost, "/files/{id}/links", o.linkFile},
		{http.MethodGet, "/public/files/{token}", o.publicFile},
		{http.MethodGet, "/openapi.json", openAPI},
		{http.MethodGet, "/asyncapi.json", asyncAPI},
		{http.MethodGet, "/schemas/{file}", jsonSchema},
	}
}

// routes answers every path of the gateway.
func (o Options) routes() http.Handler {
	o.requests, o.publicRequests = &shares{}, &shares{}
	mux, methods := http.NewServeMux(), map[string][]string{}
	for _, r := range o.table() {
		mux.Handle(r.method+" "+r.path, httpapi.Serve(o.Log, r.handle))
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, known := range methods {
		mux.Handle(path, httpapi.Serve(o.Log, httpapi.Only(known...)))
	}
	mux.Handle("/", httpapi.Serve(o.Log, httpapi.NotFound))
	return o.watched(mux)
}

func (o Options) serve(addr string, routes http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Server{
		http: &http.Server{
			Handler:           routes,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       cmp.Or(o.BodyTimeout, 30*time.Second),
			WriteTimeout:      100 * time.Second, // a channel may wait a minute for its script
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			TLSConfig:         o.TLS,
			ErrorLog:          telemetry.ServerLog(o.Log),
		},
		listener: listener,
		sockets:  o.Sockets,
		done:     make(chan error, 1),
	}
	stop := make(chan struct{})
	s.http.BaseContext = func(net.Listener) context.Context { return context.WithValue(context.Background(), stopping{}, stop) }
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(stop) }))
	go func() {
		if o.TLS == nil {
			s.done <- s.http.Serve(listener)
		} else {
			s.done <- s.http.ServeTLS(listener, "", "")
		}
	}()
	return s, nil
}

// Addr is the address on which the gateway listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Stop accepts no new requests, lets running ones and calls of websockets finish until ctx ends, and cuts off what still
// runs then. It returns two seconds after the end of ctx at the latest.
func (s *Server) Stop(ctx context.Context) error {
	var closing sync.WaitGroup
	if s.sockets != nil { // Shutdown does not know their connections
		closing.Go(func() { s.sockets.Close(ctx) })
	}
	defer closing.Wait()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("gateway: requests were cut off: %w", err), s.http.Close())
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
