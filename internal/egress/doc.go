// Package egress is the only package that opens outbound HTTP. It promises, whatever address a tenant wrote into a bot file:
//
//   - A connection is made to the public internet, or to what the operator listed, and to nothing else. The check is on the
//     address of the very connect(2), after DNS, so neither odd spellings nor DNS rebinding get around it.
//   - Nothing is followed and nothing is sent twice: no redirects, no proxy from the environment, no cookies, no replay of a
//     POST on a broken connection.
//   - Every part of an answer is bounded: time, headers, informational answers, body. A body that broke off, or came
//     compressed although we asked for none, is a failure and never parsed.
//   - Every failure is a *fault.Fault with a word of the contract, decided by typed errors and by how far the attempt came.
//     Its message names the host and says what to do; it never holds a query, user info, a body or a secret.
//
// The way of a request: Options become a policy (policy.go), a URL becomes a target of one policy class (url.go), each class
// has a transport of its own (client.go) whose dialer asks the policy about the address (guard.go). Transports are not
// shared between classes, because a kept-alive connection is used again without asking.
//
// egress imports schemas, beyond fault, for one type: the attempt record that a call fills is the contract's.
package egress
