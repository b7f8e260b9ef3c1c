// Package permissions lists what each user of NATS may do: the one table from which deploy/nats-server.conf, the server of
// the development stack and docs/operations.md are made.
//
// hookturn's processes share one account, each with a user, subjects and an inbox prefix of its own. The engine of a
// tenant has an account of its own, which imports the tenant's subjects and nothing else; so have the tools of a viewer
// and of an operator, and the workers that run scripts only. An account and not a user, because a user may put any subject
// of its account into the reply of a request, and JetStream answers there: a user that may read its own replies could have
// them stored as another tenant's, and one that may only read could have what it reads stored as an event. Nor may they
// create a consumer, which delivers to any subject of the account of its stream.
package permissions

import (
	"slices"

	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/schemas"
)

// Names of hookturn's account, and of the users in it.
const (
	Account = "HOOKTURN"

	Setup    = "setup"    // creates streams, buckets and consumers, and ends
	Starter  = "starter"  // reads events, serves the gateway
	Worker   = "worker"   // runs steps
	Code     = "code"     // runs scripts: a worker with --task-queues hookturn-code
	Operator = "hookturn" // the tools of an owner, and processes that have no user of their own
	Tools    = "operator" // the tools of an operator
	Look     = "viewer"   // the tools that only read
)

// User is one user of hookturn. A subject that is not listed is denied.
type User struct {
	Name      string
	Purpose   string
	Publish   []string // subjects of hookturn's account
	Subscribe []string // beside its inbox
	// Responds allows one answer to each request that the user receives.
	Responds bool
	// Apart: the user has an account of its own, which imports what it may publish to.
	Apart bool
	// Serves are the subjects of requests that the account of the user lends to hookturn's.
	Serves []string
	// Local are the subjects of requests that users of the account send each other.
	Local []string
}

// Account returns the name of the user's account.
func (u User) Account() string {
	switch {
	case u.Apart && len(u.Serves) > 0:
		return "SCRIPTS_" + u.Name
	case u.Apart:
		return "TOOLS_" + u.Name
	}
	return Account
}

// Domain returns the value of --nats-domain for a user: the JetStream API of hookturn's account is a domain in another one.
func (u User) Domain() string {
	if u.Apart {
		return Domain
	}
	return ""
}

// InboxPrefix is the value of --nats-inbox-prefix for a user of hookturn.
func InboxPrefix(user string) string { return "_INBOX_" + user }

// UserOf returns the user of a name.
func UserOf(name string) (User, bool) {
	users := Users()
	n := slices.IndexFunc(users, func(u User) bool { return u.Name == name })
	if n < 0 {
		return User{}, false
	}
	return users[n], true
}

// Users returns the users of hookturn.
func Users() []User {
	return []User{
		{
			Name: Setup, Purpose: "starter setup: creates streams, buckets and the consumers of engines",
			Publish: slices.Concat(inspects(), restores(), each("$JS.API.STREAM.UPDATE.", everyStream()),
				each("$JS.API.CONSUMER.CREATE.", []string{streamReplies + ".>", streamDeadLetters + ".>"}),
				each("$JS.API.CONSUMER.INFO.", []string{streamReplies + ".*", streamDeadLetters + ".*"}),
				records(schemas.AuditSetup, schemas.AuditDeploymentPromote)),
		},
		starter(),
		{
			Name: Worker, Purpose: "worker: runs workflows and activities",
			Publish: slices.Concat(runs(), restores(), gets(bucketChats), writes(bucketChats),
				keyOf("callback-address"), keyOf("file-link"), scans(streamReplies),
				rights("hookturn.attempts.>", "hookturn.apart.attempts.>", "hookturn.apart.codeworkers.*", "hookturn.queues.>",
					"$JS.API.STREAM.MSG.GET."+streamQueues, "$JS.API.STREAM.MSG.DELETE."+streamQueues)),
			Subscribe: servesScripts(), Responds: true,
		},
		{
			Name: Code, Purpose: "worker --task-queues hookturn-code: runs scripts",
			Publish: slices.Concat(opens(), gets(bucketUsers), writes(bucketUsers), gets(bucketEndpoints), gets(bucketPauses),
				gets(bucketChannels), files(),
				rights("hookturn.notices.>", "hookturn.sockets.>", codeWorkers), claimsScripts(), readsKey("file-link")),
			Subscribe: servesScripts(), Responds: true, Apart: true,
			Serves: rights("hookturn.scripts.>", "hookturn.attempts.>", codeWorkers),
			Local:  rights(codeWorkers),
		},
		{
			Name: Operator, Purpose: "the tools of an owner, and processes without a user of their own",
			Publish:   []string{"hookturn.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$JS.SNAPSHOT.>", "$KV.>", "$O.>"},
			Subscribe: []string{"hookturn.>"}, Responds: true,
		},
		{
			Name: Tools, Purpose: "the tools of an operator: pause, replay, repeat, cancel",
			Publish: slices.Concat(looks(), writes(bucketPauses), writes(bucketEndpoints),
				reads(bucketRedrives), writes(bucketRedrives),
				publishesEvents(), rights("$JS.API.STREAM.MSG.DELETE."+streamDeadLetters), records(role.Operator.Actions()...)),
			Apart: true,
		},
		{Name: Look, Purpose: "the tools that only read", Publish: looks(), Apart: true},
	}
}

