package sandbox

import (
	"context"
	"fmt"
	"time"
)

// take returns a process that waits for a job: a warm one, or a new one. The last half of the warm processes is for tenants
// without another running script. A process with packages is always a new one: they are part of its file system.
func (s *Sandbox) take(ctx context.Context, alone bool, packages string) (*process, error) {
	for packages == "" && (alone || len(s.warm) > cap(s.warm)/2) {
		select {
		case c := <-s.warm:
			if c.alive() {
				return c, nil
			}
			c.close()
			continue
		default:
		}
		break
	}
	return s.spawn(ctx, packages)
}

// refillPause delays the next start while more than half are ready, so that the running script gets the processor first.
const refillPause = 10 * time.Millisecond

// fill starts processes in advance until ctx ends. It waits longer after each failure in a row.
func (s *Sandbox) fill(ctx context.Context) {
	for failures := 0; ; {
		c, err := s.spawn(ctx, "")
		wait := time.Duration(0)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			failures++
			wait = min(time.Duration(failures)*200*time.Millisecond, 5*time.Second)
			s.options.Log.WarnContext(ctx, "starting an interpreter in advance failed, will retry", "error", err, "retry_in", wait)
			s.dropZygote()
		} else {
			failures = 0
			select {
			case s.warm <- c:
				if len(s.warm) > cap(s.warm)/2 {
					wait = refillPause
				}
			case <-ctx.Done():
				c.close()
				return
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// spawn requests a process from the zygote. It starts a new zygote when there is none or it must be replaced. Several
// callers can wait at a time.
func (s *Sandbox) spawn(ctx context.Context, packages string) (*process, error) {
	c, err := s.ask(ctx, packages)
	if err != nil {
		return nil, err
	}
	if err := c.awaitReady(ctx); err != nil {
		c.close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.zygote == c.zygote {
			s.zygote.retire()
			s.zygote = nil
		}
		return nil, fmt.Errorf("%w: %s", err, c.zygote.stderr)
	}
	return c, nil
}

func (s *Sandbox) ask(ctx context.Context, packages string) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zygote != nil && s.zygote.worn() {
		s.zygote.retire()
		s.zygote = nil
	}
	if s.zygote == nil {
		z, err := startZygote(ctx, s.options, s.places.users)
		if err != nil {
			return nil, err
		}
		s.zygote = z
	}
	at, err := s.places.take()
	if err != nil {
		return nil, err
	}
	c, err := s.zygote.ask(at, packages, func() { s.places.free <- at })
	if err != nil {
		s.zygote.retire()
		s.zygote = nil
	}
	return c, err
}

func (s *Sandbox) dropZygote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zygote != nil {
		s.zygote.retire()
		s.zygote = nil
	}
}

// Close ends every interpreter, running ones too.
func (s *Sandbox) Close() {
	s.stop()
	s.filled.Wait()
	s.ending.Wait()
	for {
		select {
		case c := <-s.warm:
			c.close()
			continue
		default:
		}
		break
	}
	s.dropZygote()
	s.places.close()
	s.library.close()
}
