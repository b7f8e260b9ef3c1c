package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

const page = "<!DOCTYPE html><html><head><title>Webhook</title></head><body><p>Webhook server is up</p></body></html>\n"

// newRoutes returns the routes. GET shows that the server can be reached.
func (e *Endpoint) newRoutes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	})
	routes.HandleFunc("POST /", http.NotFound)
	for path, serve := range map[string]http.HandlerFunc{
		"/orders":        orders,
		"/flaky":         e.flaky,
		"/broken":        broken,
		"/slow":          slow,
		"/echo":          echo,
		"/status/{code}": status,
	} {
		routes.HandleFunc("POST "+path, e.checked(serve))
	}
	e.addPartners(routes)
	e.addChaos(routes)
	return routes
}

// checked rejects requests that hookturn does not send: 400 for a body that is not JSON of known length, 401 for a request
// that is not signed with the secret.
func (e *Endpoint) checked(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || mediaType != "application/json" {
			http.Error(w, "Content-Type must be application/json", http.StatusBadRequest)
			return
		}
		if r.ContentLength <= 0 {
			http.Error(w, "Content-Length is missing", http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "body cannot be read", http.StatusBadRequest)
			return
		}
		// Over the bytes as they came, and before anything in them is looked at.
		if e.secret != "" && !Verify(e.secret, body, r.Header) {
			http.Error(w, "signature does not match", http.StatusUnauthorized)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		serve(w, r)
	}
}

// orders is the vendor's sample: it looks up the product that the user has named.
func orders(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Entities map[string]json.RawMessage `json:"entities"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Entities == nil {
		http.Error(w, "entities are missing", http.StatusBadRequest)
		return
	}
	product, err := entity(request.Entities["product_name"])
	if err != nil {
		http.Error(w, "entity product_name: "+err.Error(), http.StatusBadRequest)
		return
	}
	catalogue(product).Send(w, http.StatusOK)
}

// entity is the first value that was detected: a string, or an object with the string as its value. No detections at
// all are an empty string.
func entity(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var detections []struct {
		Value json.RawMessage `json:"entity_value"`
	}
	if err := json.Unmarshal(raw, &detections); err != nil {
		return "", errors.New("not a list of detections")
	}
	if len(detections) == 0 {
		return "", nil
	}
	var text string
	if json.Unmarshal(detections[0].Value, &text) == nil {
		return text, nil
	}
	var object struct {
		Value *string `json:"value"`
	}
	if json.Unmarshal(detections[0].Value, &object) == nil && object.Value != nil {
		return *object.Value, nil
	}
	return "", errors.New("invalid value: expected a string")
}

func catalogue(product string) Answer {
	switch product {
	case "speaker":
		answer := Text("Your speaker is on its way.",
			card("Order", "Wireless speaker", "Leaves the warehouse today", "Track my order"))
		answer.ConversationDetails = map[string]any{"product": "speaker"}
		return answer
	case "powerbank":
		answer := Text("Your powerbank has arrived.",
			buttons("What would you like to do?", "Return it", "Rate it"))
		answer.ConversationDetails = map[string]any{"product": "powerbank"}
		return answer
	case "":
		return Answer{Status: false, Response: []string{"Which product is it about?"}}
	default:
		return Answer{Status: false, Response: []string{"Sorry, we do not sell that product."}}
	}
}
