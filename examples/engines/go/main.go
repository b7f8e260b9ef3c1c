// Command go is a bot engine that has only HTTP: it publishes one event, and reads replies until that of its event.
//
//	HOOKTURN_URL=http://127.0.0.1:8080 HOOKTURN_TOKEN=… go run ./examples/engines/go orders c-42 STATUS cursor.txt
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// engine is one bot of an engine. The cursor is the sequence of the last reply that it has handled.
type engine struct {
	url, token, bot, cursorFile string
	seen                        map[string]bool // CloudEvents ids of replies; a real engine keeps them for a day, in its store
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: go BOT CONVERSATION STEP CURSORFILE")
		os.Exit(2)
	}
	e := engine{os.Getenv("HOOKTURN_URL"), os.Getenv("HOOKTURN_TOKEN"), os.Args[1], os.Args[4], map[string]bool{}}
	event := map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("go-%d", time.Now().UnixNano()), "source": "/engines/go",
		"type": "hookturn.step.requested", "time": time.Now().UTC(), "subject": os.Args[2], "bot": e.bot,
		"data": map[string]any{"step": os.Args[3]},
	}
	// Reading begins first: the first line of the stream is the position from which nothing is missed.
	for published := false; ; time.Sleep(time.Second) {
		done, err := e.read(event["id"], func() error {
			if published {
				return nil
			}
			err := e.publish(event)
			published = err == nil
			return err
		})
		if done {
			return
		}
		fmt.Fprintln(os.Stderr, "connecting again:", err)
	}
}

// publish repeats an event under its id until hookturn has it: a repetition is stored once.
func (e engine) publish(event map[string]any) error {
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	for {
		answer, err := e.send(http.MethodPost, "/events", bytes.NewReader(body), "application/cloudevents+json", "")
		if err == nil {
			_ = answer.Body.Close()
			switch {
			case answer.StatusCode == http.StatusAccepted:
				return nil
			case answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests:
				fmt.Fprintln(os.Stderr, "the event is not accepted:", answer.Status)
				os.Exit(1)
			}
		}
		time.Sleep(time.Second)
	}
}

// read handles replies in order until the connection ends; done is true once the event is answered.
func (e engine) read(event any, started func() error) (done bool, err error) {
	cursor, _ := os.ReadFile(e.cursorFile) // there is none at first
	answer, err := e.send(http.MethodGet, "/replies?bot="+e.bot, nil, "", strings.TrimSpace(string(cursor)))
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusGone { // the stream was created again: read all, and rely on the ids
		return false, os.WriteFile(e.cursorFile, []byte("0"), 0o600)
	}
	if answer.StatusCode != http.StatusOK {
		return false, errors.New(answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 2<<20) // a reply has at most 1 MiB
	var id, data string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case lines.Text() == "" && id != "": // the end of one event
			done = data != "" && e.handle(data, event)
			// Acknowledge: from here on, a restart does not read this reply again.
			if err = os.WriteFile(e.cursorFile, []byte(id), 0o600); err == nil && data == "" {
				err = started()
			}
			if err != nil || done {
				return done, err
			}
			id, data = "", ""
		}
	}
	return false, lines.Err()
}

// handle prints one reply; it is true for the one that ends the step of the event.
func (e engine) handle(data string, event any) bool {
	var reply struct {
		ID, Type string
		Data     struct {
			EventID  string `json:"event_id"`
			Outcome  string
			Messages []struct{ Text string }
		}
	}
	if json.Unmarshal([]byte(data), &reply) != nil || e.seen[reply.ID] {
		return false
	}
	e.seen[reply.ID] = true
	for _, m := range reply.Data.Messages {
		fmt.Println(reply.Data.Outcome, m.Text)
	}
	return reply.Type == "hookturn.step.replied" && reply.Data.EventID == event
}

func (e engine) send(method, path string, body *bytes.Reader, media, cursor string) (*http.Response, error) {
	request, err := http.NewRequest(method, e.url+path, http.NoBody)
	if body != nil {
		request, err = http.NewRequest(method, e.url+path, body)
	}
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+e.token)
	request.Header.Set("Content-Type", media)
	if cursor != "" {
		request.Header.Set("Last-Event-ID", cursor)
	}
	return http.DefaultClient.Do(request)
}
