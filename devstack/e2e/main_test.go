package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/hookturn/hookturn/devstack/command"
)

// role is the variable by which this test binary runs as a program of the development stack.
const role = "HOOKTURN_E2E_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "devstack":
		os.Exit(command.Run(os.Args[1:]))
	case "burn":
		burn()
	case "websocat":
		if err := websocat(os.Args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	removePrograms()
	os.Exit(code)
}
