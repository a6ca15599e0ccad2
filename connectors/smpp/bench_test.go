package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
)

// BenchmarkSubmit is what goes through plugins/host, this connector's process,
// and a message centre that answers at once or after 20 ms, by window.
func BenchmarkSubmit(b *testing.B) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		for _, window := range []float64{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("after=%s/window=%g", delay, window), func(b *testing.B) {
				s := newCentre(b, nil)
				s.answer = func(l *line, p pdu) bool {
					s.mu.Lock()
					s.got = s.got[:0]
					s.mu.Unlock()
					if delay == 0 || p.command != submitSM {
						return false
					}
					time.AfterFunc(delay, func() { l.usual(p); l.flush() })
					return true
				}
				path := testprogram.Install(b, "smpp")
				h, err := host.Open(host.Options{Dirs: []string{filepath.Dir(path)}, RunDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				defer h.Close()
				c, err := h.Start(b.Context(), host.Instance{Publisher: "acme", Channel: "sms", Name: "smsc", Plugin: "smpp", Settings: settingsFor(s.addr, connector.Settings{"window": window})})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				batch := make([]connector.Message, 500)
				if delay > 0 { // what the window lets through in a second or less
					batch = batch[:min(500, int(window)*40)]
				}
				for i := range batch {
					batch[i] = smsTo(fmt.Sprint(i), fmt.Sprintf("+49151%08d", i))
				}
				n := 0
				for b.Loop() {
					outs, err := c.Send(b.Context(), batch)
					if err != nil {
						b.Fatal(err)
					}
					for _, o := range outs {
						if o.Result != connector.Accepted {
							b.Fatalf("%+v", o)
						}
					}
					n += len(batch)
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "submits/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
