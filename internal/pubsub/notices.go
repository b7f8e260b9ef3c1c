package pubsub

import (
	"encoding/json"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// A system notice informs the WebSocket connections of integration channels about a reply or an advisory. It is
// published without an acknowledgement and stored nowhere; its id is that of the reply or advisory, so a repeated one is
// recognized.

// stepEnd is the data of the notice of a step's end: what it has of the reply.
type stepEnd struct {
	Error   *errorCode      `json:"error,omitempty"`
	EventID string          `json:"event_id"`
	Outcome schemas.Outcome `json:"outcome"`
	Step    string          `json:"step"`
}

type errorCode struct {
	Kind string `json:"kind"`
}

// noticesOf returns the system notices that a reply stands for; none for most types.
func noticesOf(reply schemas.Reply) []schemas.Notice {
	switch reply.Type {
	case schemas.TypeConversationClosed:
		var closed schemas.ConversationClosed
		if json.Unmarshal(reply.Data, &closed) != nil {
			return nil
		}
		return systemNotice(schemas.ClassConversationClosed, reply, map[string]any{"reason": closed.Reason})
	case schemas.TypeStepReplied, schemas.TypeStepLate:
	default:
		return nil
	}
	var ended struct {
		stepEnd
		Conversation string `json:"conversation"`
	}
	if json.Unmarshal(reply.Data, &ended) != nil {
		return nil
	}
	notices := systemNotice(schemas.ClassStepEnded, reply, ended.stepEnd)
	if ended.Outcome == schemas.OutcomeHandover || ended.Conversation == schemas.ConversationHandover {
		notices = append(notices, systemNotice(schemas.ClassConversationHandover, reply, ended.stepEnd)...)
	}
	return notices
}

func systemNotice(class string, reply schemas.Reply, data any) []schemas.Notice {
	text, err := schemas.Marshal(data)
	if err != nil {
		return nil
	}
	return []schemas.Notice{{
		SpecVersion: "1.0", ID: reply.ID, Source: reply.Source, Type: class, Time: reply.Time, Subject: reply.Subject,
		DataContentType: "application/json", Data: text,
	}}
}

// noticeOf returns the system notice of an advisory: the same event under a class of notices.
func noticeOf(advisory []byte) (schemas.Notice, bool) {
	var n schemas.Notice
	if json.Unmarshal(advisory, &n) != nil || !strings.HasPrefix(n.Type, schemas.ClassSystem+".") {
		return schemas.Notice{}, false
	}
	return n, schemas.IsClass(n.Type)
}

// Announce publishes the system notices that a reply stands for.
func (p *PubSub) Announce(owner schemas.BotID, reply schemas.Reply) {
	p.announce(owner, noticesOf(reply)...)
}

// announce publishes system notices. What cannot be published is lost, as any notice without a listener is.
func (p *PubSub) announce(owner schemas.BotID, notices ...schemas.Notice) {
	for _, n := range notices {
		if text, err := schemas.Marshal(n); err == nil {
			_ = p.nc.Publish(schemas.NoticeSubject(owner, n.Type), text)
		}
	}
}
