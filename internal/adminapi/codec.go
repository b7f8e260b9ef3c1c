package adminapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/httpapi"
)

// codecBodyMax bounds a request to the codec server, in bytes: a page of a history in the Temporal UI.
const codecBodyMax = 32 << 20

// Codec is the codec server (Temporal's "remote codec"): /codec/encode and /codec/decode. The Temporal UI and CLI send it
// payloads, and show what it returns.
type Codec struct {
	Payloads converter.PayloadCodec
	// Reads records what is decrypted.
	Reads *audit.Reads
	// Origins are the web origins whose pages may use the server; none: only clients that are not browsers.
	Origins []string
}

// codecPage is what a person opens in a browser.
const codecPage = "/codec/"

// handler returns the handler of all paths below /codec/. A person opens /codec/ in the browser once, and enters the token
// as a password: the Temporal UI can send what the browser then keeps, but no token.
func (c Codec) handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for path, payloads := range map[string]func(*http.Request) (converter.PayloadCodec, error){
		"/codec/encode": func(*http.Request) (converter.PayloadCodec, error) { return c.Payloads, nil },
		"/codec/decode": c.recorded,
	} {
		mux.Handle("POST "+path, httpapi.Serve(log, func(w http.ResponseWriter, r *http.Request) error {
			codec, err := payloads(r)
			if err != nil {
				return err
			}
			r.Body = http.MaxBytesReader(w, r.Body, codecBodyMax)
			w.Header().Set("Cache-Control", "no-store")
			converter.NewPayloadCodecHTTPHandler(codec).ServeHTTP(w, r)
			return nil
		}))
		mux.Handle(path, httpapi.Serve(log, httpapi.Only(http.MethodPost)))
	}
	mux.HandleFunc("GET "+codecPage+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "the codec server accepts this browser: "+
			"use this address without the last / in the settings of the Temporal UI")
	})
	mux.Handle("/", httpapi.Serve(log, httpapi.NotFound))
	return mux
}

// recorded returns a codec that decrypts only what is recorded as read by the operator of a request.
func (c Codec) recorded(r *http.Request) (converter.PayloadCodec, error) {
	read := func(what string, n int) error {
		return c.Reads.Add(r.Context(), actorOf(r), r.Header.Get("X-Namespace"), map[string]int{what: n})
	}
	if err := read(audit.CountRequests, 1); err != nil {
		return nil, httpapi.Failed(err, "the audit event is not stored, nothing was decrypted").
			Because(err, "storing an audit event failed")
	}
	return recordedCodec{c.Payloads, func(payloads int) error { return read(audit.CountPayloads, payloads) }}, nil
}

// recordedCodec decrypts payloads after they were counted.
type recordedCodec struct {
	converter.PayloadCodec

	read func(payloads int) error
}

// Decode counts and decrypts payloads.
func (c recordedCodec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	if err := c.read(len(payloads)); err != nil {
		return nil, err
	}
	return c.PayloadCodec.Decode(payloads)
}

// allow writes the CORS headers of a request, and reports whether the request was only a question about them. The error is
// a *httpapi.Problem for the page of another origin: a browser sends the password that it has kept with requests of every
// page, also with those that CORS lets pass without a question.
func (c Codec) allow(w http.ResponseWriter, r *http.Request) (answered bool, err error) {
	origin, question := r.Header.Get("Origin"), r.Method == http.MethodOptions
	if origin == "" || httpapi.SameHost(r, origin) {
		return false, nil
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !slices.Contains(c.Origins, origin) {
		return true, httpapi.Reject(http.StatusForbidden, "", "the origin of the page is not allowed: set --codec-origin")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if question {
		h.Set("Access-Control-Allow-Methods", http.MethodPost)
		h.Set("Access-Control-Allow-Headers", "Authorization, Authorization-Extras, Content-Type, X-Namespace")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	}
	return question, nil
}
