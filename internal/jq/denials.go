package jq

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A program that exceeds its limits strikesMax times in a row is denied for denyFirst. It then gets one try; each further
// failure doubles the time, up to denyMost. A run within the limits resets the count.
const (
	strikesMax = 3
	denyFirst  = 30 * time.Second
	denyMost   = 10 * time.Minute
	// recordsMax is the number of programs in memory; beyond it, programs that are not denied are removed.
	recordsMax = 10_000
)

type key [sha256.Size]byte

// keyOf returns the key of a tenant's program.
func keyOf(tenant, program string) key { return sha256.Sum256([]byte(tenant + "\x00" + program)) }

// denials holds the programs that exceeded their limits.
type denials struct {
	mu      sync.Mutex
	records map[key]record
}

type record struct {
	strikes int
	length  time.Duration // of the latest denial
	until   time.Time
}

func newDenials() *denials { return &denials{records: map[key]record{}} }

// check reports whether a program is denied now.
func (d *denials) check(k key, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if left := d.records[k].until.Sub(now); left > 0 {
		return fmt.Errorf("%w: it is tried again in %s; make it simpler, or its input smaller", ErrDenied, left.Round(time.Second))
	}
	return nil
}

// note records the result of a run.
func (d *denials) note(k key, err error, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrMemory) {
		delete(d.records, k)
		return
	}
	if len(d.records) >= recordsMax {
		for other, r := range d.records {
			if !r.until.After(now) {
				delete(d.records, other)
			}
		}
	}
	r := d.records[k]
	if r.strikes++; r.strikes >= strikesMax {
		r.length = min(max(2*r.length, denyFirst), denyMost)
		r.until = now.Add(r.length)
	}
	d.records[k] = r
}
