// Package socket speaks with the outside systems that keep a websocket open to an integration channel (contract, section
// 4.4): frames are JSON arrays of a name and an object, an answer carries the qid of its call, answers come in any order.
//
// A client is never waited for: one that reads more slowly than it is written to is cut off. A bad frame is answered; a
// client that sends nothing but bad frames is cut off, too.
package socket

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

// Limits of one channel in one process.
const (
	connectionsMax   = tenantConnections / 2
	callsPerSecond   = 1000
	callsBurst       = 2000
	connectionCalls  = 64 // in flight, of one connection
	connectionSubs   = 100
	badFramesMax     = 16 // in a row
	queueFrames      = 256
	queueBytes       = 4 << 20
	writeTimeout     = 10 * time.Second
	pingEvery        = 30 * time.Second // unless the hub sets another
	pongTimeout      = 15 * time.Second // likewise
	closeGracePeriod = time.Second
)

// Scripts runs scripts for channels: for at most a time, or until ctx ends. The error is a *fault.Fault when the script, or
// the lack of one, is to blame.
type Scripts interface {
	Run(ctx context.Context, ch *bot.Channel, script string, timeout time.Duration, tell func(*step.ScriptRun) error) (
		json.RawMessage, error)
}

// Bus sends messages between the processes of an installation. *pubsub.PubSub implements it.
type Bus interface {
	// Notices calls receive for every notice of a bot whose class matches, until stop is called.
	Notices(owner schemas.BotID, class string, receive func(class string, notice []byte)) (stop func(), err error)
	// Subscribed waits until all subscriptions of Notices receive what is published. An error: that is not known.
	Subscribed(ctx context.Context) error
	// Respond answers the requests that are sent to an address, until stop is called.
	Respond(address string, answer func(request []byte) []byte) (stop func(context.Context), err error)
}

// Claims decide which process passes on a notice. *store.Claims implements it.
type Claims interface {
	// Claim reports whether a key belongs to this caller: of several callers with one key it is true for one. The error is of
	// the kind rate_limited when the claims of the tenant fill its share.
	Claim(ctx context.Context, tenant, key string) (bool, error)
}

// Hub has the connections of one process. All fields but Ping, Pong and Frame are required.
type Hub struct {
	Scripts Scripts
	Bus     Bus
	Claims  Claims
	Site    string // names this installation in connection_info
	Log     *slog.Logger
	// Count receives every connection that opens (1) and closes (-1), and every frame with its name and result.
	Count Counter
	// Ping is how often a client is asked for a sign of life, Pong how long that may take; 30 s and 15 s when 0.
	Ping, Pong time.Duration
	// Frame is how long a client may take to send a frame; 30 s when 0.
	Frame time.Duration

	name string // of this process, in the ids of its connections
	stop func(context.Context)

	subscriptions tenantshare.Shares

	mu          sync.Mutex
	closed      bool
	connections map[string]*connection
	channels    map[identity]*group
	audiences   map[schemas.BotID]*audience
	tenants     map[string]*usage
	running     sync.WaitGroup // connections
	passing     sync.WaitGroup // claimed notices on their way to a connection
}

// Counter counts for the metrics.
type Counter interface {
	Sockets(delta int)
	Frame(name, result string)
	// ShareExceeded counts what is rejected because a tenant has its share of something in use.
	ShareExceeded(tenant, share string)
}

// group is the connections of one channel, and what it may do at a time.
type group struct {
	connections []*connection
	rate        *rate.Limiter
	next        int // of the connections, in turn
}

// Start begins to take what other processes push to connections here.
func (h *Hub) Start() error {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	h.name, h.Ping, h.Pong = hex.EncodeToString(random), cmp.Or(h.Ping, pingEvery), cmp.Or(h.Pong, pongTimeout)
	h.connections, h.channels = map[string]*connection{}, map[identity]*group{}
	h.Frame, h.tenants = cmp.Or(h.Frame, frameTimeout), map[string]*usage{}
	h.audiences = map[schemas.BotID]*audience{}
	var err error
	h.stop, err = h.Bus.Respond(h.name, h.takePush)
	return err
}

// ErrFull reports that a channel or a tenant has as many connections as it may have; ErrClosed that this process stops.
var (
	ErrFull   = errors.New("the channel or its tenant has as many connections to this gateway as it may have")
	ErrClosed = errors.New("the gateway stops")
)

// Client is who opens a connection. Its functions are called as long as the connection lasts.
type Client struct {
	Sender netip.Addr
	// Channel returns the channel that the client's token opens now for the sender; false = none.
	Channel func() (*bot.Channel, bool)
	// Enter takes the places of a call, whose frame has a size, among the requests of the tenant that the gateway serves at a
	// time; release returns them.
	Enter func(bytes int) (release func(), ok bool)
}

// Accept upgrades a request that was admitted to a channel and serves the connection until it ends. When it returns an
// error, nothing was written.
func (h *Hub) Accept(w http.ResponseWriter, r *http.Request, ch *bot.Channel, client Client) error {
	c := newConnection(h, ch, client)
	if err := h.enter(c); err != nil {
		return err
	}
	defer h.leave(c)
	socket, err := websocket.Accept(&hijacker{w, c.net}, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the gateway has judged the origin
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil // answered by the library
	}
	c.speak(socket)
	return nil
}

