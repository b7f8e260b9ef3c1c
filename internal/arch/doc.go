// Package arch holds no code, only tests of the house itself: who may import whom (imports_test.go), what may be called
// where (calls_test.go), how large a file may grow (shape_test.go), that links in documents lead somewhere
// (docs_test.go), and that docker-compose.yml and the files in deploy/ say what the product expects (compose_test.go,
// nats_test.go).
//
// Each rule gives its reason when it fails. A rule that stands in the way is changed here, in the open, together with
// the sentence in docs/ that it enforces; it is never worked around.
package arch
