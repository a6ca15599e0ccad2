package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/keyring"
)

// house is one directory with its keys and, while it is open, its server.
type house struct {
	t     testing.TB
	dir   string
	board *health.Board
	log   *bytes.Buffer
	ring  *keyring.Keyring
	s     *Server
	o     Options
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), board: health.NewBoard(nil)}
	ring, err := keyring.Open(h.dir+"/keys", bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.ring = ring
	t.Cleanup(func() {
		h.close()
		if err := ring.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) open() *Server {
	h.t.Helper()
	o := h.o
	o.Dir, o.Board = h.dir+"/journal", h.board
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = s
	return s
}

func (h *house) close() {
	h.t.Helper()
	if h.s == nil {
		return
	}
	if err := h.s.Close(); err != nil {
		h.t.Error(err)
	}
	h.s = nil
}

func (h *house) keys(publisher string) *keyring.Publisher {
	h.t.Helper()
	p, err := h.ring.Publisher(publisher)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) journal(publisher string, o StreamOptions) *Journal {
	h.t.Helper()
	j, err := h.s.Journal(publisher, h.keys(publisher), o)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

func track(id string) event.Fact {
	return event.Fact{
		Kind: event.Track, ID: id, Time: 1_700_000_000_000_000, Received: 1_700_000_000_100_000, User: "u-" + id, Name: "Order Placed",
		Props: []event.Prop{{Key: "amount", Value: event.OfFloat(12.5)}, {Key: "currency", Value: event.OfText("EUR")}},
	}
}

func appendOne(t testing.TB, j *Journal, ids ...string) {
	t.Helper()
	facts := make([]event.Fact, len(ids))
	for i, id := range ids {
		facts[i] = track(id)
	}
	if err := j.Append(context.Background(), facts); err != nil {
		t.Fatal(err)
	}
}

// readIDs reads everything there is after a cursor.
func readIDs(t testing.TB, j *Journal, after Cursor) (ids []string, end Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	end = after
	for stop := j.End(); end.Sequence < stop.Sequence; {
		records, err := j.Read(ctx, end, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Cursor.Sequence != end.Sequence+1 {
				t.Fatalf("record %v after %v", r.Cursor, end)
			}
			end = r.Cursor
			for _, f := range r.Facts {
				ids = append(ids, f.ID)
			}
		}
	}
	return ids, end
}

func TestAppendAndRead(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	appendOne(t, j, "1", "2")
	appendOne(t, j, "3")
	ids, end := readIDs(t, j, Cursor{})
	if got := fmt.Sprint(ids); got != "[1 2 3]" || end != j.End() {
		t.Fatalf("read %s up to %v, the end is %v", got, end, j.End())
	}
	ctx := context.Background()
	records, err := j.Read(ctx, Cursor{}, 1)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	want, got := track("1"), records[0].Facts[0]
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("read %v, wrote %v", got, want)
	}
	h.close()
	h.open()
	j = h.journal("shop", StreamOptions{})
	if j.End() != end {
		t.Fatalf("the end was %v and is %v", end, j.End())
	}
	appendOne(t, j, "4")
	if ids, _ = readIDs(t, j, end); fmt.Sprint(ids) != "[4]" {
		t.Fatalf("read %v", ids)
	}
}

func TestManyAppenders(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	const callers, each = 100, 20
	var wg sync.WaitGroup
	errs := make(chan error, callers)
	for c := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if err := j.Append(context.Background(), []event.Fact{track(fmt.Sprintf("%d-%d", c, i))}); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	ids, _ := readIDs(t, j, Cursor{})
	next := map[string]int{}
	for _, id := range ids {
		var c, i int
		if _, err := fmt.Sscanf(id, "%d-%d", &c, &i); err != nil {
			t.Fatal(err)
		}
		if key := fmt.Sprint(c); next[key] != i {
			t.Fatalf("caller %d: %d where %d was due", c, i, next[key])
		} else {
			next[key]++
		}
	}
	if len(ids) != callers*each {
		t.Fatalf("%d facts of %d", len(ids), callers*each)
	}
	if st := j.Stats(); st.Facts != callers*each || st.Records >= st.Facts || st.Queued != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestReadWaits(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	got := make(chan error, 1)
	go func() {
		records, err := j.Read(context.Background(), Cursor{}, 10)
		if err == nil && (len(records) != 1 || records[0].Facts[0].ID != "later") {
			err = fmt.Errorf("read %v", records)
		}
		got <- err
	}()
	appendOne(t, j, "later")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := j.Read(ctx, j.End(), 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go func() {
		_, err := j.Read(context.Background(), j.End(), 1)
		got <- err
	}()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := j.Append(context.Background(), []event.Fact{track("x")}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestFullStream(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{MaxBytes: 300_000})
	noise := bytes.Repeat([]byte("0123456789"), 5000)
	var err error
	n := 0
	for ; n < 100; n++ {
		for i := range noise {
			noise[i] = byte((i*2654435761 + n*40503) >> 7) // does not compress
		}
		if err = j.Append(context.Background(), []event.Fact{{Kind: event.Track, Name: "x", Body: noise}}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) || n == 0 {
		t.Fatalf("after %d: %v", n, err)
	}
	if err := j.Trim(context.Background(), j.End()); err != nil {
		t.Fatal(err)
	}
	if b, e := j.Begin(), j.End(); b.Sequence != e.Sequence-1 {
		t.Fatalf("%v to %v: the last record must stay", b, e)
	}
	appendOne(t, j, "again")
	if ids, _ := readIDs(t, j, Cursor{j.End().Incarnation, j.End().Sequence - 1}); fmt.Sprint(ids) != "[again]" {
		t.Fatalf("read %v", ids)
	}
}

func TestDiskAtItsReserve(t *testing.T) {
	h := newHouse(t)
	h.o.Reserve = 1 << 60
	h.open()
	j := h.journal("shop", StreamOptions{})
	if err := j.Append(context.Background(), []event.Fact{track("1")}); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if !h.problem(ProblemFull) {
		t.Fatal("no problem was raised")
	}
	h.s.o.Reserve = 1
	appendOne(t, j, "2")
	if h.problem(ProblemFull) {
		t.Fatal("the problem stayed")
	}
}

func TestOverload(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{QueueBytes: 2000})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var ok, refused int
	for i := range 400 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := j.Append(context.Background(), []event.Fact{track(fmt.Sprint(i))})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ok++
			case errors.Is(err, ErrOverloaded):
				refused++
			default:
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if ok == 0 || refused == 0 {
		t.Fatalf("%d taken, %d refused", ok, refused)
	}
	if ids, _ := readIDs(t, j, Cursor{}); len(ids) != ok {
		t.Fatalf("%d taken, %d found", ok, len(ids))
	}
}

func TestAppendCancelled(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range 50 {
		if err := j.Append(ctx, []event.Fact{track(fmt.Sprint(i))}); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	appendOne(t, j, "sure")
	ids, _ := readIDs(t, j, Cursor{})
	if ids[len(ids)-1] != "sure" {
		t.Fatalf("read %v", ids)
	}
	if st := j.Stats(); st.Queued != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestTooLarge(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	f := event.Fact{Kind: event.Track, ID: "large", Name: "x", Body: bytes.Repeat([]byte("\x00\x93\x11"), MaxAppend/3-100)}
	if err := j.Append(context.Background(), []event.Fact{f}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := readIDs(t, j, Cursor{}); fmt.Sprint(ids) != "[large]" {
		t.Fatalf("read %v", ids)
	}
	f.Body = append(f.Body, f.Body[:1000]...)
	if err := j.Append(context.Background(), []event.Fact{f}); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
}

// What is acknowledged while the journal closes is there; the rest was refused.
func TestCloseUnderLoad(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[string]bool{}
	enough := make(chan struct{})
	var once sync.Once
	for c := range 32 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", c, i)
				err := j.Append(context.Background(), []event.Fact{track(id)})
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[id] = true
				if len(acked) > 500 {
					once.Do(func() { close(enough) })
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	ids, _ := readIDs(t, h.journal("shop", StreamOptions{}), Cursor{})
	if len(ids) != len(acked) {
		t.Fatalf("%d acknowledged, %d found", len(acked), len(ids))
	}
}

// A reader outlasts an engine that is gone too, where nobody writes.
func TestEngineStopsUnderAReader(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	appendOne(t, j, "1")
	h.s.engine.ns.Shutdown()
	if ids, _ := readIDs(t, j, Cursor{}); fmt.Sprint(ids) != "[1]" {
		t.Fatalf("read %v", ids)
	}
}

// An engine that is gone under a journal is opened again by the journal.
func TestEngineStops(t *testing.T) {
	h := newHouse(t)
	h.o.AckTimeout = time.Second
	h.open()
	shop, bank := h.journal("shop", StreamOptions{}), h.journal("bank", StreamOptions{})
	appendOne(t, shop, "1")
	appendOne(t, bank, "1")
	h.s.engine.ns.Shutdown()
	for _, j := range []*Journal{shop, bank} {
		for tries := 0; ; tries++ {
			err := j.Append(context.Background(), []event.Fact{track("2")})
			if err == nil {
				break
			}
			if !errors.Is(err, ErrUnavailable) || tries > 1000 {
				t.Fatal(err)
			}
			// What waits here is the journal's own recovery.
			if _, err := j.Read(context.Background(), Cursor{}, 1); err != nil {
				t.Fatal(err)
			}
		}
		ids, _ := readIDs(t, j, Cursor{})
		if ids[0] != "1" || ids[len(ids)-1] != "2" {
			t.Fatalf("read %v", ids)
		}
	}
	if h.problem(ProblemUnavailable) {
		t.Error("the problem stayed")
	}
}

func TestTwoOpeners(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.journal("shop", StreamOptions{})
	if _, err := Open(Options{Dir: h.dir + "/journal"}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	if _, err := h.s.Journal("shop", h.keys("shop"), StreamOptions{}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	for _, name := range []string{"", "Shop", "../x", "a b", "-a"} {
		if _, err := h.s.Journal(name, h.keys("shop"), StreamOptions{}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// lifelike is a fact about as large, and as hard to compress, as an app's.
func lifelike(i int) event.Fact {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	return event.Fact{
		Kind: event.Track, ID: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()), Time: 1_700_000_000_000_000 + int64(i)*1000 + r.Int64N(1000), Received: 1_700_000_000_500_000 + int64(i)*1000,
		User: fmt.Sprintf("user-%d", r.IntN(500_000)), Device: fmt.Sprintf("%016x", r.Uint64()), Name: []string{"Product Viewed", "Added To Cart", "App Launched", "Charged"}[r.IntN(4)],
		Props: []event.Prop{
			{Key: "product", Value: event.OfText(fmt.Sprintf("SKU-%05d", r.IntN(20_000)))}, {Key: "price", Value: event.OfFloat(float64(r.IntN(100_000)) / 100)},
			{Key: "country", Value: event.OfText([]string{"IN", "DE", "US", "BR"}[r.IntN(4)])}, {Key: "platform", Value: event.OfText([]string{"ios", "android", "web"}[r.IntN(3)])},
			{Key: "quantity", Value: event.OfInt(int64(r.IntN(5)))},
		},
	}
}

// BenchmarkAppend has many callers append at once, each with so many events.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, events int }{{1, 1}, {64, 1}, {1024, 1}, {64, 100}, {4, 5000}} {
		b.Run(fmt.Sprintf("callers=%d/events=%d", c.callers, c.events), func(b *testing.B) {
			h := newHouse(b)
			h.open()
			j := h.journal("shop", StreamOptions{})
			facts := make([]event.Fact, c.callers*c.events)
			for i := range facts {
				facts[i] = lifelike(i)
			}
			b.ResetTimer()
			start := time.Now()
			var wg sync.WaitGroup
			per := max(b.N/c.callers, 1)
			for caller := range c.callers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					mine := facts[caller*c.events:][:c.events]
					for range per {
						if err := j.Append(context.Background(), mine); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			wg.Wait()
			took := time.Since(start).Seconds()
			st := j.Stats()
			b.ReportMetric(float64(st.Facts)/took, "events/s")
			b.ReportMetric(float64(st.Facts)/float64(st.Records), "events/record")
			b.ReportMetric(float64(st.Sealed)/float64(st.Facts), "B/event")
		})
	}
}

// BenchmarkRead reads a journal from its beginning.
func BenchmarkRead(b *testing.B) {
	for _, per := range []int{1, 5000} {
		b.Run(fmt.Sprintf("events=%d", per), func(b *testing.B) {
			h := newHouse(b)
			h.open()
			j := h.journal("shop", StreamOptions{})
			facts := make([]event.Fact, per)
			for i := range facts {
				facts[i] = lifelike(i)
			}
			for range 100 {
				if err := j.Append(context.Background(), facts); err != nil {
					b.Fatal(err)
				}
			}
			n := 0
			b.ResetTimer()
			start := time.Now()
			for range b.N {
				for at := (Cursor{}); at.Sequence < j.End().Sequence; {
					records, err := j.Read(context.Background(), at, 100)
					if err != nil {
						b.Fatal(err)
					}
					for _, r := range records {
						n += len(r.Facts)
					}
					at = records[len(records)-1].Cursor
				}
			}
			b.ReportMetric(float64(n)/time.Since(start).Seconds(), "events/s")
		})
	}
}

// BenchmarkSurvey checks a stream's files as every start does.
func BenchmarkSurvey(b *testing.B) {
	h := newHouse(b)
	h.open()
	j := h.journal("shop", StreamOptions{})
	facts := make([]event.Fact, 5000)
	for i := range facts {
		facts[i] = lifelike(i)
	}
	for range 200 {
		if err := j.Append(context.Background(), facts); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(j.Stats().Bytes)
	for b.Loop() {
		s, err := surveyBlocks(j.streamDir()+"/msgs", streamName, 200, false)
		if err != nil || s.last() != 200 {
			b.Fatal(s.last(), err)
		}
	}
}

// BenchmarkBandwidth compares records of a megabyte that does not compress with
// bare appends of a megabyte to a file, each synced, in one run.
func BenchmarkBandwidth(b *testing.B) {
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	b.Run("file", func(b *testing.B) {
		f, err := os.Create(b.TempDir() + "/raw")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		b.SetBytes(int64(len(noise)))
		for b.Loop() {
			if _, err := f.Write(noise); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("journal", func(b *testing.B) {
		h := newHouse(b)
		h.open()
		j := h.journal("shop", StreamOptions{})
		facts := []event.Fact{{Kind: event.Track, Name: "x", Body: noise}}
		b.SetBytes(int64(len(noise)))
		b.ResetTimer()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range b.N / 2 {
					if err := j.Append(context.Background(), facts); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
