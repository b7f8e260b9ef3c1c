package recovery_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestRecovery_LooksBackToTheMark: a starter that starts after hours without one goes on where the last one stopped, and looks
// back as far as answers are recognised when that is not known.
func TestRecovery_LooksBackToTheMark(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mark *mark
		back time.Duration
	}{
		"mark":             {&mark{at: time.Now().Add(-100 * time.Hour)}, 100*time.Hour + 2*time.Minute},
		"none stored":      {&mark{}, 72 * time.Hour},
		"cannot be read":   {&mark{err: errors.New("away")}, 72 * time.Hour},
		"of a wrong clock": {&mark{at: time.Now().Add(time.Hour)}, 72 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, c := setup(t)
			rec.Mark = tc.mark
			n := newNamespace(t, c)
			n.terminated(key, "ended", 90*time.Minute, "e1")
			var since time.Time
			n.lists = func(from, _ time.Time) error {
				if since.IsZero() {
					since = from
				}
				return nil
			}
			taken := takers(c, none)
			require.NoError(t, rec.RecoverTwice(t.Context()))
			require.Equal(t, []string{"e1"}, *taken)
			require.WithinDuration(t, time.Now().Add(-tc.back), since, time.Minute)
			if name != "of a wrong clock" {
				require.WithinDuration(t, time.Now().Add(-2*time.Minute), tc.mark.at, time.Minute, "for the next starter")
			}
		})
	}
}

// TestRecovery_ManyEndedRuns: more runs than fit a page are recovered from the oldest on, and what was listed is not listed
// again when a later page fails.
func TestRecovery_ManyEndedRuns(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.page = 4
	var want []string
	for k := range 30 {
		id := fmt.Sprintf("e%d", k)
		n.terminated(conversation("acme", id), id, time.Duration(60-k)*time.Minute, id)
		want = append(want, id)
	}
	var again []time.Time // from where spans begin once listing has failed
	failed := false
	n.lists = func(from, _ time.Time) error {
		if failed {
			again = append(again, from)
			return nil
		}
		if failed = time.Since(from) < 50*time.Minute; failed {
			return errors.New("away")
		}
		return nil
	}
	taken := takers(c, none)
	require.ErrorContains(t, rec.RecoverTwice(t.Context()), "away")
	require.Equal(t, want, *taken)
	require.NotEmpty(t, again)
	require.Less(t, time.Since(slices.MinFunc(again, time.Time.Compare)), 61*time.Minute, "a finished span is listed again")
}

// TestRecovery_AnsweredBeforeTheMarkWasLost: what was answered so long ago that the stream would store a second reply, and the
// conversation may have dropped its id, is not run again.
func TestRecovery_AnsweredBeforeTheMarkWasLost(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Hour, "e1", "e2")
	to := step.Address{ConversationKey: key, Event: schemas.Event{ID: "e1"}}
	rec.Answers.Replies = &intaketest.Replies{Published: []schemas.Reply{{ID: to.ReplyID(schemas.TypeStepReplied)}}}
	taken := takers(c, none)
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Equal(t, []string{"e2"}, *taken)
}
