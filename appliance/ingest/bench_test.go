package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/ingest/detect"
)

// segmentBatch is a body as analytics-node makes it: about 900 bytes a message.
func segmentBatch(n, seed int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"batch":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		id := seed*n + i
		fmt.Fprintf(&b, `{"timestamp":"2026-11-23T16:25:13.607Z","integrations":{},"event":"Order Completed","type":"track","properties":{"order_id":"o-%d","revenue":%d.5,"currency":"INR","platform":"android","plan":"gold","products":[{"product_id":"p%d","price":12.75,"quantity":2}]},"context":{"ip":"203.0.113.7","locale":"en-IN","timezone":"Asia/Kolkata","app":{"name":"Shop","version":"1.2"},"page":{"path":"/next.html","referrer":"","search":"","title":"next","url":"https://shop.example/next.html"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.8078.79 Safari/537.36","library":{"name":"@segment/analytics-node","version":"3.1.0"}},"userId":"user-%d","anonymousId":"0ffefa50-e907-4370-8472-%012x","messageId":"node-next-1795451113607-23fbc910-a827-4d6e-ba73-%012x","_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node"}}`,
			id, id%1000, id%500, id%100_000, id, id)
	}
	b.WriteString(`],"writeKey":"WRITEKEY","sentAt":"2026-11-23T16:25:59.622Z"}`)
	return b.Bytes()
}

// BenchmarkHTTP sends over real connections to a real journal, until 200.
func BenchmarkHTTP(b *testing.B) {
	for _, c := range []struct{ clients, events int }{{64, 1}, {32, 100}} {
		b.Run(fmt.Sprintf("clients=%d/events=%d", c.clients, c.events), func(b *testing.B) {
			a := newDoor(b)
			srv := httptest.NewServer(a.door)
			defer srv.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.clients}}
			defer client.CloseIdleConnections()
			bodies := make([][]byte, c.clients)
			for i := range bodies {
				bodies[i] = segmentBatch(c.events, i)
			}
			per := max(b.N/c.clients, 1)
			b.ResetTimer()
			start := time.Now()
			var wg sync.WaitGroup
			for _, body := range bodies {
				wg.Go(func() {
					for range per {
						resp, err := client.Post(srv.URL+"/v1/batch", "application/json", bytes.NewReader(body))
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if resp.StatusCode != 200 {
							b.Error(resp.Status)
							return
						}
					}
				})
			}
			wg.Wait()
			took := time.Since(start).Seconds()
			b.ReportMetric(float64(a.j.Stats().Facts)/took, "events/s")
			b.ReportMetric(float64(per*c.clients)/took, "requests/s")
		})
	}
}

// BenchmarkSegment decodes and translates a body, without HTTP and journal:
// with nothing looked for in values, with cards, as without a word of the
// operator's, and with everything.
func BenchmarkSegment(b *testing.B) {
	var all [detect.Kinds]Action
	for k := range all {
		all[k] = MaskIt
	}
	for _, c := range []struct {
		name string
		d    *Detector
	}{{"detect=nothing", nil}, {"detect=cards", NewDetector([detect.Kinds]Action{detect.Card: MaskIt}, nil)}, {"detect=all", NewDetector(all, nil)}} {
		b.Run(c.name, func(b *testing.B) {
			body := string(segmentBatch(100, 1))
			door := New(Options{Now: func() time.Time { return now }})
			key := Key{Publisher: &Publisher{Rules: &Rules{Names: NewNames(nil, nil, nil), Detect: c.d}}}
			b.SetBytes(int64(len(body)))
			start := time.Now()
			n := 0
			p := new(parser)
			for b.Loop() {
				p.begin(body)
				req, err := readSegment(p, "batch")
				if err != nil {
					b.Fatal(err)
				}
				made := door.begin("segment", key)
				translateSegment(made, req, segmentSender{})
				if len(made.refused) > 0 {
					b.Fatal(made.refused)
				}
				n += len(made.facts)
				door.used(made.facts)
				p.forget()
			}
			b.ReportMetric(float64(n)/time.Since(start).Seconds(), "events/s")
		})
	}
}
