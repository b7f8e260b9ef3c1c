package eventreader

import (
	"cmp"
	"time"
)

// StoredID identifies a stored event. The sequence alone does not: a stream that has lost its last writes, was restored from
// a backup or was created again gives its sequences to other events, of any tenant.
type StoredID struct {
	Sequence uint64
	Received int64 // when JetStream stored it, in Unix nanoseconds
}

// StoredID returns the identity of the event in the stream.
func (m *Message) StoredID() StoredID { return storedID(m.Sequence, m.Received) }

func storedID(sequence uint64, received time.Time) StoredID {
	return StoredID{sequence, received.UnixNano()}
}

// compare orders by sequence, and events of one sequence by the time of storing.
func (id StoredID) compare(other StoredID) int {
	return cmp.Or(cmp.Compare(id.Sequence, other.Sequence), cmp.Compare(id.Received, other.Received))
}
