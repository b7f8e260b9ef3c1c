// Package bench measures.
package bench

import "github.com/spf13/cobra"

// Command is "devstack bench".
func Command() *cobra.Command { return &cobra.Command{Use: "bench"} }
