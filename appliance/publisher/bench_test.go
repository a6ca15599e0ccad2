package publisher

import (
	"fmt"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// BenchmarkApply carries order lines from the journal into what can be asked:
// ns/op is for one event of 4,000 people with seven properties.
func BenchmarkApply(b *testing.B) {
	h := open(b)
	const batch = 4000
	facts := make([]event.Fact, batch)
	at := int64(1_700_000_000_000_000)
	n := 0
	for b.Loop() {
		i := n % batch
		at += 1_000_000
		facts[i] = track(fmt.Sprintf("user-%d", n*7919%4000), "Item Purchased",
			event.Prop{Key: "invoice", Value: event.OfText(fmt.Sprint(n / 20))},
			event.Prop{Key: "sku", Value: event.OfText(fmt.Sprintf("S%d", n*31%3000))},
			event.Prop{Key: "description", Value: event.OfText(fmt.Sprintf("A fine thing of kind %d", n*31%3000))},
			event.Prop{Key: "quantity", Value: event.OfInt(int64(n % 12))},
			event.Prop{Key: "unit_price", Value: event.OfFloat(float64(n%500) / 100)},
			event.Prop{Key: "amount", Value: event.OfFloat(float64(n%500*(n%12)) / 100)},
			event.Prop{Key: "country", Value: event.OfText([]string{"IN", "GB", "DE"}[n%3])})
		facts[i].Time, facts[i].Received, facts[i].ID = at, at, fmt.Sprintf("order-%d", n)
		facts[i].Flags = event.Imported
		if n++; i == batch-1 {
			if err := h.Append(b.Context(), facts); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := h.CaughtUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	s := h.Flow()
	b.ReportMetric(float64(s.Rows)/s.Busy.Seconds(), "rows/s-in-runs")
}