// identity is a channel among those of all bots: bot files of several tenants may say the same id.
type identity struct {
	bot schemas.BotID
	id  string
}

func identityOf(ch *bot.Channel) identity { return identity{ch.BotID, ch.ID} }

func (h *Hub) enter(c *connection) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	use := h.tenants[c.of.bot.Tenant]
	if use == nil {
		use = &usage{held: map[*connection]int64{}}
	}
	if use.open >= tenantConnections {
		h.Count.ShareExceeded(c.of.bot.Tenant, shareConnections)
		return ErrFull
	}
	g := h.channels[c.of]
	if g == nil {
		g = &group{rate: rate.NewLimiter(callsPerSecond, callsBurst)}
		h.channels[c.of] = g
	}
	if len(g.connections) >= connectionsMax {
		return ErrFull
	}
	g.connections = append(g.connections, c)
	c.rate, c.use = g.rate, use
	use.enter(c)
	h.tenants[c.of.bot.Tenant] = use
	h.connections[c.id] = c
	h.running.Add(1)
	h.Count.Sockets(1)
	return nil
}

func (h *Hub) leave(c *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.connections, c.id)
	if c.use.leave(c); c.use.open == 0 {
		delete(h.tenants, c.of.bot.Tenant)
	}
	g := h.channels[c.of]
	g.connections = slices.DeleteFunc(g.connections, func(other *connection) bool { return other == c })
	if len(g.connections) == 0 {
		delete(h.channels, c.of)
	}
	h.Count.Sockets(-1)
	h.running.Done()
}

// Close closes every connection with status 1001, after which clients may reconnect. Pushes and claimed notices that have
// arrived are written before, running calls may finish until ctx ends. What still runs then is cancelled and has a second to
// end; then connections are cut off, and Close returns a second later at the latest.
func (h *Hub) Close(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	all := slices.Collect(maps.Values(h.connections))
	h.mu.Unlock()
	waitFor(ctx, &h.passing)
	h.stop(ctx)
	for _, c := range all {
		go c.drain(ctx)
	}
	if waitFor(ctx, &h.running) || h.endWithin(closeGracePeriod) {
		return
	}
	for _, c := range all {
		c.cut()
	}
	if !h.endWithin(closeGracePeriod) {
		h.Log.WarnContext(ctx, "websocket calls still running at the stop timeout")
	}
}

// endWithin reports whether all connections ended within a time.
func (h *Hub) endWithin(limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return waitFor(ctx, &h.running)
}

// waitFor reports whether a group finished before ctx ended.
func waitFor(ctx context.Context, group *sync.WaitGroup) bool {
	finished := make(chan struct{})
	go func() { group.Wait(); close(finished) }()
	select {
	case <-finished:
		return true
	case <-ctx.Done():
		return false
	}
}

// beginPassing reports whether this process may claim a notice, and lets Close wait until passing.Done is called.
func (h *Hub) beginPassing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.passing.Add(1)
	return true
}

// push is what another process sends to one connection here.
type push struct {
	schemas.BotID

	Connection string          `json:"connection"`
	Name       string          `json:"name"`
	Data       json.RawMessage `json:"data"`
}

// pushed is the answer: whether the connection's client was written to.
type pushed struct {
	Delivered bool   `json:"delivered"`
	Reason    string `json:"reason,omitempty"`
}

// takePush writes to one connection. That of another bot is as unknown as one that is gone.
func (h *Hub) takePush(request []byte) []byte {
	var p push
	answer := pushed{}
	if json.Unmarshal(request, &p) != nil || !callName.MatchString(p.Name) {
		answer.Reason = "the push is not valid"
	} else {
		h.mu.Lock()
		c := h.connections[p.Connection]
		h.mu.Unlock()
		switch {
		case c == nil || c.of.bot != p.BotID || !c.admitted():
			answer.Reason = "there is no such connection"
		case c.notify(p.Name, result{"data": p.Data}) != nil:
			answer.Reason = "the client reads too slowly"
		default:
			answer.Delivered = true
		}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil
	}
	return text
}

// Address is where the process that has a connection takes what is pushed to it.
func Address(connection string) (string, bool) {
	address, _, ok := strings.Cut(connection, "-")
	return address, ok && address != ""
}

// Push is the request to the process that has a connection; Pushed reads its answer: nil when the client was written to.
func Push(owner schemas.BotID, connection, message string, data json.RawMessage) ([]byte, error) {
	if !callName.MatchString(message) {
		return nil, fault.New(fault.BadEvent, "the name of a message is a word of a-z, 0-9 and _")
	}
	return json.Marshal(push{BotID: owner, Connection: connection, Name: message, Data: data})
}

// Pushed reads the answer to a Push.
func Pushed(answer []byte) error {
	var p pushed
	if err := json.Unmarshal(answer, &p); err != nil {
		return fault.Wrap(fault.Internal, err, "the gateway gave no answer")
	}
	if !p.Delivered {
		return fault.New(fault.Gone, "%s", p.Reason)
	}
	return nil
}

// turn returns the connections of a channel, beginning with the one whose turn it is.
func (h *Hub) turn(channel identity) []*connection {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.channels[channel]
	if g == nil {
		return nil
	}
	g.next = (g.next + 1) % len(g.connections)
	return append(append([]*connection(nil), g.connections[g.next:]...), g.connections[:g.next]...)
}