// starter reads events, and has all that the gateway serves.
func starter() User {
	return User{
		Name: Starter, Purpose: "starter run: reads events, serves the gateway",
		Publish: slices.Concat(opens(), restores(), consumes(streamEvents), scans(streamReplies), pulls(streamReplies),
			scans(streamDeadLetters), creates(streamDeadLetters),
			each("$JS.API.CONSUMER.NAMES.", []string{streamReplies, streamDeadLetters}), // those of engines
			publishesEvents(),
			rights("hookturn.replies.>", "hookturn.deadletters.>", "hookturn.advisories.>",
				"hookturn.notices.>", "hookturn.scripts.>", "hookturn.apart.scripts.>",
				"$JS.API.STREAM.MSG.DELETE."+streamEvents,
				"$JS.API.STREAM.MSG.DELETE."+streamDeadLetters,
				"$JS.API.STREAM.PURGE.KV_"+bucketStarters,
				// The retention of bots.
				"$JS.API.STREAM.PURGE."+streamReplies, "$JS.API.STREAM.PURGE."+streamDeadLetters),
			records(schemas.AuditChannelCreate, schemas.AuditChannelChange, schemas.AuditChannelToken, schemas.AuditChannelDelete,
				schemas.AuditDeadLettersReplay, schemas.AuditPayloadsDecrypt),
			reads(bucketStarters), writes(bucketStarters), reads(bucketClaims), writes(bucketClaims),
			reads(bucketPosted), writes(bucketPosted), reads(bucketRedrives), writes(bucketRedrives),
			gets(bucketChats), watches(bucketPauses),
			pushes("KV_"+bucketChannels), reads(bucketChannels), writes(bucketChannels),
			files(), pushes(streamFiles), // the retention of bots lists them
			keyOf("callback-address"), keyOf("file-link")),
		Subscribe: []string{"hookturn.replies.>", "hookturn.notices.>", "hookturn.sockets.>"}, Responds: true,
	}
}

// codeWorkers are the subjects of requests to one code worker.
const codeWorkers = "hookturn.codeworkers.*"

// servesScripts is running scripts of channels without a workflow, for the gateway, and with one, for the workers of
// workflows.
func servesScripts() []string {
	return []string{"hookturn.scripts.> hookturn-code", "hookturn.attempts.> hookturn-code", codeWorkers}
}

// runs is what a worker of workflows may do. It may run scripts as well.
func runs() []string {
	return slices.Concat(opens(), gets(bucketUsers), writes(bucketUsers), watches(bucketEndpoints), writes(bucketEndpoints),
		watches(bucketPauses), watches(bucketChannels), files(),
		rights("hookturn.replies.>", "hookturn.advisories.>", "hookturn.notices.>", "hookturn.sockets.>", codeWorkers),
		claimsScripts())
}

// claimsScripts is recording which worker has begun a script, and reading that.
func claimsScripts() []string {
	keys := "$KV." + bucketPosted + ".script.*"
	return []string{keys, "$JS.API.DIRECT.GET.KV_" + bucketPosted + "." + keys}
}

