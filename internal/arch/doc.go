// Package arch contains only tests of the repository: which package imports which (imports_test.go), which functions a
// package can call (calls_test.go), the size of files (shape_test.go), links in documents (docs_test.go), and the
// contents of docker-compose.yml and deploy/ (compose_test.go, nats_test.go).
//
// A rule reports its reason when it fails. Change a rule here, together with the sentence in docs/ that describes it; do not
// work around it.
package arch

//go:generate go test -run ^TestPackages_Documented$ -update .
