// Package store stores the state that processes share: users, chats, channels, files, keys, the state of endpoints,
// background queues, the content of posted events, claims. Each type is one bucket, object store or stream of JetStream
// that bus.Setup has created; package bus creates it again when it vanishes.
package store
