package arch

// row is one row of the import table of docs/architecture.md.
type row struct {
	promise string
	may     []string // packages of this module that it may import; "x/*" are the packages one level below x
}

// anything marks the packages that wire the others together.
var anything = []string{"*"}

// doers are the packages that an activity may use: those that perform I/O, and none that decides.
var doers = []string{
	"schemas", "internal/fault", "internal/secret", "internal/signature", "internal/egress", "internal/sandbox",
	"internal/bus", "internal/store", "internal/bot", "internal/dialect", "internal/dialect/*", "internal/limit",
	"internal/oauth2", "internal/natsclient",
	"internal/step", "internal/telemetry", "internal/scripthost", "internal/flight", "internal/lru",
	"internal/codeworker",
}

// importTable is the import table; go generate writes it into docs/architecture.md. A package imports only packages above
// it.
var importTable = map[string]row{
	"internal/strictjson": {"reading a stranger's JSON without guessing", nil},
	"schemas":             {"what travels outside: JSON Schema, AsyncAPI, Go types, subjects", []string{"internal/strictjson"}},
	"internal/fault":      {"failures and their error codes", nil},
	"internal/confined":   {"reading files that other users can write", nil},
	"internal/visible":    {"text of other parties, so that a terminal shows it and does not obey it", nil},
	"internal/secret": {
		"values that must not be printed, and where they are kept",
		[]string{"internal/confined"},
	},
	"internal/signature": {
		"signing requests and verifying signatures",
		[]string{"internal/secret"},
	},
	"internal/nearest": {"the name that a misspelt one was meant to be", nil},
	"internal/header":  {"which request headers may be set, at load and at run time", nil},
	"internal/egress": {
		"the only package that opens outbound HTTP",
		[]string{"internal/fault", "internal/header", "internal/tenantcache", "schemas"}, // schemas: the record of an attempt
	},
	"internal/sandbox": {
		"the only package that starts processes: Python in a sandbox",
		[]string{"schemas", "internal/fault", "internal/egress", "internal/confined"},
	},
	"internal/loglimit": {"how often a line is logged about what happens again and again", nil},
	"internal/retry":    {"the waits between the tries of an operation", nil},
	"internal/natsclient": {
		"the connection to NATS: login, a JetStream client that checks what it sends, ends what is denied, reads from leaders",
		[]string{"schemas", "internal/fault", "internal/loglimit", "internal/patience", "internal/retry"},
	},
	"internal/quota": {
		"which tenants fill their share of a stream",
		[]string{"internal/natsclient"},
	},
	"internal/pubsub": {
		"what is stored nowhere: event notifications, advisories, requests between processes",
		[]string{"schemas", "internal/fault", "internal/natsclient", "internal/tenantshare"},
	},
	"internal/bus": {
		"the streams and buckets of hookturn and their upkeep; events, replies, dead letters and audit events in them",
		[]string{"schemas", "internal/fault", "internal/natsclient", "internal/pubsub", "internal/quota", "internal/retry"},
	},
	"internal/store": {
		"what outlives a process: users, chats, channels, files, keys, endpoints, queues, posted events, claims",
		[]string{
			"schemas", "internal/bus", "internal/fault", "internal/natsclient", "internal/quota", "internal/retry",
			"internal/strictjson", "internal/tenantcache",
		},
	},
	"internal/role": {
		"what each role of an operator may do",
		[]string{"schemas"},
	},
	"internal/audit": {
		"recording what operators change or decrypt, before they do",
		[]string{"schemas"},
	},
	"internal/permissions": {
		"what each user of NATS may do",
		[]string{"schemas", "internal/role"},
	},
	"internal/bot": {
		"what a bot file means: loading, checking, hot reload",
		[]string{
			"schemas", "internal/secret", "internal/confined", "internal/fault", "internal/header", "internal/nearest",
		},
	},
	"internal/jq": {"running jq programs, each in a process with bounds", nil},
	"internal/dialect": {
		"what every partner's JSON has in common, no I/O",
		[]string{"schemas", "internal/bot", "internal/fault", "internal/strictjson", "internal/nearest"},
	},
	"internal/channel": {
		"integration channels: which there are, the input and the answer of their scripts",
		[]string{"schemas", "internal/bot", "internal/step", "internal/fault", "internal/strictjson"},
	},
	"internal/scripthost": {
		"the functions of hookturn that a script can call",
		[]string{
			"schemas", "internal/fault", "internal/egress", "internal/header", "internal/sandbox", "internal/store", "internal/bot",
			"internal/secret", "internal/socket", "internal/telemetry",
		},
	},
	"internal/socket": {
		"WebSocket connections of clients to a channel; handles frames, not HTTP",
		[]string{
			"schemas", "internal/bot", "internal/step", "internal/fault", "internal/channel", "internal/strictjson",
			"internal/tenantshare",
		},
	},
	"internal/dialect/*": {
		"one partner's JSON, both ways, no I/O; dialects do not know each other",
		[]string{
			"schemas", "internal/bot", "internal/fault", "internal/dialect", "internal/strictjson", "internal/nearest",
		},
	},
	"internal/dialects": {
		"the list of the dialects of this release: the one place in which a dialect is registered",
		[]string{"internal/bot", "internal/dialect", "internal/dialect/*"},
	},
	"internal/signedurl": {"tokens of addresses at which a step is ended or a file is read, encrypted", nil},
	"internal/limit": {
		"limits of requests to an endpoint: rate, pauses, circuit breaker",
		[]string{"schemas", "internal/bot", "internal/fault"},
	},
	"internal/oauth2": {
		"bearer tokens for endpoints behind OAuth 2",
		[]string{"schemas", "internal/secret", "internal/fault", "internal/tenantcache"},
	},
	"internal/tenantshare": {"what each tenant uses of something that all share", nil},
	"internal/tenantcache": {"a bounded cache in which a tenant pushes out its own entries only", nil},
	"internal/stack":       {"stacks of short-lived, deep goroutines", nil},
	"internal/lru":         {"a map of the keys that were used last", nil},
	"internal/flight": {
		"attempts that outlive the activity that began them, and that its repetition joins",
		[]string{"internal/egress", "internal/stack", "internal/step", "internal/tenantcache"}, // egress: why requests end
	},
	"internal/load": {"whether this process can take on more work and still report in time", nil},
	"internal/step": {
		"names and payloads across the Temporal boundary, and the reply that follows from them",
		[]string{"schemas", "internal/bot", "internal/dialect", "internal/fault"},
	},
	"internal/codeworker": {
		"how a worker of workflows has a code worker run a script, at once and at most once",
		[]string{
			"schemas", "internal/step", "internal/fault", "internal/egress", "internal/flight", "internal/limit", "internal/lru",
			"internal/telemetry",
		},
	},
	"workflows": {
		"what a conversation does next; deterministic",
		[]string{"internal/step", "internal/bot", "schemas", "internal/fault"},
	},
	"activities": {
		"doing it; thin; never imports workflows",
		doers,
	},
	"internal/patience": {"how long work goes on without a sign of life", nil},
	"internal/fresh":    {"values made of files, made again when the files change", nil},
	"docs/integrators":  {"the verification of signatures as integrators write it", nil},
	"internal/conformance": {
		"whether an integrator's endpoint is a careful receiver",
		[]string{
			"schemas", "internal/bot", "internal/dialect", "internal/egress", "internal/fault", "internal/secret",
			"internal/signature",
		},
	},
	"internal/erase": {
		"deleting what is held of a person, in Temporal and NATS",
		[]string{"schemas", "internal/step", "internal/store"},
	},
	"internal/chaos": {"an endpoint that goes wrong on the wire, to try clients against it", nil},
	"internal/codec": {"encrypting what goes to Temporal", []string{"internal/fresh"}},
	"internal/httpapi": {
		"what HTTP APIs have in common: problems, bodies, bearer tokens",
		[]string{"internal/natsclient", "internal/strictjson", "internal/fault", "internal/header", "internal/visible"},
	},
	"internal/letterapi": {
		"dead letters over HTTP, for the gateway and the admin API",
		[]string{"schemas", "internal/bus", "internal/fault", "internal/httpapi", "internal/inspect"},
	},
	"internal/adminapi": {
		"the operator's listener: health, metrics, the admin API",
		[]string{
			"schemas", "internal/channel", "internal/strictjson", "internal/fault", "internal/fresh", "internal/httpapi",
			"internal/letterapi", "internal/store", "internal/telemetry", "internal/audit", "internal/role", "internal/visible",
		},
	},
	"internal/pause": {
		"what operators have paused, and the states of endpoints that workers share",
		[]string{"schemas", "internal/bus", "internal/store", "internal/limit"},
	},
	"internal/console": {
		"the operators' console: HTML pages and forms",
		[]string{
			"schemas", "internal/adminapi", "internal/audit", "internal/bot", "internal/bus", "internal/fault", "internal/httpapi",
			"internal/inspect", "internal/natsclient", "internal/pause", "internal/redrive", "internal/role", "internal/step",
			"internal/store", "internal/telemetry",
		},
	},
	"internal/gateway": {
		"the public HTTP and WebSocket API",
		[]string{
			"schemas", "internal/fresh", "internal/httpapi", "internal/letterapi", "internal/dialect", "internal/dialect/*",
			"internal/bot", "internal/bus", "internal/store", "internal/signature",
			"internal/step", "internal/fault", "internal/signedurl", "internal/strictjson", "internal/telemetry", "internal/channel",
			"internal/socket", "internal/tenantshare", "internal/visible",
		},
	},
	"internal/inspect": {
		"what happened in conversations, from the runs in Temporal and the stored replies",
		[]string{"schemas", "internal/bus", "internal/step", "internal/fault", "internal/patience", "internal/retry"},
	},
	"internal/redrive": {
		"repeating many events: at a rate, in order, resumable",
		[]string{"schemas", "internal/bus", "internal/store", "internal/inspect", "internal/fault", "internal/step"},
	},
	"internal/telemetry": {"names and set-up of logs, metrics and traces", []string{"schemas", "internal/fault", "internal/visible"}},
	"internal/eventreader": {
		"reads a share of the partitions and calls a handler for each event, in the order of its conversation",
		[]string{
			"schemas", "internal/bus", "internal/fault", "internal/loglimit", "internal/natsclient", "internal/retry",
			"internal/stack",
		},
	},
	"internal/answer": {
		"replies that a starter publishes in a run's place, and finding those that are stored",
		[]string{"schemas", "internal/step", "internal/fault"},
	},
	"internal/dispatch": {
		"offers an event to its conversation's run, or starts one, and recognises an event that a run has taken",
		[]string{"schemas", "internal/bot", "internal/step", "internal/fault", "internal/answer"},
	},
	"internal/recovery": {
		"hands over what runs that ended early have left, in order",
		[]string{
			"schemas", "internal/bot", "internal/step", "internal/fault", "internal/telemetry", "internal/answer", "internal/dispatch",
			"internal/tenantshare",
		},
	},
	"internal/rollout": {
		"whether the bot files of the live starters differ, while a change reaches one after another",
		[]string{"schemas", "internal/bot", "internal/bus", "internal/step"},
	},
	"internal/intake": {
		"the handler of the event reader: checks one event and has it dispatched, or answers it",
		[]string{
			"schemas", "internal/eventreader", "internal/bot", "internal/dialect/twoway", "internal/step", "internal/fault",
			"internal/loglimit", "internal/telemetry", "internal/nearest", "internal/answer", "internal/dispatch",
			"internal/tenantshare",
		},
	},
	"internal/intake/intaketest": {
		"events, and a Temporal and a NATS that tests script, for tests of intake, dispatch and recovery",
		[]string{
			"schemas", "internal/eventreader", "internal/bot", "internal/dialects", "internal/step", "internal/fault",
			"internal/answer", "internal/dispatch", "internal/recovery", "internal/intake",
		},
	},
	"internal/transient": {
		"which failed requests to NATS and Temporal are sent again",
		[]string{"internal/natsclient", "internal/patience", "internal/retry"},
	},
	"internal/deployment": {
		"how a version of the workers becomes the current one, by itself or by an operator",
		[]string{"internal/retry", "internal/step", "internal/transient"},
	},
	"internal/recall": {
		"what a run has published, from its history",
		[]string{"schemas", "internal/step", "internal/tenantshare", "workflows"},
	},
	"internal/natstest":   {"NATS servers inside of tests", []string{"internal/leaktest", "internal/freeport"}},
	"internal/leaktest":   {"goroutines that tests leave behind", nil},
	"internal/freeport":   {"ports for servers that listen later or start again", nil},
	"internal/app":        {"wires a process; owns the order of start and stop", anything},
	"internal/cli":        {"the commands of starter and worker as a library", anything},
	"internal/arch":       {"tests of layout and imports", anything},
	"worker":              {"os.Exit(run(...))", []string{"internal/app", "internal/cli"}},
	"starter":             {"os.Exit(run(...))", []string{"internal/app", "internal/cli"}},
	"examples/engines/go": {"a bot engine that has only HTTP, as an example", nil},
}
