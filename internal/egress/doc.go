// Package egress is the only package that opens outbound HTTP connections. Whatever URL a bot file contains:
//
//   - A connection goes to the public internet, or to an address that the operator listed, and nowhere else. The policy
//     checks the address of the connect(2) itself, after DNS, so neither unusual spellings nor DNS rebinding bypass it.
//   - The client follows no redirects, uses no proxy from the environment, stores no cookies, and does not send a POST again
//     on a broken connection.
//   - Every part of a response is bounded: time, headers, informational responses, body. A body that was truncated, or was
//     compressed without a request for it, is a failure and never parsed.
//   - Every failure is a *fault.Fault with an error code of the contract, chosen by typed errors and the progress of the
//     attempt. Its message names the host and what to do; it never contains a query, user info, a body or a secret.
//
// A request takes these steps: Options become a policy (policy.go), a URL becomes a target of one policy class (url.go),
// each class has its own transport (client.go) whose dialer checks the address against the policy (guard.go). Classes do
// not share transports, because a kept-alive connection is reused without another check.
//
// Beside fault, egress imports schemas for one type: the attempt record of the contract.
package egress
