package oracle

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	sets = flag.Int("sets", 20, "how many generated sets TestGenerated asks about")
	seed = flag.Uint64("seed", 1, "of the first set")
)

// questions asked about each set.
const questions = 60

// TestGenerated compares random questions about generated events. A failure
// prints the seed of its set.
func TestGenerated(t *testing.T) {
	counts := map[string]int{}
	for at := *seed; at < *seed+uint64(*sets); at++ {
		ok := t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := rand.New(rand.NewPCG(at, 20))
			s := generate(t, r)
			b := open(t, s)
			first, days := b.span(t)
			a := &asking{Rand: r, from: first, days: days, seen: 120}
			for range questions {
				q := a.anything()
				if err := b.compare(t.Context(), q); err != nil {
					t.Fatalf("-seed %d: %v", at, err)
				}
				counts[q["kind"].(string)]++
			}
		})
		if !ok {
			break
		}
	}
	for _, kind := range sorted(counts) {
		t.Logf("%6d %s", counts[kind], kind)
	}
}

// span is the days of a set, one more at each end.
func (b *sides) span(t *testing.T) (time.Time, int) {
	rows, err := b.rows("select coalesce(min(us), 0), coalesce(max(us), 0) from arrived")
	must(t, err)
	first := time.UnixMicro(rows[0][0].(int64)).UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	return first, int(time.UnixMicro(rows[0][1].(int64)).Sub(first).Hours()/24) + 2
}
