package appliance

import (
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
)

// TestFailing: a connector that failed for a moment is no problem, nor is one
// that nothing was tried with since.
func TestFailing(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	for _, c := range []struct {
		name  string
		since time.Duration
		left  *time.Time
		want  bool
	}{
		{"works", 0, nil, false},
		{"just now", -time.Second, at(time.Second), false},
		{"for long", -longLeave, at(time.Minute), true},
		{"being tried", -longLeave, at(-time.Minute), true},
		{"not tried since", -24 * time.Hour, at(-longLeave), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := failing(delivery.RouteState{LeftOut: c.left, Failing: now.Add(c.since)}, now); got != c.want {
				t.Error(got)
			}
		})
	}
}
