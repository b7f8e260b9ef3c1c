package permissions

import "github.com/hookturn/hookturn/schemas"

// Streams and buckets, as internal/bus creates them.
const (
	streamEvents      = schemas.StreamEvents
	streamReplies     = schemas.StreamReplies
	streamDeadLetters = schemas.StreamDeadLetters
	streamQueues      = "HOOKTURN_QUEUES"
	streamAudit       = schemas.StreamAudit
	streamOwnerAudit  = "HOOKTURN_AUDIT_OWNER"
	streamFiles       = "OBJ_" + bucketFiles

	bucketUsers     = "HOOKTURN_USERS"
	bucketStarters  = "HOOKTURN_STARTERS"
	bucketEndpoints = "HOOKTURN_ENDPOINTS"
	bucketPauses    = "HOOKTURN_PAUSES"
	bucketRedrives  = "HOOKTURN_REDRIVES"
	bucketKeys      = "HOOKTURN_KEYS"
	bucketChats     = "HOOKTURN_CHATS"
	bucketClaims    = "HOOKTURN_CLAIMS"
	bucketChannels  = "HOOKTURN_CHANNELS"
	bucketPosted    = "HOOKTURN_POSTED"
	bucketFiles     = "HOOKTURN_FILES"
)

// everyStream lists the streams of the installation, those behind buckets included.
func everyStream() []string {
	streams := []string{
		streamEvents, streamReplies, streamDeadLetters, streamQueues, streamAudit, streamOwnerAudit, streamFiles,
	}
	return append(streams, each("KV_", []string{
		bucketUsers, bucketStarters, bucketEndpoints, bucketPauses, bucketRedrives, bucketKeys, bucketChats, bucketClaims,
		bucketChannels, bucketPosted,
	})...)
}

// EngineAccount is the account of a tenant's engine.
func EngineAccount(tenant string) string { return "ENGINE_" + tenant }

// Domain is the JetStream domain by which an engine reads what is stored for it.
const Domain = "hookturn"

// Export is one subject that hookturn's account lends to the account of an engine.
type Export struct {
	Subject string
	// Stream marks messages that hookturn publishes; false: messages that the engine sends, and the answers to them.
	Stream bool
	// Many marks requests that may have more than one answer.
	Many bool
}

// EngineExports returns all that the engine of a tenant may do: publish events and notices, hear replies, dead letters and
// advisories as they come, and read the stored replies and dead letters with the consumer that is named as the tenant. It
// cannot create a consumer: where a consumer delivers to is its creator's choice, and no permission bounds that.
func EngineExports(tenant string) []Export {
	exports := []Export{
		{Subject: schemas.SubjectEvents + "." + tenant + ".>"},
		{Subject: schemas.SubjectNotices + "." + tenant + ".>"},
		{Subject: schemas.SubjectReplies + "." + tenant + ".>", Stream: true},
		{Subject: schemas.SubjectDeadLetters + "." + tenant + ".>", Stream: true},
		{Subject: schemas.SubjectAdvisories + "." + tenant + ".>", Stream: true},
	}
	for _, stream := range []string{streamReplies, streamDeadLetters} {
		exports = append(exports,
			Export{Subject: "$JS.API.CONSUMER.INFO." + stream + "." + tenant},
			Export{Subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + tenant, Many: true},
			Export{Subject: "$JS.ACK." + stream + "." + tenant + ".>"},
		)
	}
	return exports
}
