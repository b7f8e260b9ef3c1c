package bus

// What the tests outside of the package use; they need internal/store, which imports this package.
const (
	Soon = soon
	Poll = poll
)

var (
	SetupForTest   = setup
	TestContext    = testContext
	StartServerAt  = startServerAt
	ConnectTo      = connectTo
	StreamNames    = streamNames
	AReply         = aReply
	NewFailedEvent = failedEvent
)
