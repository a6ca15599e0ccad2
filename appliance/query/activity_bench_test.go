package query_test

import (
	"testing"

	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// BenchmarkCampaign asks for the report of a campaign that wrote to everybody.
// ns/row is time by rows read, which the comparison reads once more.
func BenchmarkCampaign(b *testing.B) {
	env := mailing(200_000)
	env.Data.People = unmerged{env.Data.People.(memory.People)}
	for _, q := range []struct{ name, text string }{
		{"messages", `{"kind":"campaign","campaign":"cart","message":"m5"}`},
		{"with its goal", `{"kind":"campaign","campaign":"cart"}`},
		{"by variant", `{"kind":"campaign","campaign":"cart","breakdown":{"property":"variant"}}`},
	} {
		b.Run(q.name, func(b *testing.B) {
			rows := int64(0)
			for b.Loop() {
				a, err := query.Ask(b.Context(), []byte(q.text), env)
				if err != nil {
					b.Fatal(err)
				}
				rows += a.Rows
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
		})
	}
}

// BenchmarkActivity asks about activity over the data of BenchmarkMix, from
// bitmaps where it says so, else from rows without the decoding of blocks.
func BenchmarkActivity(b *testing.B) {
	const filter = `,"filter":{"property":"country","op":"exists"}`
	for _, q := range []struct{ name, text string }{
		{"Q6 weekly retention, bitmaps", `{"kind":"retention","start":{"event":"E0"},"return":{"event":"E1"},"interval":"week","first":"2026-01-05","buckets":12}`},
		{"weekly retention, rows", `{"kind":"retention","start":{"event":"E0"},"return":{"event":"E1"},"interval":"week","first":"2026-01-05","buckets":12` + filter + `}`},
		{"daily retention, recurring, bitmaps", `{"kind":"retention","start":{"event":"E0"},"return":{},"mode":"recurring","from":"2026-01-01","to":"2026-03-31"}`},
		{"daily retention, recurring, rows", `{"kind":"retention","start":{"event":"E0"},"return":{},"mode":"recurring","from":"2026-01-01","to":"2026-03-31"` + filter + `}`},
		{"weekly lifecycle, bitmaps", `{"kind":"lifecycle","interval":"week","from":"2026-01-01","to":"2026-03-31"}`},
		{"daily stickiness, bitmaps", `{"kind":"stickiness","from":"2026-01-01","to":"2026-03-31"}`},
		{"sessions by gap", `{"kind":"sessions"}`},
		{"sessions by gap and day", `{"kind":"sessions","interval":"day","from":"2026-01-01","to":"2026-03-31"}`},
		{"sessions by property", `{"kind":"sessions","session":"country"}`},
		{"distribution of time", `{"kind":"distribution","of":"time","event":"E0","then":{"event":"E1"}}`},
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
