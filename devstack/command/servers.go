package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// natsCommand runs a NATS server alone, as one process of several.
func natsCommand() *cobra.Command {
	var o servers.NATSOptions
	var c servers.NATSCluster
	cmd := &cobra.Command{
		Use:   "nats",
		Short: "Run a NATS server alone",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Logger, err = telemetry.NewLogger(cmd.ErrOrStderr(), "warn", "text"); err != nil {
				return err
			}
			if c.Addr != "" {
				o.Cluster = &c
			}
			s, err := servers.StartNATS(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer s.Stop()
			fmt.Fprintf(cmd.OutOrStdout(), "ready nats=%s\n", s.Addr())
			<-cmd.Context().Done()
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Addr, "nats-addr", "127.0.0.1:4222", "host:port of NATS")
	f.StringVar(&o.DataDir, "data-dir", "", "directory of the streams; empty: in memory")
	f.Int64Var(&o.MaxStore, "max-store", 0, "most bytes of all streams; 0: what the disk allows")
	f.DurationVar(&o.SyncInterval, "sync-interval", 0, "how often files are synced and compacted; 0: every 2 minutes")
	f.StringVar(&c.Name, "name", "", "name of this server in its cluster")
	f.StringVar(&c.Addr, "cluster-addr", "", "host:port where the other servers of the cluster dial; empty: no cluster")
	f.StringSliceVar(&c.Routes, "routes", nil, "host:port of the other servers of the cluster")
	return cmd
}

// temporalCommand runs a Temporal server alone, as one process of several.
func temporalCommand() *cobra.Command {
	var o servers.TemporalOptions
	cmd := &cobra.Command{
		Use:   "temporal",
		Short: "Run a Temporal server alone",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Logger, err = telemetry.NewLogger(cmd.ErrOrStderr(), "warn", "text"); err != nil {
				return err
			}
			s, err := servers.StartTemporal(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer s.Stop()
			fmt.Fprintf(cmd.OutOrStdout(), "ready temporal=%s\n", s.Addr())
			<-cmd.Context().Done()
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.FrontendAddr, "temporal-addr", "127.0.0.1:7233", "host:port of Temporal")
	f.StringVar(&o.DataDir, "data-dir", "", "directory of the SQLite database; empty: in memory")
	f.StringVar(&o.Postgres, "postgres", "", "PostgreSQL, as in postgres://user:password@host:port/db; empty: SQLite")
	f.IntVar(&o.HistoryShards, "history-shards", 0, "history shards; 0: 64 with PostgreSQL, else 1")
	return cmd
}
