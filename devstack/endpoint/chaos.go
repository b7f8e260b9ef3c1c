package endpoint

import (
	"net"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/chaos"
)

// Chaos lists the names of the behaviours under /chaos/, in a fixed order.
func Chaos() []string { return chaos.Names() }

// addChaos adds the routes that break the connection, and those that only answer oddly.
func (e *Endpoint) addChaos(routes *http.ServeMux) {
	for _, name := range chaos.Names() {
		routes.HandleFunc("POST /chaos/"+name, func(w http.ResponseWriter, _ *http.Request) { e.take(w, name) })
	}
	routes.HandleFunc("POST /chaos/redirect", chaos.Redirect)
	routes.Handle("POST /chaos/busy", &chaos.Busy{})
	routes.HandleFunc("POST /chaos/flap", e.flap)
}

// take runs a behaviour on the raw connection, and resets the connection afterwards.
func (e *Endpoint) take(w http.ResponseWriter, behaviour string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken: "+err.Error(), http.StatusInternalServerError)
		return
	}
	forget := e.keep(conn)
	defer forget()
	chaos.Run(behaviour, conn)
}

// keep remembers a taken connection, which the server knows no more, so that Stop can cut it.
func (e *Endpoint) keep(conn net.Conn) (forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken[conn] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.taken, conn)
	}
}

// flap is up for one second and down for the next.
func (e *Endpoint) flap(w http.ResponseWriter, _ *http.Request) {
	if time.Now().Unix()%2 == 0 {
		Text("Up, for now.").Send(w, http.StatusOK)
		return
	}
	e.take(w, "reset")
}
