package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// TestManyRowsOfOnePersonAndDay needs more than one block for one partition
// and day, in each of which the person's rows stay in order.
func TestManyRowsOfOnePersonAndDay(t *testing.T) {
	h := open(t, Options{})
	const n = 150_000
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Person: 7, Time: noon + int64(i/10), Name: "Tick", Props: []event.Prop{{Key: "i", Value: event.OfInt(int64(i))}}}
	}
	h.fill(rows)
	h.freezeAll()
	s := h.Snapshot()
	defer s.Release()
	if len(s.v.list.blocks) != 3 {
		t.Errorf("%d blocks", len(s.v.list.blocks))
	}
	next := 0
	err := s.Scan(context.Background(), 7, Want{Keys: []string{"i"}}, func(r *Rows) error {
		c, err := r.Column("i")
		if err != nil {
			return err
		}
		for row := range r.Len() {
			if int(c.Num(row)) != next {
				return fmt.Errorf("row %v where %d should be", c.Num(row), next)
			}
			next++
		}
		return nil
	})
	if err != nil || next != n {
		t.Errorf("%d rows, %v", next, err)
	}
}

// TestLargeValues fill blocks by their bytes before they do by their rows.
func TestLargeValues(t *testing.T) {
	h := open(t, Options{})
	text := strings.Repeat("text that is long ", 2000)
	var want []string
	for i := range 1000 {
		h.append(row(uint32(i%3*64+1), int64(i), "Wrote", prop("text", fmt.Sprint(i, text)), prop("i", i)))
		want = append(want, fmt.Sprint(i, text))
	}
	h.freezeAll()
	s := h.Snapshot()
	defer s.Release()
	if len(s.v.list.blocks) < 3 {
		t.Errorf("%d blocks", len(s.v.list.blocks))
	}
	rows, err := s.Timeline(context.Background(), []uint32{1, 65, 129}, 0, 2000, true)
	if err != nil || len(rows) != len(want) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, r := range rows {
		if r.Props[1].Value.Text() != want[i] {
			t.Fatalf("row %d is another", i)
		}
	}
}

// TestARowThatIsTooLarge loses the properties that do not fit, and says so.
func TestARowThatIsTooLarge(t *testing.T) {
	refused := 0
	h := open(t, Options{Refused: func(string, string) { refused++ }})
	var props []event.Prop
	for i := range 200 {
		props = append(props, prop(fmt.Sprint("key ", i), strings.Repeat("x", 4096)))
	}
	h.append(row(1, 1, "Huge", props...))
	if refused == 0 || refused == len(props) {
		t.Errorf("%d properties refused", refused)
	}
	h.freezeAll()
	if got := h.timeline(true, 1); len(got) != 1 || len(got[0]) > MaxRowBytes+10_000 {
		t.Errorf("%d rows", len(got))
	}
}

