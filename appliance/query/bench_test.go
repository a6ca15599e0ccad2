package query_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// unmerged saves looking for losers among people who have none.
type unmerged struct{ memory.People }

func (unmerged) Losers(int) map[uint32][]uint32 { return nil }

// mixed is a smaller copy of the data that questions are measured on: 90 days,
// 25 event names, Zipf-like activity, a generation for every day.
var mixed = sync.OnceValue(func() query.Env {
	const people, days, perDay = 50_000, 90, 12_000
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 50, people-1)
	numbers := make(memory.People, people)
	for i := range numbers {
		numbers[i].Identity = fmt.Sprint(i)
		numbers[i].Profile = map[string]event.Value{"plan": event.OfText(fmt.Sprint("plan", i%5))}
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var generations []memory.Generation
	for d := range days {
		g := memory.Generation{Layout: memory.ByPerson}
		for range perDay {
			name := int(rand.NewZipf(r, 1.2, 4, 24).Uint64())
			row := history.Row{Person: uint32(1 + zipf.Uint64()), Name: fmt.Sprint("E", name),
				Time: start.AddDate(0, 0, d).Add(time.Duration(r.Int64N(int64(24 * time.Hour)))).UnixMicro()}
			row.Props = []event.Prop{{Key: "country", Value: event.OfText(fmt.Sprint("C", r.IntN(50)))}, {Key: "platform", Value: event.OfText(fmt.Sprint("P", r.IntN(4)))}}
			if name < 2 {
				row.Props = append(row.Props, event.Prop{Key: "amount", Value: event.OfFloat(float64(r.IntN(10000)) / 100)})
			}
			g.Rows = append(g.Rows, row)
		}
		generations = append(generations, g)
	}
	return query.Env{Data: query.Data{History: memory.New(time.UTC, generations...), People: unmerged{numbers}}, Find: numbers.Find,
		Now: func() time.Time { return start.AddDate(0, 0, days) }}
})

// BenchmarkMix asks the mix that performance is measured on, without the
// decoding of blocks. ns/row is time by rows read.
func BenchmarkMix(b *testing.B) {
	for _, q := range []struct{ name, text string }{
		{"Q1 daily uniques", `{"kind":"trend","from":"2026-01-01","to":"2026-03-31","series":[{"event":"E1","measure":"unique"}]}`},
		{"Q2 daily count by country", `{"kind":"trend","from":"2026-01-01","to":"2026-03-31","series":[{"event":"E0"}],"breakdown":{"property":"country"}}`},
		{"Q3 daily sum by platform", `{"kind":"trend","from":"2026-01-01","to":"2026-03-31","series":[{"event":"E0","measure":"sum","property":"amount"}],"breakdown":{"property":"platform"}}`},
		{"Q4 segment", `{"kind":"segment","people":{"all":[{"did":{"event":"E0","filter":{"property":"country","op":"=","value":"C7"}},"in":{"last":{"n":30,"unit":"day"}},
			"count":{"op":">=","value":3}},{"did_not":{"event":"E1"},"in":{"last":{"n":7,"unit":"day"}}}]}}`},
		{"Q5 funnel", `{"kind":"funnel","from":"2026-01-01","to":"2026-03-31","window":{"n":7,"unit":"day"},"steps":[{"event":"E0"},{"event":"E1"},{"event":"E2"},{"event":"E3"}]}`},
		{"Q7 trailing uniques", `{"kind":"trend","from":"2026-01-01","to":"2026-03-31","series":[{"measure":"unique"},{"measure":"unique","trailing":{"n":7,"unit":"day"}},
			{"measure":"unique","trailing":{"n":30,"unit":"day"}}]}`},
		{"Q8 paths", `{"kind":"paths","from":"2026-01-01","to":"2026-03-31","start":{"event":"E0"},"depth":4,"collapse":false,"limit":10}`},
	} {
		b.Run(q.name, func(b *testing.B) {
			env := mixed()
			rows := int64(0)
			for b.Loop() {
				a, err := query.Ask(b.Context(), []byte(q.text), env)
				if err != nil {
					b.Fatal(err)
				}
				rows += a.Rows
			}
			if rows > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
			}
		})
	}
}
