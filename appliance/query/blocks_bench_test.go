package query_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	columns "github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

var (
	blocksDir  = flag.String("blocks.dir", "", "where BenchmarkBlocks keeps its history, to be used again; empty: a directory that is removed")
	blocksRows = flag.Int("blocks.rows", 1_000_000, "about how many events BenchmarkBlocks asks about")
	blocksCold = flag.Bool("blocks.cold", false, "BenchmarkBlocks opens the history anew for each question, so that nothing is decoded yet")
)

// throng is people without merges, numbered from 1, whose profile is country.
type throng struct {
	n       int
	country *columns.Column
	exists  *roaring.Bitmap
}

func (throng) Winner(person uint32) uint32              { return person }
func (throng) Losers(int) map[uint32][]uint32           { return nil }
func (throng) Hidden(uint32) bool                       { return false }
func (c throng) Exists() *roaring.Bitmap                { return c.exists }
func (throng) Reachable(string) *roaring.Bitmap         { return roaring.New() }
func (throng) Consented(string, string) *roaring.Bitmap { return roaring.New() }
func (throng) Lists() []string                          { return nil }
func (throng) List(string) *roaring.Bitmap              { return nil }
func (throng) Identity(person uint32) (string, error)   { return fmt.Sprint(person), people.ErrUnknown }
func (c throng) Profile(key string) *columns.Column {
	if key == "country" {
		return c.country
	}
	return nil
}

const blocksDays = 90

var blocksStart = time.Date(2026, 8, 3, 0, 0, 0, 0, time.UTC)

// weights of event names after a session's first, which is App Launched.
var blockEvents = []struct {
	name   string
	weight float64
}{{"Screen Viewed", 25}, {"Product Viewed", 20}, {"Searched", 8}, {"Video Watched", 8}, {"Category Viewed", 7}, {"App Backgrounded", 7},
	{"Banner Viewed", 6}, {"Added to Cart", 5}, {"Notification Seen", 5}, {"Charged", 1.6}, {"Wishlist", 2}, {"Checkout Started", 2},
	{"Banner Clicked", 1.2}, {"Cart Opened", 1.2}, {"Removed from Cart", 1}, {"Logged In", 1}, {"Payment Failed", .7}, {"Shared", .6},
	{"Rated", .4}, {"Logged Out", .4}, {"Profile Updated", .4}, {"Coupon Applied", .3}, {"Support Opened", .3}, {"Referral Sent", .2}}

type blockEvent struct {
	at            int64 // microseconds from the first day's start
	person        uint32
	name          uint8 // 0 = App Launched, else blockEvents[name-1]
	country, plat uint8
	cents         int32
}

func pickOf(r *rand.Rand, cumulative []float64) int {
	at, _ := slices.BinarySearch(cumulative, r.Float64()*cumulative[len(cumulative)-1])
	return min(at, len(cumulative)-1)
}

func cumulated(n int, weight func(int) float64) []float64 {
	out := make([]float64, n)
	sum := 0.0
	for i := range out {
		sum += weight(i)
		out[i] = sum
	}
	return out
}

// invented makes about total events, day by day, and each person's country.
func invented(total int) (days [][]blockEvent, countries []uint8) {
	people := max(total/40, 1000)
	names := cumulated(len(blockEvents), func(i int) float64 { return blockEvents[i].weight })
	country := cumulated(50, func(i int) float64 { return math.Pow(float64(i+1), -1.1) })
	activity := cumulated(people, func(i int) float64 { return math.Pow(float64(i+200), -.9) })
	plats := []float64{60, 85, 97, 100}
	days, countries = make([][]blockEvent, blocksDays), make([]uint8, people+1)
	const day = int64(24 * time.Hour / time.Microsecond)
	for p := 1; p <= people; p++ {
		r := rand.New(rand.NewPCG(7, uint64(p)))
		countries[p] = uint8(pickOf(r, country))
		rank := int(uint64(p) * 2654435761 % uint64(people))
		share := math.Pow(float64(rank+200), -.9) / activity[people-1]
		since := int64(0)
		if r.IntN(2) == 0 {
			since = r.Int64N(75)
		}
		for n := int(float64(total)*share + r.Float64()); n > 0; {
			at := (since*day + r.Int64N((blocksDays-since)*day)) / 1000 * 1000 // whole milliseconds
			plat := uint8(pickOf(r, plats))
			length := min(n, 1+int(r.ExpFloat64()*8))
			for k := range length {
				e := blockEvent{at: at, person: uint32(p), country: countries[p], plat: plat}
				if r.IntN(50) == 0 {
					e.country = uint8(r.IntN(50))
				}
				if k > 0 {
					e.name = 1 + uint8(pickOf(r, names))
				}
				if n := e.name; n > 0 && (blockEvents[n-1].name == "Charged" || blockEvents[n-1].name == "Added to Cart") {
					e.cents = int32(100 + math.Exp(r.NormFloat64()*.9+8))
				}
				if at < blocksDays*day {
					days[at/day] = append(days[at/day], e)
				}
				at += 200_000 + int64(r.ExpFloat64()*25e3)*1000
			}
			n -= length
		}
	}
	return days, countries
}

