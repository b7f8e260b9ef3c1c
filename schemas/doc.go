// Package schemas is what travels outside: the events that a bot engine publishes, the replies it gets back, the
// subjects and streams they use, and the bot files. It holds them three times over, as JSON Schema (json/), as an
// AsyncAPI document (asyncapi.yaml) and as Go types, and its tests hold the three to one another.
//
// DecodeEvent judges an event exactly as json/event.json does, and on top of it what a schema cannot see: the encoding,
// the depth, repeated member names. It keeps numbers of free-form JSON as their text and never trusts letter case, so
// what hookturn decides on is what every other reader of the same bytes sees.
//
// The package does no I/O and reads no clock; workflows may use all of it.
package schemas
