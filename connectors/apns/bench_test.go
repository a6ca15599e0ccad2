package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/connectors/apns/standin"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
)

// BenchmarkPush is what goes through plugins/host, this connector's process and
// two connections to a stand-in that answers at once or after 20 ms, by streams
// on each connection.
func BenchmarkPush(b *testing.B) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		for _, streams := range []float64{1, 10, 100, 500} {
			b.Run(fmt.Sprintf("after=%s/streams=%g", delay, streams), func(b *testing.B) {
				s := newServer(b)
				s.Keep = false
				if delay > 0 {
					s.Answer = func(http.ResponseWriter, *http.Request, standin.Notification) bool { time.Sleep(delay); return false }
				}
				path := testprogram.Install(b, "apns")
				h, err := host.Open(host.Options{Dirs: []string{filepath.Dir(path)}, RunDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				defer h.Close()
				c, err := h.Start(b.Context(), host.Instance{Publisher: "acme", Channel: "push", Name: "ios", Plugin: "apns", Settings: settingsFor(s, connector.Settings{"streams": streams})})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				batch := make([]connector.Message, 500)
				for i := range batch {
					batch[i] = push(i)
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
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
