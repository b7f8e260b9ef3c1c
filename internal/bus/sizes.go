package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// Size is the bound of a stream or bucket. JetStream reserves it, whether it is used or not.
type Size struct {
	Name    string // of the option, which is --<name>-max-bytes
	Stream  string // the stream, or the one behind the bucket
	Default int64  // bytes when it is created
	Content string
}

// Flag returns the option of the size.
func (s Size) Flag() string { return s.Name + "-max-bytes" }

// variable returns the environment variable of the size.
func (s Size) variable() string {
	return "HOOKTURN_" + strings.ToUpper(strings.ReplaceAll(s.Flag(), "-", "_"))
}

// SizeMin is the least size of a stream or bucket: the largest message, twice.
const SizeMin = 2 * (schemas.MessageMax + headerRoom)

// Sizes returns the streams and buckets with the sizes that they are created with. Together they fit an account of 1 GiB.
func Sizes() []Size {
	const mib = 1 << 20
	return []Size{
		{"events", schemas.StreamEvents, defaultMaxBytes, "events that wait for a starter"},
		{"replies", schemas.StreamReplies, 256 * mib, "replies of 72 h; the oldest go first when it is full"},
		{"dead-letters", schemas.StreamDeadLetters, 64 * mib, "dead letters of 14 days; the oldest go first when it is full"},
		{"audit", schemas.StreamAudit, 24 * mib, "audit events of operators, of a year; the oldest go first when it is full"},
		{"owner-audit", StreamOwnerAudit, 12 * mib, "audit events of owners, of a year; the oldest go first when it is full"},
		{"queues", StreamQueues, 64 * mib, "steps that wait in the background"},
		{"files", "OBJ_" + BucketFiles, 128 * mib, "files of channels and scripts, of 7 days"},
		{"users", "KV_" + BucketUsers, 64 * mib, "user details"},
		{"chats", "KV_" + BucketChats, 32 * mib, "conversations of TwoWay chats, of 30 days"},
		{"posted", "KV_" + BucketPosted, 64 * mib, "events that came over HTTP, of 10 minutes"},
		{"channels", "KV_" + BucketChannels, 8 * mib, "channels of the admin API"},
		{"endpoints", "KV_" + BucketEndpoints, 8 * mib, "states of endpoints"},
		{"pauses", "KV_" + BucketPauses, 4 * mib, "pauses of bots and endpoints by operators"},
		{"redrives", "KV_" + BucketRedrives, 8 * mib, "progress of repeating dead letters and steps, of 30 days"},
		{"claims", "KV_" + BucketClaims, 24 * mib, "event notifications that a gateway delivers"},
		{"starters", "KV_" + BucketStarters, 4 * mib, "live starters and partition leases"},
		{"keys", "KV_" + BucketKeys, 4 * mib, "keys that all processes share"},
	}
}

// sizeOf returns the bound with which a stream is created.
func (o StreamOptions) sizeOf(stream string) int64 {
	for _, s := range Sizes() {
		if s.Stream != stream {
			continue
		}
		if set := o.Sizes[s.Name]; set > 0 {
			return set
		}
		return s.Default
	}
	return 0 // streams of features that have no option yet
}

// readDirectly reports whether a stream is read by direct reads of many messages a request. Streams of an earlier release
// do not allow them.
func readDirectly(stream string) bool {
	return slices.Contains([]string{
		schemas.StreamReplies, schemas.StreamDeadLetters, schemas.StreamAudit, StreamOwnerAudit,
	}, stream)
}

// Resize applies the sizes and the replicas that are set in the options to streams that exist, allows direct reads of
// those that need them, denies rollups in buckets that must not have them, sets which audit events are copied, and calls
// changed for each change. Other settings stay as they are. A size below what a stream holds is an error, because it would
// drop messages.
func Resize(ctx context.Context, js jetstream.JetStream, o StreamOptions, changed func(stream, what string)) error {
	for _, size := range Sizes() {
		stream, err := js.Stream(ctx, size.Stream)
		if err != nil {
			return fmt.Errorf("open stream %s: %w", size.Stream, err)
		}
		want, what, err := o.resized(size, stream.CachedInfo())
		if err != nil {
			return err
		}
		if what == "" {
			continue
		}
		if _, err := js.UpdateStream(ctx, want); err != nil {
			return fmt.Errorf("change stream %s: %w", size.Stream, tooSmall(ctx, js, want, err))
		}
		changed(size.Stream, what)
	}
	return nil
}

