// Package httpapi is what the HTTP listeners of hookturn have in common: handlers that return errors, the problem document
// (RFC 9457) that answers an error, bodies, bearer tokens, and the address of the sender.
package httpapi
