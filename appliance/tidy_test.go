package appliance

import (
	"slices"
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

// TestStrangers: browsers that subscribe with another key than is pushed with get
// nothing, whichever of the two was written.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name        string
		subscribing string
		pushing     map[string]string
		want        []string
	}{
		{"no web push", "", nil, nil},
		{"something else sends", "A", nil, nil},
		{"one key", "A", map[string]string{"web": "A", "spare": "A"}, nil},
		{"the configuration names another", "B", map[string]string{"web": "A", "spare": "A"}, []string{"spare", "web"}},
		{"two connectors, two keys", "A", map[string]string{"web": "A", "spare": "B"}, []string{"spare"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strangers(c.subscribing, c.pushing); !slices.Equal(got, c.want) {
				t.Error(got)
			}
		})
	}
}
