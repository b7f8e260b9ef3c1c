// Package codeworker is the protocol by which a worker of workflows has a code worker run the script of a channel: at once,
// without an activity, and at most once.
//
//	worker of workflows                        code worker                      JetStream
//	  Client.Attempt ── step.ScriptRequest ──▶ Server.Handle ── Claims.Claim ──▶ script.<run> = name
//	                 ◀── step.ScriptAttempt ──   Runner.Run
//
// The client sends a request to any code worker. The code worker claims the script: it creates a key for the run in
// JetStream, whose value is its own name. Only the code worker that created the key runs the script, so of all that ever
// receive a request for the run, one begins the script, once. Each request is answered within two seconds, by one of:
//
//   - The result of the script. The code worker keeps it for five minutes for requests that are repeated.
//   - Running, with the name in the claim. The client sends its next request to the code worker of that name.
//   - Not begun: the code worker has no free sandbox, does not know the script, stops, or cannot claim in time.
//
// A script that was not begun becomes an activity on the queue of code workers, where it can wait. When the client does not
// know whether it was begun (unclear: an answer was lost, or another worker had the run before), the activity must not just
// run the script. The client claims it for the activity (Client.LeaveToActivity): then no first attempt begins it, however
// long the activity waits. When a code worker has the claim, the client waits for the result there, for the time of an
// attempt. When it cannot find out, because that code worker or NATS is away, the activity asks (Server.Begun): it gets the
// result from that code worker, or claims the script itself. A code worker that could not begin a script passes its claim to
// the activity. The outcome is unknown only when the code worker with the claim cannot be reached, or does not know the
// script any more, or when claims that were made since the run of the workflow started are lost or have expired.
package codeworker
