package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
)

// model is what a history should be: rows in order of arrival.
type model struct {
	rows []Row
	loc  *time.Location
}

// of gives some people's rows in their order: by time, then by arrival.
func (m *model) of(persons ...uint32) []Row {
	var out []Row
	for _, r := range m.rows {
		if slices.Contains(persons, r.Person) {
			r.Props = slices.Clone(r.Props)
			r.Props = slices.DeleteFunc(r.Props, func(p event.Prop) bool { return p.Personal || p.Value.IsNull() })
			slices.SortFunc(r.Props, func(a, b event.Prop) int { return cmp.Compare(a.Key, b.Key) })
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Row) int { return cmp.Compare(a.Time, b.Time) })
	return out
}

func (m *model) day(us int64) int32 {
	y, mo, d := time.UnixMicro(us).In(m.loc).Date()
	return int32(time.Date(y, mo, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// settle waits until all heads but the newest are frozen.
func (h *house) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.heads) > 1 {
		h.changed.Wait()
	}
}

func (h *house) compact(t fataler) {
	if err := h.Compact(context.Background()); err != nil {
		t.Fatalf("compacting: %v", err)
	}
}

// anyValue makes values of all kinds, few, so that columns mix them.
func anyValue() *rapid.Generator[event.Value] {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(-3, 1000), func(i int) event.Value { return event.OfInt(int64(i)) }),
		rapid.Map(rapid.Int64(), event.OfInt),
		rapid.Map(rapid.Float64Range(-1e6, 1e6), event.OfFloat),
		rapid.Map(rapid.IntRange(0, 10_000), func(i int) event.Value { return event.OfFloat(float64(i) / 100) }),
		rapid.Map(rapid.StringMatching("[a-c]{0,2}"), event.OfText),
		rapid.Map(rapid.Bool(), event.OfBool),
		rapid.Map(rapid.Int64Range(0, 1<<50), event.OfMicros),
		rapid.Just(event.Value{}),
		rapid.Just(event.OfList([]event.Value{event.OfInt(1), event.OfText("x")})),
		rapid.Just(event.OfObject([]event.Prop{{Key: "sku", Value: event.OfText("a")}})),
	)
}

func anyRow(people uint32) *rapid.Generator[Row] {
	return rapid.Custom(func(t *rapid.T) Row {
		r := Row{
			Person: rapid.Uint32Range(1, people).Draw(t, "person") * rapid.SampledFrom([]uint32{1, 1, 64, 1 << 20}).Draw(t, "by"),
			Name:   rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "name"),
			Time:   noon + rapid.Int64Range(-3, 3).Draw(t, "days")*dayMicros + rapid.SampledFrom([]int64{0, 0, 1, 60_000_000, 3_600_000_000}).Draw(t, "time"),
		}
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"k", "l", "m"}), 0, 3, rapid.ID[string]).Draw(t, "keys") {
			r.Props = append(r.Props, event.Prop{Key: key, Value: anyValue().Draw(t, key), Personal: rapid.IntRange(0, 9).Draw(t, "personal") == 0})
		}
		return r
	})
}

