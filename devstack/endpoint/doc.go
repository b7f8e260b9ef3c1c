// Package endpoint is a sample webhook server: what an integrator's own server looks like, with knobs for tests.
//
// /orders does what the vendor's sample does: it checks the signature over the raw body, reads the product from the
// entities, and answers with text and a rich element. The other routes misbehave on request:
//
//	/orders            the vendor's sample: products speaker and powerbank
//	/flaky             answers 503 twice for each webhook-id, then well
//	/broken            answers 500, always
//	/slow?ms=1500      answers after that time
//	/echo              answers with what it has received
//	/status/{code}     answers with that status; ?retry-after=2 sets the header
//
// These speak the haptik dialect, want a JSON POST of known length, and, when the endpoint has a secret, a valid
// X-Hub-Signature. GET answers a small page anywhere. Routes added with Handle get requests as they come.
//
// The other dialects have theirs; LoyJoy's want the secret as a bearer token:
//
//	/loyjoy/area       makes an area of params.city;  /loyjoy/notify  takes anything
//	/twoway/messages   takes messages, as /twoway/events takes events and /twoway/handover notifications
//	/plain/orders      answers a CloudEvents event
//	/plain/later       answers 202 and calls back after ?ms=1500
//	/legacy/stock      speaks a JSON of its own, for jq programs to translate
//	/catalogue/{name}  answers GET with a product, for scripts to ask
//
// And everything that goes wrong on the wire is under /chaos/: see Chaos for the behaviours that break a connection, and
// /chaos/redirect, /chaos/busy (429 with odd values of Retry-After), /chaos/flap (up for a second, down for the next).
//
// What it promises: every request is in the Ledger, with the time it came and the time it was answered; an answer is in
// the ledger before the caller has it. An endpoint that is stopped and started again keeps its address.
package endpoint