// blockStore is a history and its people, which can be opened anew.
type blockStore struct {
	env      query.Env
	open     func() *history.History
	h        *history.History
	snapshot *history.Snapshot
}

// openBlocks opens the history, filled if it is new.
func openBlocks(b *testing.B) *blockStore {
	b.Helper()
	dir := *blocksDir
	if dir == "" {
		dir = b.TempDir()
	}
	fill := false
	if _, err := os.Stat(filepath.Join(dir, "full")); err != nil {
		fill = true
	}
	ok := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	db, err := kv.Open(filepath.Join(dir, "state"), kv.Options{Reserve: 1})
	ok(err)
	cache := kv.NewShelfCache(16)
	shelves, err := kv.OpenShelves(filepath.Join(dir, "shelves"), cache, kv.ShelfOptions{Reserve: 1})
	ok(err)
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	ok(err)
	keys, err := ring.Publisher("acme")
	ok(err)
	store := &blockStore{open: func() *history.History {
		h, err := history.Open(db, shelves, keys, history.Options{CacheBytes: 4 << 30})
		ok(err)
		return h
	}}
	days, countries := invented(*blocksRows)
	events := 0
	for _, d := range days {
		events += len(d)
	}
	if fill {
		h := store.open()
		fillBlocks(b, db, h, days)
		ok(h.Freeze(b.Context()))
		ok(h.Compact(b.Context()))
		ok(h.Close())
		ok(os.WriteFile(filepath.Join(dir, "full"), nil, 0o600))
	}
	logBytes(b, db, shelves, events)
	b.Cleanup(func() {
		for _, close := range []func() error{store.h.Close, shelves.Close, db.Close, ring.Close} {
			if err := close(); err != nil {
				b.Error(err)
			}
		}
	})
	c := throng{n: len(countries), country: &columns.Column{Codes: make([]uint32, len(countries))}, exists: roaring.New()}
	for i := range 50 {
		c.country.Dict = append(c.country.Dict, event.OfText(fmt.Sprint("C", i)))
	}
	for p, code := range countries {
		if p > 0 {
			c.country.Codes[p] = uint32(code) + 1
		}
	}
	c.exists.AddRange(1, uint64(len(countries)))
	c.exists.RunOptimize()
	store.env = query.Env{Data: query.Data{People: c}, Memory: 4 << 30,
		Now: func() time.Time { return blocksStart.AddDate(0, 0, blocksDays) }}
	store.anew(b)
	b.Cleanup(func() { store.snapshot.Release() })
	return store
}

// anew opens the history again.
func (s *blockStore) anew(b *testing.B) {
	b.Helper()
	if s.h != nil {
		s.snapshot.Release()
		if err := s.h.Close(); err != nil {
			b.Fatal(err)
		}
	}
	s.h = s.open()
	s.snapshot = s.h.Snapshot()
	s.env.Data.History = s.snapshot
}

