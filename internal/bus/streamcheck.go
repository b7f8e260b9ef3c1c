package bus

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// checkStream rejects an existing stream that would lose data or does not have the subjects. It does not change a
// stream: the operator decides about sizes, ages, replicas and the number of partitions.
func checkStream(have, want jetstream.StreamConfig) error {
	for _, c := range []struct {
		bad     bool
		setting string
		todo    string
	}{
		{!covers(have.Subjects, want.Subjects),
			fmt.Sprintf("subjects are %v", have.Subjects), "add the subject " + strings.Join(want.Subjects, "")},
		{have.Storage != jetstream.FileStorage,
			"storage is memory, which loses its content at a restart of the server", "create it again with file storage"},
		{have.PersistMode == jetstream.AsyncPersistMode,
			"persist_mode is async, which loses acknowledged messages in a crash", "set persist_mode to default"},
		{have.Duplicates <= 0,
			"duplicate_window is 0, so a message that is sent twice is stored twice",
			fmt.Sprintf("set duplicate_window to %s", want.Duplicates)},
		{want.Name == schemas.StreamReplies && have.Duplicates > 0 && have.Duplicates < want.Duplicates,
			fmt.Sprintf("duplicate_window is %s, shorter than the time in which a step may publish its reply again", have.Duplicates),
			fmt.Sprintf("set duplicate_window to %s or more", want.Duplicates)},
		{have.NoAck,
			"no_ack is set, so a publisher receives no acknowledgement of a stored message", "set no_ack to false"},
		{want.Retention == jetstream.WorkQueuePolicy && have.Retention != jetstream.WorkQueuePolicy,
			"retention is " + have.Retention.String() + ", so handled events would stay or unread events would be deleted",
			"create it again with work queue retention"},
		{want.Discard == jetstream.DiscardNew && have.Discard != jetstream.DiscardNew && bounded(have),
			"discard is old, so a full stream drops unread events", "set discard to new"},
		{want.Retention == jetstream.WorkQueuePolicy && have.AllowDirect && have.Replicas > 1,
			"allow_direct is set on a replicated stream, so a takeover may miss events", "set allow_direct to false"},
		{want.Retention == jetstream.WorkQueuePolicy && have.MaxAge > 0,
			"max_age is set, so unread events are dropped", "set max_age to 0"},
	} {
		if c.bad {
			return fmt.Errorf("stream %s cannot be used: %s: %s", have.Name, c.setting, c.todo)
		}
	}
	return nil
}

func bounded(c jetstream.StreamConfig) bool {
	return c.MaxBytes > 0 || c.MaxMsgs > 0 || c.MaxMsgsPerSubject > 0
}

// covers reports whether one of the subjects includes the one that is wanted, if there is one. It knows the wider subjects
// that an operator would write.
func covers(subjects, wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	want := wanted[0]
	root := want[:len(want)-len(".*.*.*")]
	for _, s := range subjects {
		if s == want || s == root+".>" || s == "hookturn.>" || s == ">" {
			return true
		}
	}
	return false
}

// partitionTransform returns the transform that adds the number of the partition before the three tokens of a subject.
// It is computed from all three, so that all events of one conversation are in one partition.
func partitionTransform(partitions int) *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{
		Source: schemas.SubjectEvents + ".*.*.*",
		Destination: fmt.Sprintf("%s.{{partition(%d,1,2,3)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}",
			schemas.SubjectEvents, partitions),
	}
}

var transformForm = regexp.MustCompile(`^hookturn\.events\.\{\{\s*[pP]artition\s*\(\s*(\d+)\s*(?:,[\s\d,]*)?\)\s*\}\}` +
	`\.(?:\{\{\s*[wW]ildcard\s*\(\s*1\s*\)\s*\}\}|\$1)` +
	`\.(?:\{\{\s*[wW]ildcard\s*\(\s*2\s*\)\s*\}\}|\$2)` +
	`\.(?:\{\{\s*[wW]ildcard\s*\(\s*3\s*\)\s*\}\}|\$3)$`)

// partitionsOf returns the number of partitions of a stream; a stream without a transform has one.
func partitionsOf(c jetstream.StreamConfig) (n int, partitioned bool, err error) {
	if c.SubjectTransform == nil || c.SubjectTransform.Destination == "" {
		return 1, false, nil
	}
	m := transformForm.FindStringSubmatch(c.SubjectTransform.Destination)
	if m == nil || c.SubjectTransform.Source != schemas.SubjectEvents+".*.*.*" {
		return 0, false, fmt.Errorf("stream %s cannot be used: subject_transform is %q to %q: set it to %q, or remove it "+
			"for a single partition", c.Name, c.SubjectTransform.Source, c.SubjectTransform.Destination,
			partitionTransform(defaultPartitions).Destination)
	}
	if n, err = strconv.Atoi(m[1]); err != nil || n < 1 {
		return 0, false, fmt.Errorf("stream %s cannot be used: subject_transform has %s partitions: use at least 1",
			c.Name, m[1])
	}
	return n, true, nil
}

// layout is how the event stream stores subjects.
type layout struct {
	partitions  int  // 0: not known
	partitioned bool // subjects are stored with a partition token
}

// sawLayout records the layout of the event stream. The caller holds mu.
func (u *upkeep) sawLayout(info *jetstream.StreamInfo) {
	if info.Config.Name != schemas.StreamEvents {
		return
	}
	if n, partitioned, err := partitionsOf(info.Config); err == nil {
		u.layout = layout{n, partitioned}
	}
}

// layoutNow returns the layout of the event stream at the latest look: an operator may change it, and a process that has
// not seen a stream which vanished may create it with another one.
func (s Streams) layoutNow() layout {
	if s.up != nil {
		s.up.mu.Lock()
		defer s.up.mu.Unlock()
		if s.up.layout.partitions > 0 {
			return s.up.layout
		}
	}
	return layout{s.Partitions, s.partitioned}
}

// PartitionsNow returns the partitions of the event stream at the latest look.
func (s Streams) PartitionsNow() int { return s.layoutNow().partitions }

// PartitionFilter returns the subject filter of a partition's stored events.
func (s Streams) PartitionFilter(n int) string {
	if !s.Partitioned() {
		return schemas.SubjectEvents + ".>"
	}
	return fmt.Sprintf("%s.%d.>", schemas.SubjectEvents, n)
}

// EventSubject returns the subject that the engine published an event on: the stored one without its partition token.
func (s Streams) EventSubject(stored string) string {
	if !s.Partitioned() {
		return stored
	}
	return withoutPartition(stored)
}

// withoutPartition returns the subject of an event without its partition token, which comes first.
func withoutPartition(stored string) string {
	rest, found := strings.CutPrefix(stored, schemas.SubjectEvents+".")
	if !found {
		return stored
	}
	_, tokens, _ := strings.Cut(rest, ".")
	return schemas.SubjectEvents + "." + tokens
}