// TestAnyLifeGivesTheSameRows: whatever the batches, the moments of freezing,
// of merging, of expiring, the restarts and the crashes between chunks and
// list, what is read is what was appended and has not expired.
func TestAnyLifeGivesTheSameRows(t *testing.T) {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		now := time.UnixMicro(noon)
		h := &house{t: t, dir: tempDir(rt, t), maxShelf: rapid.SampledFrom([]int64{0, 1}).Draw(rt, "shelf"), o: Options{
			Location: loc, FreezeRows: rapid.IntRange(1, 40).Draw(rt, "freeze"), CacheBytes: rapid.SampledFrom([]int64{-1, 0, 5000}).Draw(rt, "cache"),
			Now: func() time.Time { return now },
		}}
		h.start()
		defer func() { h.stop() }()
		m := &model{loc: loc}
		for range rapid.IntRange(1, 5).Draw(rt, "batches") {
			rows := rapid.SliceOfN(anyRow(5), 1, 30).Draw(rt, "rows")
			h.append(rows...)
			m.rows = append(m.rows, rows...)
			switch rapid.IntRange(0, 9).Draw(rt, "then") {
			case 0:
				h.restart()
			case 1:
				h.settle()
			case 2:
				h.freezeAll()
			case 3:
				h.compact(rt)
				compare(rt, h, m)
			case 4:
				h.freezeAll()
				h.crash(rt, h.Compact)
				compare(rt, h, m)
			case 5, 6:
				r := Retention{Events: time.Duration(rapid.IntRange(0, 4).Draw(rt, "events")) * 24 * time.Hour}
				if rapid.Bool().Draw(rt, "name") {
					r.Names = map[string]time.Duration{"B": time.Duration(rapid.IntRange(1, 4).Draw(rt, "b")) * 24 * time.Hour}
				}
				if rapid.Bool().Draw(rt, "crash") {
					h.freezeAll() // or Expire would wait for it
					h.crash(rt, func(ctx context.Context) error {
						_, err := h.Expire(ctx, r)
						return err
					})
				}
				got, err := h.Expire(context.Background(), r)
				if err != nil {
					rt.Fatalf("expiring: %v", err)
				}
				before := len(m.rows)
				m.expire(now, r)
				if n := got.Total(); n > int64(before-len(m.rows)) {
					rt.Fatalf("%d rows expired of %d", n, before-len(m.rows))
				}
				compare(rt, h, m)
			}
		}
		compare(rt, h, m)
		h.settle()
		h.freezeAll()
		h.compact(rt)
		compare(rt, h, m)
		if n := len(h.listNow().parts); n > 1 {
			rt.Fatalf("%d parts", n)
		}
		if h.maxShelf == 1 {
			h.onlyListed(rt)
		}
		h.restart()
		compare(rt, h, m)
	})
}

// crash does something, with nothing left to freeze, up to where the list would change, and starts anew.
func (h *house) crash(t fataler, do func(context.Context) error) {
	h.keys.now.Store(true)
	if err := do(context.Background()); err != nil && !errors.Is(err, errCrash) {
		t.Fatalf("%v", err)
	}
	h.restart()
}

// expire forgets what is past the retention.
func (m *model) expire(now time.Time, r Retention) {
	m.rows = slices.DeleteFunc(m.rows, func(row Row) bool {
		for _, age := range []time.Duration{r.Events, r.Names[row.Name]} {
			if age > 0 && m.day(row.Time) < m.day(now.Add(-age).UnixMicro()) {
				return true
			}
		}
		return false
	})
}

