// Command starter takes events from NATS into Temporal, and holds the tools to look at both.
package main

import (
	"os"

	"github.com/hookturn/hookturn/internal/cli"
)

func main() { os.Exit(cli.Run(cli.StarterCommand(), cli.OS())) }
