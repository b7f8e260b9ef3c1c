package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hookturn/hookturn/internal/nearest"
)

// meant is the hint of an error about an unknown name: the known one that is spelled most like it; "" when none is.
func meant(prefix, text string, names []string) string {
	if name := nearest.Name(text, names); name != "" {
		return "did you mean " + prefix + name + "?"
	}
	return ""
}

// onlyCommands checks the arguments of a command that has subcommands and takes no argument itself.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return problem(kindUsage, "unknown command %q for %q", args[0], cmd.CommandPath()).do(meant("", args[0], names))
}

// flagError adds to the error of a flag its environment variable and an example, or the flag that was meant.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		return problem(kindUsage, "%w", err).do(meant("--", unknown.GetSpecifiedName(), names))
	}
	return withVariable(cmd, err)
}

// allowed is the annotation of a flag whose values are a closed set.
const allowed = "hookturn_allowed"

// checkAllowed returns an error when a flag has a value outside its closed set.
func checkAllowed(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			if err == nil && f.Annotations[allowed] != nil && value != "" {
				err = oneOf("--"+f.Name, value, f.Annotations[allowed])
			}
		}
	})
	return err
}

// oneOf returns an error when a value is not one of a closed set.
func oneOf(name, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return problem(kindUsage, "invalid %s %q: expected one of %s", name, value, strings.Join(allowed, ", ")).
		do(meant("", value, allowed))
}