// logBytes says what each kind of chunk takes, of the blocks and parts that are
// listed: what was merged lies on the shelves a while longer. Kinds are the
// numbers that history gives them, properties from 16 on, as they came.
func logBytes(b *testing.B, db *kv.DB, shelves *kv.Shelves, events int) {
	kinds := map[uint32]string{0: "persons", 1: "times", 2: "events", 3: "ties", 16: "country", 17: "platform", 18: "plan", 19: "amount"}
	ok := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	listed := make(map[uint64]byte)
	ok(db.View(func(t *kv.Txn) error {
		for _, list := range []string{"b", "d"} { // blocks, and parts by day
			if err := t.Scan(kv.History, []byte(list), nil, func(key, _ []byte) error {
				listed[binary.BigEndian.Uint64(key[1:])] = list[0]
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}))
	bytes, all := make(map[string]int), 0
	for _, info := range shelves.List() {
		var keys [][]byte
		ok(shelves.Keys(info.ID, func(key []byte) error { keys = append(keys, slices.Clone(key)); return nil }))
		for _, key := range keys {
			kind := "people by day"
			switch listed[binary.BigEndian.Uint64(key)] {
			case 0:
				continue
			case 'b':
				kind = kinds[binary.BigEndian.Uint32(key[8:])]
			}
			v, err := shelves.Get(info.ID, key)
			ok(err)
			bytes[kind] += len(key) + len(v)
			all += len(key) + len(v)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(bytes)) {
		b.Logf("%-15s %6.3f bytes an event", kind, float64(bytes[kind])/float64(events))
	}
	b.Logf("%-15s %6.3f bytes an event of %d", "in all", float64(all)/float64(events), events)
}

func fillBlocks(b *testing.B, db *kv.DB, h *history.History, days [][]blockEvent) {
	plats := []string{"Android", "iOS", "Web", "TV"}
	var rows []history.Row
	write := func() {
		if err := db.Update(func(t *kv.Txn) error { return h.Append(t, rows) }); err != nil {
			b.Fatal(err)
		}
		h.Committed()
		rows = rows[:0]
	}
	start := blocksStart.UnixMicro()
	for d := range days {
		slices.SortFunc(days[d], func(a, b blockEvent) int { return int(a.at - b.at) })
		for _, e := range days[d] {
			row := history.Row{Person: e.person, Time: start + e.at, Name: "App Launched"}
			if e.name > 0 {
				row.Name = blockEvents[e.name-1].name
			}
			row.Props = []event.Prop{{Key: "country", Value: event.OfText(fmt.Sprint("C", e.country))}, {Key: "platform", Value: event.OfText(plats[e.plat])},
				{Key: "plan", Value: event.OfText(fmt.Sprint("plan", e.person%5))}}
			if e.cents != 0 {
				row.Props = append(row.Props, event.Prop{Key: "amount", Value: event.OfFloat(float64(e.cents) / 100)})
			}
			if rows = append(rows, row); len(rows) == 10_000 {
				write()
			}
		}
		days[d] = nil
	}
	write()
}

// blockQuestions is the mix that performance is measured on.
var blockQuestions = []struct{ name, text string }{
	{"Q1", `{"kind":"trend","RANGE","series":[{"event":"Product Viewed","measure":"unique"}]}`},
	{"Q2", `{"kind":"trend","RANGE","series":[{"event":"Product Viewed"}],"breakdown":{"property":"country","limit":50}}`},
	{"Q3", `{"kind":"trend","RANGE","series":[{"event":"Charged","measure":"sum","property":"amount"}],"breakdown":{"property":"platform"}}`},
	{"Q4", `{"kind":"segment","people":{"all":[{"did":{"event":"Added to Cart"},"in":{"last":{"n":30,"unit":"day"}},"count":{"op":">=","value":3}},
		{"did_not":{"event":"Charged"},"in":{"last":{"n":7,"unit":"day"}}},{"profile":{"property":"country","op":"=","value":"C0"}}]}}`},
	{"Q5", `{"kind":"funnel","RANGE","window":{"n":7,"unit":"day"},"steps":[{"event":"App Launched"},{"event":"Product Viewed"},{"event":"Added to Cart"},{"event":"Charged"}]}`},
	{"Q6", `{"kind":"retention","start":{"event":"App Launched"},"return":{"event":"Product Viewed"},"interval":"week","first":"2026-08-03","buckets":12}`},
	{"Q8", `{"kind":"paths","RANGE","start":{"event":"App Launched"},"depth":4,"collapse":false,"limit":10}`},
	{"Q7", `{"kind":"trend","RANGE","series":[{"measure":"unique"},{"measure":"unique","trailing":{"n":7,"unit":"day"}},{"measure":"unique","trailing":{"n":30,"unit":"day"}}]}`},
}

// cpuTime is the processor time that this process took: less disturbed by what
// else runs than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBlocks asks the mix of frozen blocks on real engines.
func BenchmarkBlocks(b *testing.B) {
	store := openBlocks(b)
	for _, q := range blockQuestions {
		text := strings.ReplaceAll(q.text, `"RANGE"`, `"from":"2026-08-03","to":"2026-10-31"`)
		b.Run(q.name, func(b *testing.B) {
			cpu, n, rows := time.Duration(0), 0, int64(0)
			ask := func() {
				before := cpuTime()
				a, err := query.Ask(b.Context(), []byte(text), store.env)
				if err != nil {
					b.Fatal(err)
				}
				rows = a.Rows
				cpu += cpuTime() - before
				n++
			}
			if !*blocksCold {
				ask()
			}
			cpu, n = 0, 0
			for b.Loop() {
				if *blocksCold {
					b.StopTimer()
					store.anew(b)
					runtime.GC()
					b.StartTimer()
				}
				ask()
			}
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(float64(cpu.Microseconds())/1000/float64(n), "cpu-ms/op")
		})
	}
}

// BenchmarkBlocksTimeline reads one person's last 100 events.
func BenchmarkBlocksTimeline(b *testing.B) {
	store := openBlocks(b)
	for b.Loop() {
		rows, err := store.snapshot.Timeline(b.Context(), []uint32{7552}, 0, 100, false)
		if err != nil || len(rows) == 0 {
			b.Fatalf("%d rows, %v", len(rows), err)
		}
	}
}
