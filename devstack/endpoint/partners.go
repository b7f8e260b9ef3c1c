package endpoint

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// addPartners adds routes that speak the other dialects. They check what their platforms let them check: a bearer token.
func (e *Endpoint) addPartners(routes *http.ServeMux) {
	routes.HandleFunc("POST /loyjoy/area", e.bearer(area))
	routes.HandleFunc("POST /loyjoy/notify", e.bearer(accepted(http.StatusNoContent)))
	routes.HandleFunc("POST /twoway/messages", accepted(http.StatusCreated))
	routes.HandleFunc("POST /twoway/events", accepted(http.StatusCreated))
	routes.HandleFunc("POST /twoway/handover", accepted(http.StatusOK))
	routes.HandleFunc("POST /plain/orders", plainOrders)
	routes.HandleFunc("POST /plain/later", e.later)
	routes.HandleFunc("POST /legacy/stock", legacyStock)
	routes.HandleFunc("GET /catalogue/{product}", catalogueEntry)
}

// bearer wants the endpoint's secret as a bearer token, when it has one.
func (e *Endpoint) bearer(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if e.secret != "" && r.Header.Get("Authorization") != "Bearer "+e.secret {
			http.Error(w, "the bearer token does not fit", http.StatusUnauthorized)
			return
		}
		serve(w, r)
	}
}

func accepted(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}
}

// area is a web service of the LoyJoy module: it makes a postal code of a city.
func area(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Params    map[string]any    `json:"params"`
		Variables map[string]string `json:"variables"`
	}
	if !readJSON(w, r, &request) {
		return
	}
	city, _ := request.Params["city"].(string)
	sendJSON(w, map[string]any{"data": map[string]any{"variables": map[string]any{
		"area": strings.ToUpper(city) + "-48149", "known": len(request.Variables),
	}}})
}

// plainOrders answers a CloudEvents event.
func plainOrders(w http.ResponseWriter, r *http.Request) {
	var event struct {
		SpecVersion string `json:"specversion"`
		Data        struct {
			Step string `json:"step"`
		} `json:"data"`
	}
	if !readJSON(w, r, &event) {
		return
	}
	if event.SpecVersion != "1.0" {
		http.Error(w, "invalid request: expected a CloudEvents event", http.StatusBadRequest)
		return
	}
	sendJSON(w, map[string]any{
		"messages": []string{"Your order is on its way."}, "variables": map[string]any{"state": "sent"},
	})
}

// legacyStock is a legacy service with a JSON format of its own.
func legacyStock(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Article string `json:"article"`
	}
	if !readJSON(w, r, &request) {
		return
	}
	sendJSON(w, map[string]any{"article": request.Article, "warehouses": []map[string]any{
		{"city": "Utrecht", "pieces": 3}, {"city": "Delft", "pieces": 0},
	}})
}

// catalogueEntry is a service that scripts ask.
func catalogueEntry(w http.ResponseWriter, r *http.Request) {
	prices := map[string]float64{"speaker": 79.95, "powerbank": 24.5}
	price, sold := prices[r.PathValue("product")]
	if !sold {
		http.NotFound(w, r)
		return
	}
	sendJSON(w, map[string]any{"name": r.PathValue("product"), "pieces": 3, "price": price})
}

// later answers 202 and calls back after ?ms= milliseconds, at the address that the request names.
func (e *Endpoint) later(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	address := r.Header.Get("Hookturn-Callback")
	if address == "" {
		http.Error(w, "the request names no address to call back", http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	e.calls.Go(func() { e.callBack(address, time.Duration(ms)*time.Millisecond) })
	w.WriteHeader(http.StatusAccepted)
}

// callBack posts an answer until it is taken, refused, or the endpoint stops.
func (e *Endpoint) callBack(address string, wait time.Duration) {
	body := []byte(`{"messages":["It has been shipped."],"variables":{"state":"shipped"}}`)
	for {
		select {
		case <-time.After(wait):
		case <-e.stopped():
			return
		}
		answer, err := http.Post(address, "application/json", bytes.NewReader(body))
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode < http.StatusInternalServerError {
				return
			}
		}
		wait = 200 * time.Millisecond
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, value any) bool {
	if err := json.NewDecoder(r.Body).Decode(value); err != nil {
		http.Error(w, "the body is not the JSON of this service", http.StatusBadRequest)
		return false
	}
	return true
}

func sendJSON(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "answer is not JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
