// Package leaktest finds goroutines that a package's tests leave behind.
package leaktest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end; no test waits this long unless something is broken. Half a second, which
// goleak gives them, can pass on a busy machine before a goroutine runs at all.
const patience = time.Minute

// VerifyTestMain runs a package's tests and fails when goroutines are left over.
func VerifyTestMain(m *testing.M, ignored ...goleak.Option) {
	goleak.VerifyTestMain(patient{m, ignored}, ignored...)
}

// patient are tests that end when their goroutines have.
type patient struct {
	tests   goleak.TestingM
	ignored []goleak.Option
}

func (p patient) Run() (status int) {
	status = p.tests.Run()
	for until := time.Now().Add(patience); status == 0 && time.Now().Before(until); {
		if goleak.Find(p.ignored...) == nil {
			break
		}
	}
	return status
}