// TestScanLeavesOutWhatCannotMatch by time and name, and never more.
func TestScanLeavesOutWhatCannotMatch(t *testing.T) {
	h := open(t, Options{})
	for day := range int64(20) {
		h.append(row(1, day*86400, fmt.Sprint("Day ", day%2)), row(65, day*86400, "Day 0"))
	}
	h.freezeAll()
	s := h.Snapshot()
	defer s.Release()
	scan := func(w Want) (n int) {
		err := s.Scan(context.Background(), 1, w, func(r *Rows) error { n += r.Len(); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := func(day int64) int64 { return noon + day*86400*1e6 }
	for _, c := range []struct {
		w    Want
		want int
	}{
		{Want{}, 40}, {Want{Names: []string{"Day 9"}}, 0}, {Want{Names: []string{"Day 1"}}, 10},
		{Want{From: at(5), To: at(6)}, 4}, // 22:13 to 22:13 touches two days
		{Want{From: at(5), To: at(5) + 1}, 2}, {Want{From: at(30), To: at(40)}, 0}, {Want{From: at(-9), To: at(0)}, 0}, {Want{From: at(18), To: at(99)}, 4},
	} {
		if got := scan(c.w); got != c.want {
			t.Errorf("%+v: %d rows, want %d", c.w, got, c.want)
		}
	}
}

// TestDamageIsNoticedAndNamed: a flipped bit on a shelf is an error that says
// which block, on the board too, and never fewer rows.
func TestDamageIsNoticedAndNamed(t *testing.T) {
	board := health.NewBoard(time.Now)
	h := open(t, Options{Board: board, Subject: "acme"})
	var rows []Row
	for i := range 40_000 {
		rows = append(rows, row(uint32(i%1000)+1, int64(i), "A", prop("k", i*7919%100_003)))
	}
	h.fill(rows)
	h.freezeAll()
	h.History.Close()
	h.closeEngines()
	logs, err := filepath.Glob(filepath.Join(h.dir, "shelves", "*", "*.vlog"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 4000; at < len(b); at += 4000 {
			b[at] ^= 1
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.openEngines()
	if h.History, err = Open(h.db, h.shelves, h.keys, h.o); err != nil {
		if errors.Is(err, ErrDamaged) || errors.Is(err, kv.ErrDamaged) {
			h.History = &History{stop: func() {}}
			h.History.changed = sync.NewCond(&h.mu)
			t.Log("noticed at Open:", err)
			return
		}
		t.Fatal(err)
	}
	s := h.Snapshot()
	defer s.Release()
	err = s.Scan(context.Background(), 1, Want{}, func(r *Rows) error { _, err := r.Column("k"); return err })
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "block ") {
		t.Errorf("got %v", err)
	}
	if ps := board.Problems(); len(ps) != 1 || ps[0].Code != problemDamaged {
		t.Errorf("problems %v", ps)
	}
}

// TestChunksWithoutListGo: a crash between writing and listing leaves them, and
// they are not taken for those of later blocks.
func TestChunksWithoutListGo(t *testing.T) {
	h := &house{t: t, dir: t.TempDir(), maxShelf: 1}
	h.start()
	t.Cleanup(func() { h.stop() })
	h.append(row(1, 1, "A", prop("k", 1)))
	h.freezeAll()
	h.append(row(2, 1, "B"))
	h.busy.Lock()
	made, parts, err := h.freezeRows(context.Background(), h.head)
	h.busy.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	left := max(made[0].id, parts[0].id)
	h.restart()
	if err := h.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.onlyListed(t)
	if got := h.timeline(true, 1, 2); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	h.freezeAll()
	for _, b := range h.listNow().blocks[1:] {
		if b.id <= left {
			t.Errorf("block %d has the number of one that was never listed", b.id)
		}
	}
}

// TestCommittedWaitsForTheWorker, and Close ends the wait.
func TestCommittedWaitsForTheWorker(t *testing.T) {
	h := open(t, Options{FreezeRows: 1})
	h.busy.Lock() // nothing can be frozen
	var appended, done sync.WaitGroup
	appended.Add(1 + maxWaiting)
	done.Go(func() {
		for i := range 2 + maxWaiting {
			err := h.db.Update(func(t *kv.Txn) error { return h.Append(t, []Row{row(1, int64(i), "A")}) })
			if err != nil {
				t.Error(err)
			}
			if i < 1+maxWaiting {
				appended.Done()
			}
			h.Committed()
		}
	})
	appended.Wait()
	h.mu.Lock()
	if n := len(h.heads); n > 2+maxWaiting {
		t.Errorf("%d heads", n)
	}
	h.mu.Unlock()
	h.busy.Unlock()
	done.Wait()
	h.settle()
	if got := h.timeline(true, 1); len(got) != 2+maxWaiting {
		t.Errorf("%d rows", len(got))
	}
}

// TestFreeze leaves nothing in the head, and can be given up.
// TestHeadsShareABound: when all together are too large the largest is frozen,
// also if nothing more comes to it.
func TestHeadsShareABound(t *testing.T) {
	heads := NewHeads(200_000)
	idle, busy := open(t, Options{Heads: heads}), open(t, Options{Heads: heads})
	var rows []Row
	for i := range 8000 {
		rows = append(rows, row(uint32(i), int64(i), "A"))
	}
	idle.append(rows...)
	for n := 0; n < 4000; n += 200 {
		busy.append(rows[n : n+200]...)
	}
	err := idle.await(context.Background(), func() bool { return len(idle.view.list.blocks) == 1 && len(idle.heads) == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(busy.listNow().blocks); n != 0 {
		t.Errorf("the smaller head was frozen too: %d blocks", n)
	}
	if n := len(heads.of); n != 1 { // an empty head takes nothing
		t.Errorf("%d histories weigh something", n)
	}
}

func TestFreeze(t *testing.T) {
	h := open(t, Options{})
	h.append(row(1, 1, "A"), row(2, 2, "B"))
	if err := h.Freeze(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.append(row(1, 3, "A"))
	s := h.Snapshot()
	if len(s.v.list.blocks) != 1 || s.Rows() != 3 || len(h.heads) != 1 {
		t.Errorf("%d blocks, %d rows, %d heads", len(s.v.list.blocks), s.Rows(), len(h.heads))
	}
	s.Release()
	h.busy.Lock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Freeze(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.busy.Unlock()
	if err := h.Freeze(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := h.Freeze(context.Background()); err != nil { // nothing to do
		t.Fatal(err)
	}
	s = h.Snapshot()
	defer s.Release()
	if len(s.v.list.blocks) != 2 || s.Rows() != 3 {
		t.Errorf("%d blocks, %d rows", len(s.v.list.blocks), s.Rows())
	}
}

// TestCloseEndsFreezing: what was not frozen is there after the next Open.
func TestCloseEndsFreezing(t *testing.T) {
	h := open(t, Options{FreezeRows: 1})
	h.busy.Lock()
	h.append(row(1, 1, "A"))
	var closed sync.WaitGroup
	closed.Go(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.mu.Lock()
	for !h.closed {
		h.changed.Wait()
	}
	h.mu.Unlock()
	h.busy.Unlock()
	closed.Wait()
	h.closeEngines()
	h.start()
	if got := h.timeline(true, 1); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// TestReadersWhileAppendingFreezingAndMerging: a snapshot is the same from its
// first to its last reading, and later ones hold no less. For the race
// detector.
func TestReadersWhileAppendingFreezingAndMerging(t *testing.T) {
	h := &house{t: t, dir: t.TempDir(), maxShelf: 20_000, o: Options{FreezeRows: 300, CacheBytes: 10_000, Heads: NewHeads(50_000)}}
	h.start()
	t.Cleanup(func() { h.stop() })
	const batches, size = 60, 50
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			last := int64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := h.Snapshot()
				want := s.Rows()
				if want < last || want%size != 0 {
					t.Errorf("%d rows after %d", want, last)
				}
				last = want
				for range 2 {
					if got := countAll(t, s); got != want {
						t.Errorf("%d rows, want %d", got, want)
					}
				}
				s.Release()
			}
		})
	}
	for b := range batches {
		var rows []Row
		for i := range size {
			rows = append(rows, row(uint32(i%10)*64+uint32(b%3), int64(b), "A", prop("k", fmt.Sprint(b)), prop("n", i)))
		}
		h.append(rows...)
		if b%7 == 0 {
			readers.Go(func() { h.compact(t) })
		}
	}
	h.settle()
	h.compact(t)
	close(stop)
	readers.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.old) > 0 {
		t.Errorf("%d lists are held by nobody", len(h.old))
	}
}

func countAll(t *testing.T, s *Snapshot) (n int64) {
	people := map[uint32]bool{}
	for part := range 3 {
		err := s.Scan(context.Background(), part, Want{}, func(r *Rows) error {
			if err := r.LoadPersons(); err != nil {
				return err
			}
			for _, key := range []string{"k", "n"} {
				c, err := r.Column(key)
				if err != nil {
					return err
				}
				for row := range r.Len() {
					people[r.Person(row)] = true
					if c.Value(row).IsNull() {
						return fmt.Errorf("row %d has no %s", row, key)
					}
				}
			}
			n += int64(r.Len())
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	seen := 0
	for _, day := range s.Days("A") {
		set, err := s.People("A", day)
		if err != nil {
			t.Error(err)
			continue
		}
		seen = max(seen, int(set.GetCardinality()))
	}
	if seen != len(people) && n > 0 {
		t.Errorf("%d people by day, %d by rows", seen, len(people))
	}
	return n
}

func TestTypesMayChange(t *testing.T) {
	h := open(t, Options{})
	values := []event.Value{
		event.OfInt(1), event.OfFloat(1.5), event.OfText("1"), event.OfBool(true), event.OfMicros(5), event.OfInt(1<<53 + 1), event.OfFloat(1e300), event.OfText(""),
		event.OfList(nil), event.OfObject([]event.Prop{{Key: "a", Value: event.OfInt(1)}}), event.OfInt(-1 << 63),
	}
	var want []event.Value
	for gen := range 3 {
		for i, v := range values {
			h.append(row(9, int64(gen*100+i), "A", prop("k", v)))
			want = append(want, v)
		}
		h.freezeAll()
	}
	s := h.Snapshot()
	defer s.Release()
	rows, err := s.Timeline(context.Background(), []uint32{9}, 0, 1000, true)
	if err != nil || len(rows) != len(want) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if i := slices.IndexFunc(rows, func(r Row) bool { return len(r.Props) != 1 }); i >= 0 {
		t.Fatalf("row %d: %v", i, rows[i])
	}
	for i, r := range rows {
		if !r.Props[0].Value.Equal(want[i]) {
			t.Errorf("row %d is %v, want %v", i, r.Props[0].Value, want[i])
		}
	}
}
