package host

import (
	"fmt"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// BenchmarkSend is the cost of the line to a connector that does nothing.
func BenchmarkSend(b *testing.B) {
	for _, n := range []int{1, 100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b, Options{}, "wide")
			c, err := r.Start(b.Context(), instance("wide"))
			if err != nil {
				b.Fatal(err)
			}
			batch := messages(n)
			for i := range batch {
				batch[i].HTML = fmt.Sprintf("%4096d", i)
			}
			for b.Loop() {
				outs, err := c.Send(b.Context(), batch)
				if err != nil || outs[0].Result != connector.Accepted {
					b.Fatal(outs[0], err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkStart is how long it takes from nothing to a configured connector,
// and to its end.
func BenchmarkStart(b *testing.B) {
	r := newRig(b, Options{}, "good")
	for b.Loop() {
		c, err := r.Start(b.Context(), instance("good"))
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
