package endpoint

import (
	"encoding/json"
	"net/http"
)

// Answer is what an endpoint of the haptik dialect answers with status 200.
type Answer struct {
	// Status false shows the messages as the step's failure.
	Status bool `json:"status"`
	// Response holds the messages in order: text, or a rich element as HSL makes it.
	Response []string `json:"response"`
	// ConversationDetails and UserDetails are merged into the stores of the conversation and of the user.
	ConversationDetails map[string]any `json:"conversation_details,omitempty"`
	UserDetails         map[string]any `json:"user_details,omitempty"`
}

// Text is a successful answer of plain messages.
func Text(messages ...string) Answer { return Answer{Status: true, Response: messages} }

// Send writes the answer with the given HTTP status.
func (a Answer) Send(w http.ResponseWriter, status int) {
	body, err := json.Marshal(a)
	if err != nil {
		http.Error(w, "answer is not JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// HSL is a rich element as a message: a JSON object inside a string.
func HSL(element map[string]any) string {
	body, err := json.Marshal(element)
	if err != nil {
		panic("HSL element is not JSON: " + err.Error())
	}
	return string(body)
}

// buttons is the rich element for a choice: what is tapped is sent as the user's next message.
func buttons(text string, labels ...string) string {
	items := make([]map[string]any, len(labels))
	for i, label := range labels {
		items[i] = actionable(label)
	}
	return HSL(map[string]any{"text": text, "type": "BUTTON", "data": map[string]any{"items": items}})
}

// card is a carousel of one item.
func card(text, title, description, label string) string {
	return HSL(map[string]any{"text": text, "type": "CAROUSEL", "data": map[string]any{
		"image_aspect_ratio": 1, "width": "MEDIUM",
		"items": []map[string]any{{
			"title": title, "sub_title": "", "description": description,
			"actionables": []map[string]any{actionable(label)},
		}},
	}})
}

func actionable(label string) map[string]any {
	return map[string]any{
		"actionable_text": label, "type": "TEXT_ONLY", "uri": "", "is_default": 0, "location_required": false,
		"payload": map[string]any{"message": label, "gogo_message": ""},
	}
}
