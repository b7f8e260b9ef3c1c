package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// followLevel changes the level of a running process: SIGUSR1 logs everything, SIGUSR2 returns to the configured level. It
// does so until stop is called.
func followLevel(level *telemetry.Level, log *slog.Logger) (stop func()) {
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		defer close(ended)
		for s := range signals {
			if s == syscall.SIGUSR1 {
				level.Debug()
				log.Info("log level changed", "level", "debug", "signal", s.String())
				continue
			}
			level.Reset()
			log.Warn("log level changed", "level", "as configured", "signal", s.String())
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	})
}
