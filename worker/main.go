// Command worker runs hookturn's workflows and activities beside a Temporal cluster.
package main

import (
	"os"

	"github.com/hookturn/hookturn/internal/cli"
)

func main() { os.Exit(cli.Run(cli.WorkerCommand(), cli.OS())) }
