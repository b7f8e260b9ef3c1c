package bus

import (
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/schemas"
)

// largestStored is more than a stored message can have, in bytes.
const largestStored = schemas.MessageMax + headerRoom + natsclient.SubjectMax

// EventQuota returns the quota of the event stream.
func (s Streams) EventQuota() *quota.Quota {
	root := schemas.SubjectEvents + "."
	if s.Partitioned() {
		root += "*."
	}
	return quota.New(s.js, schemas.StreamEvents, root, largestStored)
}

// QueueQuota returns the quota of the background queues.
func (s Streams) QueueQuota() *quota.Quota {
	return quota.New(s.js, StreamQueues, SubjectQueues+".", largestStored)
}

// BucketQuota returns the quota of a bucket whose keys begin with the tenant.
func (s Streams) BucketQuota(bucket string) *quota.Quota {
	return quota.New(s.js, "KV_"+bucket, "$KV."+bucket+".", largestStored)
}

// FileQuota returns the quota of the files.
func (s Streams) FileQuota() *quota.Quota { return quota.OfFiles(s.js, BucketFiles) }
