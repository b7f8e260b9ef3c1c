// Package servers runs the servers of the development stack inside the calling process: Temporal on SQLite, its web
// UI, and NATS with JetStream.
//
// Guarantees:
//
//   - All servers listen on loopback only. With port 0 a port is chosen that the system assigns to no other process; the
//     server keeps it, so that it has the same address after a restart.
//   - A Start function returns when its server answers. It returns an error, and does not end the process, for an address in
//     use or an invalid data directory.
//   - The data directory holds the state, which survives a stop, a kill and a restart. One running server at a time uses a
//     data directory.
//   - Stop waits until the server has released its address. It may be called more than once.
//   - Several stacks run side by side in one process.
//
// The Temporal server and its UI never close some resources before the process ends: one SQLite connection per database,
// and idle gRPC connections that try to reconnect. A data directory must therefore not be deleted and created again
// within one process.
package servers
