package publisher

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/query"
)

var besideRows = flag.Int("beside.rows", 300_000, "events that the heavy questions of BenchmarkBeside read")

// BenchmarkBeside asks a light question, and applies events, alone and beside
// four heavy questions of another publisher that go on without a pause: with
// the budget, with none, and with two questions at a time, first come, first
// served. The middle one takes a hundred times what the light one takes.
func BenchmarkBeside(b *testing.B) {
	big := open(b)
	fill := func(h *house, from, to int) {
		facts := make([]event.Fact, 0, 4000)
		for n := from; n < to; n++ {
			f := track(fmt.Sprintf("user-%d", n*7919%20_000), []string{"Seen", "Put in", "Bought"}[n%3], event.Prop{Key: "sku", Value: event.OfText(fmt.Sprintf("S%d", n*31%3000))})
			f.Time = 1_700_000_000_000_000 + int64(n)*1_000_000
			f.Received, f.ID, f.Flags = f.Time, fmt.Sprintf("%d", n), event.Imported
			if facts = append(facts, f); len(facts) == cap(facts) || n == to-1 {
				if err := h.Append(b.Context(), facts); err != nil {
					b.Fatal(err)
				}
				facts = facts[:0]
			}
		}
		if err := h.CaughtUp(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	fill(big, 0, *besideRows)
	heavy := []byte(`{"kind":"trend","series":[{"event":"Seen","measure":"median","property":"sku"},{"measure":"unique"}],"breakdown":{"property":"sku","limit":50},"interval":"day"}`)
	middle := []byte(`{"kind":"trend","series":[{"event":"Seen","measure":"median","property":"sku"},{"measure":"unique"}],"breakdown":{"property":"sku","limit":50},"interval":"hour"}`)
	light := []byte(`{"kind":"funnel","steps":[{"event":"Seen"},{"event":"Bought"}]}`)
	for _, with := range []string{"nothing", "two", "budget"} {
		for _, heavies := range []int{0, 4} {
			b.Run(fmt.Sprintf("by=%s/heavy=%d", with, heavies), func(b *testing.B) {
				small := &house{t: b, dir: b.TempDir(), post: &post{}}
				var budget *query.Budget
				if with == "budget" {
					budget = query.NewBudget(1<<30, runtime.GOMAXPROCS(0))
				}
				small.budget = budget
				small.start()
				defer small.stop()
				fill(small, 0, 20_000)
				big.o.Budget = budget
				places := make(chan struct{}, 2)
				if with != "two" {
					places = make(chan struct{}, 100)
				}
				ask := func(ctx context.Context, h *house, body []byte) error {
					places <- struct{}{}
					defer func() { <-places }()
					_, err := h.Ask(ctx, body)
					return err
				}
				ctx, stop := context.WithCancel(b.Context())
				var wait sync.WaitGroup
				for range heavies {
					wait.Go(func() {
						for ctx.Err() == nil {
							if err := ask(ctx, big, heavy); err != nil && ctx.Err() == nil {
								b.Error(err)
							}
						}
					})
				}
				var took, longer []time.Duration
				timed := func(took *[]time.Duration, body []byte) {
					began := time.Now()
					if err := ask(b.Context(), small, body); err != nil {
						b.Fatal(err)
					}
					*took = append(*took, time.Since(began))
				}
				for b.Loop() {
					timed(&took, light)
				}
				for range 10 {
					timed(&longer, middle)
				}
				began := time.Now()
				fill(small, 20_000, 220_000)
				applied := time.Since(began)
				stop()
				wait.Wait()
				slices.Sort(took)
				slices.Sort(longer)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
				b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "p90-ms")
				b.ReportMetric(float64(longer[5].Microseconds())/1000, "middle-ms")
				b.ReportMetric(200_000/applied.Seconds(), "events/s")
			})
		}
	}
}
