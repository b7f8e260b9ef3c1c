package codec

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

var (
	discardLogger = slog.New(slog.DiscardHandler)
	yesterday     = time.Now().Add(-24 * time.Hour)
)

const marker = "MARKER-of-a-person"

// writeKey writes a key file that was changed at a time.
func writeKey(t testing.TB, dir, id string, changed time.Time) {
	t.Helper()
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw)
	path := filepath.Join(dir, id)
	require.NoError(t, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(raw)+"\n"), 0o600))
	require.NoError(t, os.Chtimes(path, changed, changed))
}

func newCodec(t testing.TB, dir string) *Codec {
	t.Helper()
	c, err := New(dir, discardLogger)
	require.NoError(t, err)
	return c
}

func payload(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "m": []byte(marker)}, Data: []byte(text)}
}

func encoded(t testing.TB, c *Codec, p *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	list, err := c.Encode([]*commonpb.Payload{p})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

func requireDecodes(t testing.TB, c *Codec, want, encrypted *commonpb.Payload) {
	t.Helper()
	list, err := c.Decode([]*commonpb.Payload{encrypted})
	require.NoError(t, err)
	require.True(t, proto.Equal(want, list[0]), "%v", list[0])
}

func TestCodec_NothingInClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "k1", yesterday)
	c := newCodec(t, dir)
	for _, text := range []string{"", marker, strings.Repeat(marker, 1000), string(make([]byte, 2<<20))} {
		p := payload(text)
		encrypted := encoded(t, c, p)
		require.NotEqual(t, encrypted.GetData(), encoded(t, c, p).GetData(), "two encryptions differ")
		raw, err := proto.Marshal(encrypted)
		require.NoError(t, err)
		require.NotContains(t, string(raw), marker)
		require.Equal(t, "k1", string(encrypted.GetMetadata()[MetadataKeyID]))
		require.Equal(t, Encoding, string(encrypted.GetMetadata()[converter.MetadataEncoding]))
		requireDecodes(t, c, p, encrypted)
		if len(text) > 10_000 {
			require.Less(t, len(raw), len(text)/10, "compressed first")
		}
	}
}

func TestCodec_PayloadsInClearReturned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "k1", yesterday)
	requireDecodes(t, newCodec(t, dir), payload("in clear"), payload("in clear"))
}

func TestCodec_RotatedWhileRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "2026-01", yesterday)
	writer, reader := newCodec(t, dir), newCodec(t, dir)
	old := encoded(t, writer, payload("old"))
	writeKey(t, dir, "2026-02", time.Now())
	require.Eventually(t, func() bool {
		return string(encoded(t, writer, payload("")).GetMetadata()[MetadataKeyID]) == "2026-02"
	}, time.Minute, 10*time.Millisecond)
	requireDecodes(t, reader, payload("new"), encoded(t, writer, payload("new")))
	requireDecodes(t, writer, payload("old"), old)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad"), []byte("not a key"), 0o600))
	writer.keys.Reread()
	requireDecodes(t, writer, payload("new"), encoded(t, writer, payload("new")))
}

func TestCodec_KeyMissing(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	writeKey(t, dir, "k1", yesterday)
	writeKey(t, other, "k2", yesterday)
	c := newCodec(t, other)
	encrypted := []*commonpb.Payload{encoded(t, newCodec(t, dir), payload(marker))}
	_, err := c.Decode(encrypted)
	require.ErrorContains(t, err, `does not have the key "k1"`)
	c.Blocking = true
	require.PanicsWithError(t, err.Error(), func() { _, _ = c.Decode(encrypted) })
}

func TestCodec_Damaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "k1", yesterday)
	c := newCodec(t, dir)
	good := encoded(t, c, payload(strings.Repeat(marker, 100)))
	for at := range good.GetData() {
		bad := proto.CloneOf(good)
		bad.Data[at] ^= 1
		_, err := c.Decode([]*commonpb.Payload{bad})
		require.ErrorIs(t, err, errDamaged)
	}
	for _, data := range [][]byte{nil, good.GetData()[:overhead-1], good.GetData()[:overhead]} {
		_, err := c.Decode([]*commonpb.Payload{{Metadata: good.GetMetadata(), Data: data}})
		require.ErrorIs(t, err, errDamaged)
	}
	writeKey(t, dir, "k1", time.Now()) // other content under the same id
	c.keys.Reread()
	_, err := c.Decode([]*commonpb.Payload{good})
	require.ErrorContains(t, err, "other content")
}

