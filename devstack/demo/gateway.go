package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Tokens of the examples.
const (
	ordersToken = "example-token-of-the-orders-channel"
	nightToken  = "example-token-of-the-night-orders"
	eventToken  = "example-event-token-for-trying-things-out"
	agentToken  = "example-secret-for-trying-things-out"
)

func (d *demo) gateway() []scene {
	scenes := []scene{
		{"POST /events: an engine without NATS publishes an event", d.postEvent},
		{"TwoWay's outbound URL: the agent answers the client", d.agentAnswers},
	}
	if d.stack.NoCode != nil {
		return scenes // what follows needs scripts, and the code steps have said so already
	}
	return append(scenes,
		scene{"An integration channel, synchronous: the shop posts an order and waits for the script's answer", d.orderNow},
		scene{"The same, asynchronous: the answer comes first, the run is durable", d.orderLater},
		scene{"The same over a WebSocket: an answer by its qid, and a message without a request", d.talk},
	)
}

// post sends a request to the gateway and returns the response, which must have a status.
func (d *demo) post(ctx context.Context, path, body string, status int, headers ...string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.stack.Starter.GatewayAddr()+path,
		strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return "", err
	}
	fmt.Fprintf(d.out, "  -> POST %s\n  <- HTTP %d %s\n", path, answer.StatusCode, text)
	if answer.StatusCode != status {
		return "", fmt.Errorf("expected HTTP %d", status)
	}
	return string(text), nil
}

func (d *demo) postEvent(ctx context.Context) error {
	event := `{"specversion":"1.0","id":"demo-http-1","source":"/demo","type":"hookturn.step.requested",` +
		`"time":"2026-11-20T12:00:00Z","subject":"c-30","bot":"orders","data":{"step":"STATUS"}}`
	if _, err := d.post(ctx, "/events", event, http.StatusAccepted,
		"Content-Type", "application/cloudevents+json", "Authorization", "Bearer "+eventToken); err != nil {
		return err
	}
	return d.replied(ctx, schemas.OutcomeSuccess)
}

func (d *demo) agentAnswers(ctx context.Context) error {
	const account = "5f1d9c2e-0000-4000-8000-000000000001"
	envelope := `{"chat":{"id":"any","accountId":"` + account +
		`","channel":"WhatsApp","conversationClientId":"c-7","conversationHostId":"helpdesk"},"conversationMessages":[` +
		`{"$type":"text","id":"m-1","direction":"ClientTerminated","text":"Good morning, Ann here."}]}`
	_, err := d.post(ctx, "/conversational/twoway/v2/accounts/"+account+"/adapters/agents", envelope, http.StatusCreated,
		"Content-Type", "application/json", "X-Cm-Producttoken", agentToken)
	if err != nil {
		return err
	}
	r, err := d.expect(ctx, schemas.TypeMessageSent)
	if err != nil {
		return err
	}
	var data schemas.MessageSent
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  <- %s: conversation %s, the client reads: %s\n", r.Type, r.Subject, said(data.Messages[0]))
	return nil
}

func (d *demo) orderNow(ctx context.Context) error {
	_, err := d.post(ctx, "/exec", `{"article":"speaker"}`, http.StatusCreated,
		"Content-Type", "application/json", "Authorization", "Bearer "+ordersToken)
	return err
}

func (d *demo) orderLater(ctx context.Context) error {
	text, err := d.post(ctx, "/exec", `{"article":"powerbank"}`, http.StatusOK,
		"Content-Type", "application/json", "Authorization", "Bearer "+nightToken)
	if err != nil {
		return err
	}
	var accepted struct{ ID string }
	if err := json.Unmarshal([]byte(text), &accepted); err != nil {
		return err
	}
	id := step.ID(schemas.BotID{Tenant: "default", Bot: "storefront"}.WithConversation("channel-night_orders"), accepted.ID)
	temporal, err := client.DialContext(ctx, client.Options{
		HostPort: d.stack.Temporal.Addr(), Namespace: d.stack.Temporal.Namespace(),
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer temporal.Close()
	var result step.Result
	run := temporal.GetWorkflow(ctx, id, "")
	if err := run.Get(ctx, &result); err != nil {
		return err
	}
	link := d.link(schemas.WorkflowRef{ID: id, RunID: run.GetRunID()})
	fmt.Fprintf(d.out, "     the run has ended: %s\n     run: %s\n", result.Outcome, link)
	return nil
}

func (d *demo) talk(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	address := "ws://" + d.stack.Starter.GatewayAddr() + "/ws/token/v1"
	conn, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{ //nolint:bodyclose // the library has closed it
		HTTPHeader: http.Header{"Authorization": {"Bearer " + ordersToken}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	const message = `["message",{"qid":7,"data":{"text":"hello"}}]`
	if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  -> %s\n", message)
	for range 2 {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "  <- %s\n", text)
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}
