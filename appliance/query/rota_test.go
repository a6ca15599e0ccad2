package query

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
)

// TestRota: every partition once, whoever takes how many.
func TestRota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 70).Draw(t, "workers")
		s := newRota(workers)
		var seen [event.Partitions]bool
		for range event.Partitions {
			p, ok := s.take(rapid.IntRange(0, workers-1).Draw(t, "worker"))
			if !ok || seen[p] {
				t.Fatalf("partition %d, %v", p, ok)
			}
			seen[p] = true
		}
		if p, ok := s.take(0); ok {
			t.Fatalf("partition %d when none was left", p)
		}
	})
}
