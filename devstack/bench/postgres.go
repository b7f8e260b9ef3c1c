package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hookturn/hookturn/devstack/servers"
)

// postgresStart is the value of --temporal-postgres that starts a PostgreSQL server for the run.
const postgresStart = "start"

// startPostgres starts a PostgreSQL server and makes the settings name it.
func (s *settings) startPostgres(ctx context.Context) (stop func(), err error) {
	p, err := servers.NewPostgres(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Remove())
	}
	s.postgres, s.postgresPID = p.URL("temporal"), p.PID()
	return func() { _ = p.Remove() }, nil
}

// familyCPUTime is the CPU time of a process and its children: PostgreSQL has a process for each connection.
func familyCPUTime(pid int) (total time.Duration, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		member, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if child := len(fields) > 1 && fields[1] == strconv.Itoa(pid); !child && member != pid {
			continue
		}
		if used, err := cpuTime(member); err == nil {
			total += used
		}
	}
	return total, nil
}