// resized returns the configuration of a stream by the options that are set, and what they change; "" when nothing. A stream
// that is closed, because a change of its partitions was killed, stays closed: Repartition opens it with the new size.
func (o StreamOptions) resized(size Size, info *jetstream.StreamInfo) (want jetstream.StreamConfig, what string, err error) {
	before := reopened(info.Config)
	want = before
	if asked := o.Sizes[size.Name]; asked > 0 {
		want.MaxBytes = asked
	}
	if o.Replicas > 0 {
		want.Replicas = o.Replicas
	}
	want.AllowDirect = want.AllowDirect || readDirectly(size.Stream)
	want.AllowRollup = want.AllowRollup && !deniesRollups(size.Stream)
	if size.Stream == StreamOwnerAudit {
		want.Sources = ownerAuditConfig(o.withDefaults()).Sources // the actions of this release
	}
	if what = changesOf(before, want); what == "" {
		return info.Config, "", nil
	}
	if held := info.State.Bytes; want.MaxBytes > 0 && held > uint64(want.MaxBytes) {
		return want, "", fmt.Errorf("stream %s holds %d bytes: set --%s to more than that, not %d", size.Stream, held,
			size.Flag(), want.MaxBytes)
	}
	if info.Config.Metadata[metadataMaxBytes] != "" {
		want = closed(want)
	}
	return want, what, nil
}

// changesOf returns the settings of a stream that Resize changes, "" for none.
func changesOf(before, after jetstream.StreamConfig) string {
	var changes []string
	for _, c := range []struct {
		setting       string
		before, after any
	}{
		{"max_bytes", before.MaxBytes, after.MaxBytes},
		{"replicas", before.Replicas, after.Replicas},
		{"allow_direct", before.AllowDirect, after.AllowDirect},
		{"allow_rollup_hdrs", before.AllowRollup, after.AllowRollup},
		{"sources", sourcesOf(before), sourcesOf(after)},
	} {
		if c.before != c.after {
			changes = append(changes, fmt.Sprintf("%s %v to %v", c.setting, c.before, c.after))
		}
	}
	return strings.Join(changes, ", ")
}

// sourcesOf returns the subjects that a stream copies from others, with commas between them; "none" without any.
func sourcesOf(c jetstream.StreamConfig) string {
	var subjects []string
	for _, source := range c.Sources {
		for _, t := range source.SubjectTransforms {
			subjects = append(subjects, t.Source)
		}
	}
	slices.Sort(subjects)
	return cmp.Or(strings.Join(subjects, ","), "none")
}

// JetStream's error codes for a size that the server or the account does not allow.
const (
	errCodeInsufficientResources jetstream.ErrorCode = 10023
	errCodeStorageExceeded       jetstream.ErrorCode = 10047
	errCodeMaxBytesRequired      jetstream.ErrorCode = 10113
	errCodeMaxBytesExceeded      jetstream.ErrorCode = 10122
	errCodeStreamLimitReached    jetstream.ErrorCode = 10027
)

// tooSmall adds to the error of a creation what the account allows, and the option.
func tooSmall(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return err
	}
	i := slices.IndexFunc(Sizes(), func(s Size) bool { return s.Stream == want.Name })
	if i < 0 {
		return err
	}
	option, variable := Sizes()[i].Flag(), Sizes()[i].variable()
	limits, infoErr := accountTier(ctx, js, want.Replicas)
	if infoErr != nil {
		return err
	}
	asked := fmt.Sprintf("it asks for %d bytes in %d replicas", want.MaxBytes, max(want.Replicas, 1))
	switch api.ErrorCode {
	case errCodeStorageExceeded, errCodeInsufficientResources:
		if limits.Limits.MaxStore < 0 {
			return fmt.Errorf("%w: %s and the server does not have the room: set --%s or %s lower, or raise max_file_store "+
				"of the server", err, asked, option, variable)
		}
		free := max(limits.Limits.MaxStore-int64(limits.ReservedStore), 0)
		return fmt.Errorf("%w: %s, the account allows %d bytes of which %d are not reserved yet: set --%s or %s to "+
			"at most %d, or raise the account's limit", err, asked, limits.Limits.MaxStore, free, option, variable,
			free/int64(max(want.Replicas, 1)))
	case errCodeMaxBytesExceeded, errCodeMaxBytesRequired:
		return fmt.Errorf("%w: %s, the account allows %d bytes a stream: set --%s or %s to at most that", err, asked,
			limits.Limits.StoreMaxStreamBytes, option, variable)
	case errCodeStreamLimitReached:
		return fmt.Errorf("%w: the account allows %d streams, hookturn needs %d", err, limits.Limits.MaxStreams, len(Sizes()))
	}
	return err
}

// accountTier returns the limits and the use of the account, for a number of replicas where it has tiers.
func accountTier(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.Tier, error) {
	info, err := js.AccountInfo(ctx)
	if err != nil {
		return jetstream.Tier{}, err
	}
	if tier, ok := info.Tiers[fmt.Sprintf("R%d", max(replicas, 1))]; ok {
		return tier, nil
	}
	return info.Tier, nil
}
