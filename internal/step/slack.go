package step

import "time"

// What the activity of a webhook step does before and after its attempt at the endpoint. Each part has a bound, and none of
// them is part of the attempt's timeout. They are here because workflows give the activity the time for all of them: with
// less, Temporal ends an activity whose endpoint has answered, and the answer is lost.
const (
	// FindTimeout bounds the search for a reply that an earlier attempt is likely to have stored, before the attempt. An
	// overloaded NATS needs seconds, and calling the endpoint instead would add to the load.
	FindTimeout = 5 * time.Second
	// KeepTimeout is how long the user's details are stored after the endpoint has answered.
	KeepTimeout = 4 * time.Second
	// AnnounceTimeout bounds announcing a handover to the adapters of a session, and other changes of a session or chat.
	AnnounceTimeout = 2 * time.Second
	// ReplyTimeout is how long the reply is tried with the answer, together with the close that follows it, and how long
	// before that a progress message is waited for that is on its way.
	ReplyTimeout = 500 * time.Millisecond
	// UndoTimeout bounds making the user's details those of the reply that stands.
	UndoTimeout = 2 * time.Second
	// attemptMargin is for what an activity does that waits for nothing, on a machine that is busy.
	attemptMargin = time.Second

	// AttemptSlack is what the activity gets above the attempt's timeout: the sum of its parts, the reply's being two.
	AttemptSlack = FindTimeout + KeepTimeout + AnnounceTimeout + 2*ReplyTimeout + UndoTimeout + attemptMargin
)
