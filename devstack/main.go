// Command devstack runs all of hookturn on embedded servers: to try it out, to develop against it, to measure it.
package main

import (
	"os"

	"github.com/hookturn/hookturn/devstack/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }
