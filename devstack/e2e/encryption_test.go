package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/schemas"
)

// marker is a text that nothing may hold in clear.
const marker = "MARKER-of-a-person"

// TestEncryption_NothingInClear runs a step with a marker in its event and in its answer, and looks for the marker in the
// history and in every file of the Temporal server.
func TestEncryption_NothingInClear(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":true,"response":["%s"]}`, marker)
	})
	_, err := samples.Start()
	require.NoError(t, err)
	keys, data, operator := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "operator")
	bots := t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(keys, "2026-11"):   strings.Repeat("5a", 32),
		filepath.Join(bots, "shop.yaml"): "bot: shop\ndialect: haptik\nbase_urls: {test: " + samples.URL() + "}\nsteps: {ORDER: {webhook: {path: /orders}}}\n",
		operator:                         "ann owner token-of-the-first-owner\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	database, files := temporalDatabase(t)
	if files == "" {
		files = filepath.Join(data, "temporal")
	}
	s, e := startWith(t, stack.Options{
		Bots: bots, DataDir: data, TemporalPostgres: database, PayloadKeys: keys, Endpoint: samples, AdminAddr: "127.0.0.1:0",
		Gateway: app.Gateway{OperatorToken: operator},
	})
	const conversation = "conversation-in-clear"
	e.publish(t, "shop", conversation, uuid.NewString(), schemas.TypeStepRequested, fmt.Sprintf(
		`{"step":"ORDER","entities":{"name":[{"detection":"message","original_text":%q,"entity_value":"x"}]}}`, marker))
	reply := e.replied(t, "shop", conversation, 1)[0]
	require.Contains(t, fmt.Sprint(reply.Messages), marker)

	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.Temporal.Addr(), Namespace: s.Temporal.Namespace()})
	require.NoError(t, err)
	defer c.Close()
	var encrypted []*commonpb.Payload
	require.Eventually(t, func() bool { // the reply is published before the server has the workflow task
		h, err := readHistory(t.Context(), c, "conversation/default/shop/"+conversation, "")
		encrypted = acceptedPayloads(h)
		return err == nil && len(encrypted) > 0
	}, patience, 50*time.Millisecond)
	for _, event := range history(t, c, "conversation/default/shop/"+conversation, "").GetEvents() {
		raw, err := event.Marshal()
		require.NoError(t, err)
		require.NotContains(t, string(raw), marker)
	}
	decoded, err := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
		Endpoint: "http://" + s.Starter.AdminAddr() + "/codec",
		ModifyRequest: func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer token-of-the-first-owner")
			return nil
		},
	}).Decode(encrypted)
	require.NoError(t, err)
	require.Contains(t, string(decoded[0].GetData()), marker, "the codec server shows it")
	read := auditOf(t, s.NATS.URL(), schemas.AuditPayloadsDecrypt)
	require.NotEmpty(t, read, "recorded before it is shown")
	require.Equal(t, schemas.AuditRequested, read[0].Data.Result)
	require.Equal(t, "ann", read[0].Data.Actor.Name)
	require.Equal(t, "owner", read[0].Data.Actor.Role)

	found := filesWith(t, files, []byte(conversation))
	require.NotEmpty(t, found, "the search reads what the server has written")
	require.Empty(t, filesWith(t, files, []byte(marker)))

	require.NoError(t, s.Starter.Stop(t.Context()))
	read = auditOf(t, s.NATS.URL(), schemas.AuditPayloadsDecrypt)
	require.Len(t, read, 2, "the counts are recorded before the process ends")
	require.Equal(t, map[string]int{"requests": 1, "payloads": len(encrypted)}, read[1].Data.Counts)
}

// acceptedPayloads returns the payloads of the Updates in a run's history.
func acceptedPayloads(h *historypb.History) (all []*commonpb.Payload) {
	for _, event := range h.GetEvents() {
		if accepted := event.GetWorkflowExecutionUpdateAcceptedEventAttributes(); accepted != nil {
			all = append(all, accepted.GetAcceptedRequest().GetInput().GetArgs().GetPayloads()...)
		}
	}
	return all
}

// filesWith lists the files below a directory that hold some bytes.
func filesWith(t *testing.T, dir string, text []byte) []string {
	t.Helper()
	found, err := searchFiles(dir, text)
	require.NoError(t, err)
	return found
}

// searchFiles is filesWith for a condition that is polled. A file that the server deletes meanwhile holds nothing.
func searchFiles(dir string, text []byte) (found []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() { // PostgreSQL has a socket beside its files
			var content []byte
			if content, err = os.ReadFile(path); bytes.Contains(content, text) {
				found = append(found, path)
			}
		}
		if path != dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return found, err
}
