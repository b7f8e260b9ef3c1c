package schemas

import (
	"encoding/json"
	"slices"
)

// eventRule describes what hookturn reads from the data of one event type. Other members are unknown to that type and passed
// over, even when another type has them.
type eventRule struct {
	required string // the member that must be there; "" when none must
	members  map[string]memberReader
}

type memberReader func(s scanner, d *EventData) error

var eventRules = map[string]eventRule{
	TypeStepRequested: {"step", map[string]memberReader{
		"step": readStep, "user": readUser, "conversation_no": readConversationNo, "entities": readEntities,
		"variables": readVariables, "params": readParams, "message": readMessage,
	}},
	TypeEntitiesCollected:    {"entities", map[string]memberReader{"entities": readEntities}},
	TypeMessageReceived:      {"message", toAdapter("message", readClientMessage)},
	TypeConversationEvent:    {"event", toAdapter("event", readSessionEvent)},
	TypeConversationHandover: {"", toAdapter("context", readContext)},
	TypeConversationEnded:    {"", map[string]memberReader{"reason": readReason}},
}

// toAdapter is what an event for an adapter has beside its own member: who talks, and how the chat is named there.
func toAdapter(own string, read memberReader) map[string]memberReader {
	return map[string]memberReader{own: read, "adapter": readAdapter, "user": readUser, "params": readParams}
}

// EventTypes lists the event types in the contract's order.
func EventTypes() []string {
	return []string{TypeStepRequested, TypeEntitiesCollected, TypeMessageReceived, TypeConversationEvent,
		TypeConversationHandover, TypeConversationEnded}
}

func isEventType(t string) bool { return slices.Contains(EventTypes(), t) }

// decodeData reads the members of data that the event type has. A member that is null counts as missing.
func decodeData(s scanner, eventType string, d *EventData) error {
	rule := eventRules[eventType]
	found := rule.required == ""
	err := s.Object(func(name []byte) error {
		read := rule.members[string(name)]
		if read == nil || s.Peek() == 'n' {
			return s.Skip()
		}
		found = found || string(name) == rule.required
		return read(s, d)
	})
	if err == nil && !found {
		return under(rule.required, invalid("is required in data of %s", eventType))
	}
	return err
}

func readStep(s scanner, d *EventData) (err error) {
	if d.Step, err = s.name(); err == nil && !IsToken(d.Step) {
		err = invalid("must be 1 to %d of the characters A-Z a-z 0-9 _ -", tokenMax)
	}
	return err
}

func readConversationNo(s scanner, d *EventData) (err error) {
	d.ConversationNo, err = s.integer(integerMax)
	return err
}

func readAdapter(s scanner, d *EventData) (err error) {
	d.Adapter, err = s.name()
	return err
}

func readReason(s scanner, d *EventData) (err error) {
	d.Reason, err = s.text()
	return err
}

func readUser(s scanner, d *EventData) error {
	d.User = new(User)
	return s.Object(func(name []byte) (err error) {
		text := d.User.text(name)
		switch {
		case s.Peek() == 'n':
			err = s.Skip()
		case text == &d.User.ID, text == &d.User.AuthID: // these identify the user
			*text, err = s.name()
		case text != nil:
			*text, err = s.text()
		case string(name) == "device_platform":
			var n int64
			n, err = s.integer(platformMax)
			d.User.DevicePlatform = int(n)
		default:
			err = s.Skip()
		}
		return err
	})
}

// text is the member of that name that holds a string; nil when there is none.
func (u *User) text(name []byte) *string {
	switch string(name) {
	case "id":
		return &u.ID
	case "name":
		return &u.Name
	case "full_name":
		return &u.FullName
	case "language":
		return &u.Language
	case "auth_id":
		return &u.AuthID
	case "auth_code":
		return &u.AuthCode
	}
	return nil
}

// readEntities reads entities by name. One that is null counts as not collected.
func readEntities(s scanner, d *EventData) error {
	d.Entities = map[string][]Entity{}
	return s.Object(func(name []byte) error {
		if s.Peek() == 'n' {
			return s.Skip()
		}
		detections := []Entity{}
		err := s.Array(func() error {
			entity, err := s.entity()
			detections = append(detections, entity)
			return err
		})
		d.Entities[string(name)] = detections
		return err
	})
}

func (s scanner) entity() (e Entity, err error) {
	err = s.Object(func(name []byte) (err error) {
		switch {
		case string(name) == "entity_value":
			e.EntityValue, err = s.value()
		case s.Peek() == 'n':
			err = s.Skip()
		case string(name) == "detection":
			e.Detection, err = s.text()
		case string(name) == "original_text":
			e.OriginalText, err = s.text()
		default:
			err = s.Skip()
		}
		return err
	})
	if err == nil && e.EntityValue == nil {
		err = under("entity_value", invalid("is required"))
	}
	return e, err
}

// readVariables reads variables by name. One that is null counts as not set.
func readVariables(s scanner, d *EventData) error {
	d.Variables = map[string]string{}
	return s.Object(func(name []byte) error {
		if s.Peek() == 'n' {
			return s.Skip()
		}
		text, err := s.text()
		d.Variables[string(name)] = text
		return err
	})
}

func readParams(s scanner, d *EventData) error {
	d.Params = map[string]json.RawMessage{}
	return s.Object(func(name []byte) (err error) {
		d.Params[string(name)], err = s.value()
		return err
	})
}

func readMessage(s scanner, d *EventData) (err error) {
	d.Message, err = s.freeObject()
	return err
}

func readContext(s scanner, d *EventData) (err error) {
	d.Context, err = s.freeObject()
	return err
}

func readSessionEvent(s scanner, d *EventData) (err error) {
	d.Event, _, err = s.typedObject()
	return err
}

// readClientMessage reads a message for an adapter. Its type text is the one that hookturn knows inside.
func readClientMessage(s scanner, d *EventData) error {
	message, kind, err := s.typedObject()
	if err != nil {
		return err
	}
	d.Message = message
	if kind != "text" {
		return nil
	}
	found := false
	s = newScanner(message)
	err = s.Object(func(name []byte) error {
		if string(name) != "text" {
			return s.Skip()
		}
		found = true
		_, err := s.text()
		return err
	})
	if err == nil && !found {
		return under("text", invalid("is required in a message of type text"))
	}
	return err
}

// freeObject reads an object and keeps its bytes.
func (s scanner) freeObject() (json.RawMessage, error) {
	if s.Peek() != '{' {
		return nil, s.WrongType("an object")
	}
	return s.value()
}

// typedObject reads an object and the kind in its member type.
func (s scanner) typedObject() (object json.RawMessage, kind string, err error) {
	start := s.Pos()
	err = s.Object(func(name []byte) (err error) {
		if string(name) != "type" {
			return s.Skip()
		}
		if kind, err = s.text(); err == nil && kind == "" {
			err = invalid("must not be empty")
		}
		return err
	})
	if err == nil && kind == "" {
		err = under("type", invalid("is required"))
	}
	if err != nil {
		return nil, "", err
	}
	return json.RawMessage(string(s.Since(start))), kind, nil
}
