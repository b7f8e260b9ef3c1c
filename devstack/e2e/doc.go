// Package e2e tests hookturn through its public interfaces: events on NATS, bot files, HTTP endpoints, the programs'
// flags and signals. The servers are real and start with the tests; nothing is mocked.
//
// Stories that a reader without Go can follow are text files in testdata, see scripts_test.go.
package e2e
