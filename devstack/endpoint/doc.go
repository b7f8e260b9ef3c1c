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
// Every route speaks the haptik dialect, wants a JSON POST of known length, and, when the endpoint has a secret, a
// valid X-Hub-Signature. GET answers a small page anywhere. Routes added with Handle get requests as they come.
//
// What it promises: every request is in the Ledger, with the time it came and the time it was answered; an answer is in
// the ledger before the caller has it. An endpoint that is stopped and started again keeps its address.
package endpoint