func TestKeys_NewestActive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "b", yesterday)
	writeKey(t, dir, "a", yesterday)
	writeKey(t, dir, ".hidden", time.Now())
	read, err := readKeys(dir)
	require.NoError(t, err)
	require.Equal(t, "b", read.newest.id, "of the same time, the last in the order of names")
	require.Len(t, read.byID, 2)
	writeKey(t, dir, "a", time.Now())
	read, err = readKeys(dir)
	require.NoError(t, err)
	require.Equal(t, "a", read.newest.id)
}

// TestKeys_WrittenTogether: the kubelet writes the files of a Secret within milliseconds, in any order.
func TestKeys_WrittenTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "2026-10", yesterday.Add(-2*time.Millisecond))
	writeKey(t, dir, "2026-11", yesterday)
	writeKey(t, dir, "2026-12", yesterday.Add(-3*time.Millisecond))
	writeKey(t, dir, "first", yesterday.Add(-sameTime-time.Second))
	read, err := readKeys(dir)
	require.NoError(t, err)
	require.Equal(t, "2026-12", read.newest.id)
}

// TestCodec_ActiveKeyInTheLog: the log names the key that encrypts when it changes.
func TestCodec_ActiveKeyInTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir, "2026-01", yesterday)
	var text bytes.Buffer
	c, err := New(dir, slog.New(slog.NewTextHandler(&text, nil)))
	require.NoError(t, err)
	writeKey(t, dir, "2025-12", yesterday.Add(-time.Hour))
	c.keys.Reread()
	require.NotContains(t, text.String(), "active payload key")
	writeKey(t, dir, "2026-02", time.Now())
	c.keys.Reread()
	require.Contains(t, text.String(), `msg="active payload key changed" key=2026-02 earlier=2026-01`)

	silent, err := New(dir, nil)
	require.NoError(t, err)
	writeKey(t, dir, "2026-03", time.Now().Add(time.Hour))
	require.Equal(t, "2026-03", silent.keys.Reread().newest.id)
}

func TestKeys_Forms(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{7}, keySize)
	for _, text := range []string{hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw) + "\r\n"} {
		secret, err := parseKey([]byte(text))
		require.NoError(t, err)
		require.Equal(t, raw, secret[:])
	}
	for _, text := range []string{"", "secret-text", strings.Repeat("ab", 31), base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		_, err := parseKey([]byte(text))
		require.ErrorIs(t, err, errKey, text)
	}
}

func TestKeys_InvalidDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, content, want string }{
		"no file":  {"", "", "does not have a key file"},
		"no key":   {"k1", "x", "k1: invalid key, expected 32 random bytes"},
		"bad name": {"k 1", "x", "k 1: invalid file name"},
		"large":    {"k1", strings.Repeat("x", fileMax+1), "invalid key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.file != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600))
			}
			_, err := New(dir, discardLogger)
			require.ErrorContains(t, err, c.want)
			_, err = New(filepath.Join(dir, "none"), discardLogger)
			require.ErrorContains(t, err, "payload keys: open")
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	dir := b.TempDir()
	writeKey(b, dir, "k1", yesterday)
	c := newCodec(b, dir)
	for _, size := range []int{200, 2000, 20_000} {
		text := strings.Repeat(`{"detection":"message","original_text":"speaker","entity_value":"a0"},`, size/70+1)[:size]
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := []*commonpb.Payload{payload(text)}
			for b.Loop() {
				encrypted, err := c.Encode(p)
				require.NoError(b, err)
				_, err = c.Decode(encrypted)
				require.NoError(b, err)
			}
		})
	}
}
