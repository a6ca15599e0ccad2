package history

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// retail reads the rows of data/online_retail, persons numbered as they come.
func retail(t testing.TB) []Row {
	t.Helper()
	f, err := os.Open("../../../shared/data/online_retail/events.ndjson.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	numbers := make(map[string]uint32)
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		v, err := event.ParseJSON(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		user := event.Lookup(v.Object(), "user").Text()
		if numbers[user] == 0 {
			numbers[user] = uint32(len(numbers) + 1)
		}
		at, err := time.Parse(time.RFC3339, event.Lookup(v.Object(), "ts").Text())
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, Row{
			Person: numbers[user], Time: at.UnixMicro(),
			Name: event.Lookup(v.Object(), "event").Text(), Props: event.Lookup(v.Object(), "props").Object(),
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// mix makes rows like those of the mix in PERFORMANCE.md: Zipf-like people,
// 25 names, country, platform and plan by person, an amount on two names, time
// in order.
func mix(n int) []Row {
	r := rand.New(rand.NewPCG(1, 2))
	people := rand.NewZipf(r, 1.1, 50, uint64(max(n/40, 100)))
	names := rand.NewZipf(r, 1.2, 3, 24)
	rows := make([]Row, n)
	span := int64(n) * 90 * dayMicros / 20_000_000 // 20 M events in 90 days
	for i := range rows {
		p := uint32(people.Uint64()) + 1
		name := names.Uint64()
		rows[i] = Row{Person: p, Name: fmt.Sprintf("Event %d", name), Time: (noon + span/int64(n)*int64(i) + r.Int64N(1e6)) / 1000 * 1000}
		rows[i].Props = []event.Prop{
			{Key: "country", Value: event.OfText(fmt.Sprintf("C%d", p%50))},
			{Key: "platform", Value: event.OfText([]string{"ios", "android", "web", "tv"}[r.IntN(4)*int(p%3)/2])},
			{Key: "plan", Value: event.OfText(fmt.Sprintf("plan %d", p%5))},
		}
		if name < 2 {
			rows[i].Props = append(rows[i].Props, event.Prop{Key: "amount", Value: event.OfFloat(float64(r.IntN(100_000)) / 100)})
		}
	}
	return rows
}

// fill appends in batches as the applier does.
func (h *house) fill(rows []Row) {
	for batch := range slices.Chunk(rows, 4096) {
		if err := h.db.Update(func(t *kv.Txn) error { return h.Append(t, batch) }); err != nil {
			h.t.Fatal(err)
		}
		h.Committed()
	}
}

// freezeAll freezes also the newest head.
func (h *house) freezeAll() {
	h.t.Helper()
	if err := h.Freeze(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// columnBytes adds up what lies on the shelves by kind of chunk.
func (h *house) columnBytes() map[string]int64 {
	out := make(map[string]int64)
	parts := make(map[uint64]bool)
	for _, p := range h.view.list.parts {
		parts[p.id] = true
	}
	for _, info := range h.shelves.List() {
		var keys [][]byte
		if err := h.shelves.Keys(info.ID, func(key []byte) error { keys = append(keys, slices.Clone(key)); return nil }); err != nil {
			h.t.Fatal(err)
		}
		for _, key := range keys {
			v, err := h.shelves.Get(info.ID, key)
			if err != nil {
				h.t.Fatal(err)
			}
			owner, _ := ownerOf(key)
			name := "people by day"
			if chunk := int(key[10])<<8 | int(key[11]); !parts[owner] {
				switch chunk {
				case chunkPeople:
					name = "persons"
				case chunkTimes:
					name = "times"
				case chunkEvents:
					name = "events"
				case chunkTies:
					name = "ties"
				default:
					name = h.words.keys.list[chunk-chunkColumns]
				}
			}
			out[name] += int64(len(v) + len(key))
		}
	}
	return out
}

func measure(b *testing.B, rows []Row) {
	for b.Loop() {
		b.StopTimer()
		h := &house{t: b, dir: b.TempDir(), o: Options{CacheBytes: 1 << 30}}
		h.start()
		b.StartTimer()
		start := time.Now()
		h.fill(rows)
		appended := time.Since(start)
		h.freezeAll()
		frozen := time.Since(start)
		b.StopTimer()
		n := float64(len(rows))
		b.ReportMetric(n/appended.Seconds()/1e6, "M-append/s")
		b.ReportMetric(n/frozen.Seconds()/1e6, "M-frozen/s")
		var sum int64
		for name, bytes := range h.columnBytes() {
			b.Logf("%-15s %6.3f bytes/event", name, float64(bytes)/n)
			sum += bytes
		}
		b.ReportMetric(float64(sum)/n, "bytes/event")
		b.Logf("%d blocks, %d parts", len(h.view.list.blocks), len(h.view.list.parts))
		keys := make([]string, 0)
		for _, n := range h.Snapshot().Names() {
			keys = append(keys, h.Snapshot().Keys(n.Name)...)
		}
		slices.Sort(keys)
		for _, c := range []struct {
			name string
			keys []string
		}{{"base", nil}, {"all", slices.Compact(keys)}} {
			h.History.cache = NewCache(1 << 30).drawer()
			for _, pass := range []string{"cold", "warm"} {
				start := time.Now()
				got := scanAll(b, h, c.keys)
				if got != len(rows) {
					b.Fatalf("%d rows", got)
				}
				b.ReportMetric(n/time.Since(start).Seconds()/1e6, "M-"+pass+"-"+c.name+"/s")
			}
		}
		h.stop()
		b.StartTimer()
	}
}

func scanAll(t testing.TB, h *house, keys []string) int {
	s := h.Snapshot()
	defer s.Release()
	n := 0
	for part := range event.Partitions {
		err := s.Scan(context.Background(), part, Want{Keys: keys}, func(r *Rows) error {
			n += r.Len()
			for _, k := range keys {
				if _, err := r.Column(k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func BenchmarkRetail(b *testing.B) { measure(b, retail(b)) }
func BenchmarkMix(b *testing.B)    { measure(b, mix(2_000_000)) }

// BenchmarkHead reads rows that are not frozen.
func BenchmarkHead(b *testing.B) {
	rows := mix(500_000)
	h := open(b, Options{})
	h.fill(rows)
	for b.Loop() {
		if got := scanAll(b, h, []string{"country", "amount"}); got != len(rows) {
			b.Fatalf("%d rows", got)
		}
	}
	b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds()/1e6, "M-rows/s")
}