// inspects is reading the state of the account and of its streams.
func inspects() []string {
	return append(each("$JS.API.STREAM.INFO.", everyStream()), "$JS.API.INFO")
}

// opens is what each process does at its start, and for /readyz, which writes a probe.
func opens() []string { return append(inspects(), "$KV."+bucketClaims+".ready") }

// looks is what the tools read: stored events, replies, dead letters and audit events, pauses and states of endpoints.
func looks() []string {
	return slices.Concat(inspects(), scans(streamReplies), scans(streamDeadLetters),
		scans(streamAudit), scans(streamOwnerAudit),
		scans("KV_"+bucketPauses), scans("KV_"+bucketEndpoints))
}

// publishesEvents is storing events, each once: reading the one that is stored under the same id.
func publishesEvents() []string {
	return rights("hookturn.events.>", "$JS.API.STREAM.MSG.GET."+streamEvents)
}

// records is writing audit events. A tool changes nothing before it has written one, so that these subjects bound what it
// does, too.
func records(actions ...schemas.AuditAction) []string {
	return each(schemas.SubjectAudit+".*.*.", actions)
}

// restores is creating streams and buckets again that have vanished.
func restores() []string { return each("$JS.API.STREAM.CREATE.", everyStream()) }

// gets is reading single messages of a bucket's stream, from its leader.
func gets(bucket string) []string { return rights("$JS.API.STREAM.MSG.GET.KV_" + bucket) }

// reads is reading single keys of a bucket, and creating them: the library then reads whether a key was deleted.
func reads(bucket string) []string {
	return append(gets(bucket), "$JS.API.DIRECT.GET.KV_"+bucket+".$KV."+bucket+".>")
}

func writes(bucket string) []string { return []string{"$KV." + bucket + ".>"} }

// watches is reading a bucket and all changes of it.
func watches(bucket string) []string { return append(gets(bucket), pushes("KV_"+bucket)...) }

// scans is reading a stream without a consumer.
func scans(stream string) []string {
	return []string{"$JS.API.DIRECT.GET." + stream, "$JS.API.STREAM.MSG.GET." + stream}
}

// creates is creating consumers of a stream, and deleting them: to count messages, and for engines.
func creates(stream string) []string {
	return []string{
		"$JS.API.CONSUMER.CREATE." + stream + ".>", "$JS.API.CONSUMER.INFO." + stream + ".*",
		"$JS.API.CONSUMER.DELETE." + stream + ".*",
	}
}

// pushes is reading a stream with an ordered consumer to which the server pushes.
func pushes(stream string) []string { return append(creates(stream), "$JS.FC."+stream+".>") }

// pulls is reading a stream with an ordered consumer from which messages are pulled.
func pulls(stream string) []string {
	return append(creates(stream), "$JS.API.CONSUMER.MSG.NEXT."+stream+".*")
}

// consumes is reading a stream with pinned consumers, and acknowledging its messages.
func consumes(stream string) []string {
	return append(pulls(stream), "$JS.API.CONSUMER.UNPIN."+stream+".*", "$JS.ACK."+stream+".>")
}

// files is keeping, reading and deleting files.
func files() []string {
	return append(scans(streamFiles), "$O."+bucketFiles+".>", "$JS.API.DIRECT.GET."+streamFiles+".>",
		"$JS.API.STREAM.PURGE."+streamFiles)
}

// keyOf is storing and reading one of the installation's keys. The subject names the key, so that nothing reads another.
func keyOf(purpose string) []string {
	return append([]string{"$KV." + bucketKeys + "." + purpose}, readsKey(purpose)...)
}

// readsKey is reading one of the installation's keys.
func readsKey(purpose string) []string {
	return []string{"$JS.API.DIRECT.GET.KV_" + bucketKeys + ".$KV." + bucketKeys + "." + purpose}
}

// RoleOf returns the role of the operators who use a user of hookturn's account; "" of a user that is not one of operators.
func RoleOf(user string) role.Role {
	return map[string]role.Role{Look: role.Viewer, Tools: role.Operator, Operator: role.Owner}[user]
}

func rights(subjects ...string) []string { return subjects }

func each[Name ~string](prefix string, names []Name) []string {
	var subjects []string
	for _, name := range names {
		subjects = append(subjects, prefix+string(name))
	}
	return subjects
}
