// Package servers runs the servers of the development stack inside the calling process: Temporal on SQLite, its web
// UI, and NATS with JetStream.
//
// What it promises:
//
//   - Everything listens on loopback only. Port 0 lets the system choose a port; a given port is kept, so a server that
//     is stopped and started again is found at the same address.
//   - A Start function returns when its server answers, and what it holds back from a caller is an error, never a dead
//     process: an address in use or a bad data directory is reported.
//   - State lives in the data directory and survives a stop, a kill and a restart. One data directory belongs to one
//     running server at a time.
//   - Stop waits until the server has let go of its address. It may be called more than once.
//   - Several stacks run side by side in one process.
//
// What the Temporal server and its UI never close stays until the process ends: one SQLite connection per database, and
// idle gRPC connections that look for their server now and then. A data directory must therefore not be deleted and
// used anew within one process.
package servers