// tempDir is a directory for one round, removed with it.
func tempDir(rt *rapid.T, t *testing.T) string {
	dir, err := os.MkdirTemp(t.TempDir(), "round")
	if err != nil {
		rt.Fatal(err)
	}
	rt.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fataler is testing.T or rapid.T.
type fataler interface{ Fatalf(string, ...any) }

// compareTimelines compares everybody's, and that of all as if they were one.
func compareTimelines(t fataler, s *Snapshot, m *model) {
	persons := map[uint32]bool{}
	for _, r := range m.rows {
		persons[r.Person] = true
	}
	var all []uint32
	for p := range persons {
		all = append(all, p)
		compareTimeline(t, s, m, p)
	}
	compareTimeline(t, s, m, all...) // as if all were merged
}

func compareTimeline(t fataler, s *Snapshot, m *model, persons ...uint32) {
	want := texts(m.of(persons...))
	got, err := s.Timeline(context.Background(), persons, 0, math.MaxInt, true)
	if err != nil {
		t.Fatalf("timeline: %v", err)
	}
	if !slices.Equal(texts(got), want) {
		t.Fatalf("timeline of %v\n got %q\nwant %q", persons, texts(got), want)
	}
	const limit = 3
	before := int64(noon + 1)
	var newest []Row
	for _, r := range slices.Backward(m.of(persons...)) {
		if r.Time < before && len(newest) < limit {
			newest = append(newest, r)
		}
	}
	got, err = s.Timeline(context.Background(), persons, before, limit, false)
	if err != nil || !slices.Equal(texts(got), texts(newest)) {
		t.Fatalf("newest of %v: %q, %v, want %q", persons, texts(got), err, texts(newest))
	}
}

// compareScan checks that every row is given once, in stretches that keep what
// they say.
func compareScan(t fataler, s *Snapshot, m *model) {
	got, want := map[string]int{}, map[string]int{}
	for _, r := range m.rows {
		r := (&model{rows: []Row{r}}).of(r.Person)[0]
		want[texts([]Row{r})[0]]++
	}
	for part := range event.Partitions {
		last := uint64(0)
		err := s.Scan(context.Background(), part, Want{}, func(r *Rows) error {
			if err := r.LoadPersons(); err != nil {
				return err
			}
			if r.Generation < last || r.Partition != part {
				t.Fatalf("generation %d after %d in partition %d", r.Generation, last, r.Partition)
			}
			last = r.Generation
			var spots []spot
			for i := range r.Len() {
				p := r.Person(i)
				if event.PartitionOf(p) != part {
					t.Fatalf("person %d in partition %d", p, part)
				}
				if i > 0 && r.Sorted && (p < r.Person(i-1) || p == r.Person(i-1) && timeOf(r, i) < timeOf(r, i-1)) {
					t.Fatalf("stretch is not sorted")
				}
				spots = append(spots, spot{rows: r, row: i, time: timeOf(r, i)})
			}
			rows, err := s.read(spots)
			for _, text := range texts(rows) {
				got[text]++
			}
			return err
		})
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("scan\n got %v\nwant %v", got, want)
	}
}

func compareSets(t fataler, s *Snapshot, m *model) {
	people, keys, names := map[string]map[uint32]bool{}, map[string]map[string]bool{}, map[string]*NameInfo{}
	for _, r := range m.rows {
		at := fmt.Sprint(r.Name, m.day(r.Time))
		if people[at] == nil {
			people[at] = map[uint32]bool{}
		}
		people[at][r.Person] = true
		if keys[r.Name] == nil {
			keys[r.Name] = map[string]bool{}
			names[r.Name] = &NameInfo{Name: r.Name, First: r.Time, Last: r.Time}
		}
		for _, p := range (&model{rows: []Row{r}}).of(r.Person)[0].Props {
			keys[r.Name][p.Key] = true
		}
		n := names[r.Name]
		n.Rows++
		n.First, n.Last = min(n.First, r.Time), max(n.Last, r.Time)
	}
	days := 0
	for _, n := range s.Names() {
		if names[n.Name] == nil || *names[n.Name] != n {
			t.Fatalf("name %v, want %v", n, names[n.Name])
		}
		got := s.Keys(n.Name)
		for key := range keys[n.Name] {
			if !slices.Contains(got, key) {
				t.Fatalf("keys of %s: %q, want %v", n.Name, got, keys[n.Name])
			}
		}
		for _, day := range s.Days(n.Name) {
			days++
			set, err := s.People(n.Name, day)
			want := people[fmt.Sprint(n.Name, day)]
			if err != nil || set.GetCardinality() != uint64(len(want)) {
				t.Fatalf("people of %s on %d: %v, %v, want %v", n.Name, day, set, err, want)
			}
			for _, p := range set.ToArray() {
				if !want[p] {
					t.Fatalf("person %d did not do %s on %d", p, n.Name, day)
				}
			}
		}
	}
	checkAnyPeople(t, s)
	if len(s.Names()) != len(names) || days != len(people) {
		t.Fatalf("%d names on %d days, want %d on %d", len(s.Names()), days, len(names), len(people))
	}
}

// checkAnyPeople compares the people of any of the apps' events with those of
// each.
func checkAnyPeople(t interface{ Fatalf(string, ...any) }, s *Snapshot) {
	joined := make(map[int32]*roaring.Bitmap)
	for _, n := range s.Names() {
		for _, day := range s.Days(n.Name) {
			set, err := s.People(n.Name, day)
			if err != nil {
				t.Fatalf("people of %s on %d: %v", n.Name, day, err)
			}
			if joined[day] == nil {
				joined[day] = roaring.New()
			}
			if !event.Own(n.Name) {
				joined[day].Or(set)
			}
		}
	}
	for day, want := range joined {
		if got, err := s.AnyPeople(day); err != nil || !got.Equals(want) {
			t.Fatalf("people of any event on %d: %v, %v, want %v", day, got, err, want)
		}
	}
}

// timeOf is the instant of a row.
func timeOf(r *Rows, row int) int64 {
	t, err := r.Times()
	if err != nil {
		panic(err)
	}
	return t.At(row)
}
