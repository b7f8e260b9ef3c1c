package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// headerOlderKey is where a stored key keeps those that it has replaced, each with the time until which it verifies. The
// value itself is the key, as it was before there were older ones: an earlier release reads it.
const headerOlderKey = "Hookturn-Older-Key"

// olderKeysMax bounds the keys that verify beside the one that signs. Each loss of the bucket adds as many as there are
// processes that create one at the same time.
const olderKeysMax = 8

// keyRecord is what is stored of a key.
type keyRecord struct {
	current  []byte // nil when there is none
	older    []olderKey
	revision uint64
	at       time.Time // when it was stored
}

// olderKey is a key that was replaced.
type olderKey struct {
	key   []byte
	until int64 // seconds since 1970
}

// keys returns the key that signs, and those that verify only.
func (r keyRecord) keys() [][]byte {
	keys := [][]byte{r.current}
	for _, o := range r.older {
		keys = append(keys, o.key)
	}
	return keys
}

// equal reports whether two records hold the same keys for the same time.
func (r keyRecord) equal(to keyRecord) bool {
	return bytes.Equal(r.current, to.current) && slices.EqualFunc(r.older, to.older, func(a, b olderKey) bool {
		return a.until == b.until && bytes.Equal(a.key, b.key)
	})
}

// merge returns the record that holds the keys of a stored record and those of a process. The stored key signs; the key with
// which the process has signed until now verifies until retired.
func (r keyRecord) merge(own keyRecord, now, retired time.Time) keyRecord {
	merged := r
	older := slices.Concat(r.older, own.older)
	if merged.current == nil {
		merged.current = own.current
	} else if own.current != nil {
		older = append(older, olderKey{own.current, retired.Unix()})
	}
	slices.SortFunc(older, func(a, b olderKey) int {
		return cmp.Or(cmp.Compare(b.until, a.until), bytes.Compare(a.key, b.key))
	})
	merged.older = nil
	for _, o := range older {
		known := slices.ContainsFunc(merged.older, func(k olderKey) bool { return bytes.Equal(k.key, o.key) })
		if o.until <= now.Unix() || known || bytes.Equal(o.key, merged.current) || len(o.key) != len(merged.current) {
			continue
		}
		if merged.older = append(merged.older, o); len(merged.older) == olderKeysMax {
			break
		}
	}
	return merged
}

// readKeys returns the record of a name. It does not read from the leader, because a user may read some keys only.
func readKeys(ctx context.Context, js jetstream.JetStream, name string) (keyRecord, error) {
	if err := natsclient.CheckKey(name); err != nil {
		return keyRecord{}, err
	}
	m, err := natsclient.GetLastDirect(ctx, js, "KV_"+bus.BucketKeys, "$KV."+bus.BucketKeys+"."+name)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return keyRecord{}, nil
	}
	if err != nil {
		return keyRecord{}, err
	}
	r := keyRecord{revision: m.Sequence, at: m.Time}
	if removed(m) {
		return r, nil
	}
	r.current = slices.Concat([]byte{}, m.Data)
	for _, text := range m.Header.Values(headerOlderKey) {
		encoded, until, _ := strings.Cut(text, " ")
		o := olderKey{}
		o.key, err = base64.RawURLEncoding.DecodeString(encoded)
		if o.until, _ = strconv.ParseInt(until, 10, 64); err == nil {
			r.older = append(r.older, o)
		}
	}
	return r, nil
}

// writeKeys stores a record over its revision; IsConflict reports that another process has stored one since.
func writeKeys(ctx context.Context, js jetstream.JetStream, name string, r keyRecord) error {
	m := nats.NewMsg(natsclient.KeySubject(js, bus.BucketKeys, name))
	m.Data = r.current
	for _, o := range r.older {
		m.Header.Add(headerOlderKey, base64.RawURLEncoding.EncodeToString(o.key)+" "+strconv.FormatInt(o.until, 10))
	}
	_, err := js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(r.revision))
	return err
}
