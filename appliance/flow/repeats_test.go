package flow

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// plainHash stands in for a publisher's key.
type plainHash struct{}

func (plainHash) Hash(domain string, parts ...[]byte) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q", domain, parts))
}

type repeatsTest struct {
	tb  testing.TB
	dir string
	db  *kv.DB
	o   RepeatsOptions
	*Repeats
}

func newRepeatsTest(tb testing.TB, dir string, o RepeatsOptions) *repeatsTest {
	r := &repeatsTest{tb: tb, dir: dir, o: o}
	r.reopen()
	tb.Cleanup(func() { r.db.Close() })
	return r
}

// reopen is a restart.
func (r *repeatsTest) reopen() {
	var err error
	if r.db != nil {
		if err := r.db.Close(); err != nil {
			r.tb.Fatal(err)
		}
	}
	if r.db, err = kv.Open(r.dir, kv.Options{MemTable: 8 << 20, Reserve: 1}); err != nil {
		r.tb.Fatal(err)
	}
	if r.Repeats, err = OpenRepeats(r.db, plainHash{}, r.o); err != nil {
		r.tb.Fatal(err)
	}
}

// seen asks about ids in one transaction.
func (r *repeatsTest) seen(micros int64, ids ...string) []bool {
	var out []bool
	err := r.db.Update(func(t *kv.Txn) error {
		for _, id := range ids {
			s, err := r.Seen(t, id, micros)
			if err != nil {
				return err
			}
			out = append(out, s)
		}
		return nil
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.Committed()
	return out
}

// keys counts the pages in the database.
func (r *repeatsTest) keys() (keys, bytes int) {
	err := r.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Repeats, nil, nil, func(k, v []byte) error {
			keys++
			bytes += len(k) + len(v)
			return nil
		})
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	return keys, bytes
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

func all(tb testing.TB, got []bool, want bool, what string) {
	tb.Helper()
	for i, s := range got {
		if s != want {
			tb.Fatalf("%s: id %d seen %v, want %v", what, i, s, want)
		}
	}
}

const start = 400_000 * hourMicros // an hour of 2015

func TestRepeats(t *testing.T) {
	for _, run := range []int{0, 100, 3000} { // pages of the open run, small runs, runs of 256 pages
		t.Run(fmt.Sprint("runs of ", run), func(t *testing.T) {
			r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{Run: run})
			all(t, r.seen(start, ids("a", 5000)...), false, "new")
			all(t, r.seen(start, ids("a", 5000)...), true, "at once")
			if s := r.seen(start, "twice", "twice"); s[0] || !s[1] {
				t.Error("twice in one transaction:", s)
			}
			r.reopen()
			all(t, r.seen(start, ids("a", 5000)...), true, "after a restart")
			all(t, r.seen(start+5*hourMicros, ids("b", 5000)...), false, "another, later")
			r.reopen()
			day := 24 * hourMicros
			all(t, r.seen(start+7*day, ids("a", 5000)...), true, "after seven days")
			all(t, r.seen(start+7*day+hourMicros, ids("a", 5000)...), false, "an hour more")
			all(t, r.seen(start+7*day+hourMicros, ids("b", 5000)...), true, "the others are known still")
		})
	}
}

// TestRepeatsExpire: what is past is deleted from the disk and from memory.
func TestRepeatsExpire(t *testing.T) {
	r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{Run: 500})
	most := 0
	for hour := range int64(20 * 24) {
		at := start + hour*hourMicros
		all(t, r.seen(at, ids(fmt.Sprint(hour, "-"), 100)...), false, "new")
		if hour == 10*24 {
			most, _ = r.keys()
		}
	}
	keys, bytes := r.keys()
	if keys > most+4 || len(r.days) > 9 {
		t.Errorf("%d keys after 10 days, %d after 20; %d days in memory", most, keys, len(r.days))
	}
	if per := float64(bytes) / (7 * 24 * 100); per > 11 {
		t.Errorf("%.1f bytes a fact", per)
	}
	// A long silence, then little by little everything from before goes.
	for i := range int64(3) {
		r.seen(start+200*24*hourMicros, ids(fmt.Sprint("late", i, "-"), 100*64)...)
	}
	if keys, _ := r.keys(); keys > 2*300 || len(r.days) != 1 {
		t.Errorf("%d keys, %d days", keys, len(r.days))
	}
}

// TestRepeatsClock: a clock that was far ahead, or a little behind.
func TestRepeatsClock(t *testing.T) {
	r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{Run: 50})
	r.seen(start, "a")
	r.seen(start+1000*24*hourMicros, ids("ahead", 200)...)
	if s := r.seen(start+hourMicros, "b", "b", "a"); s[0] || !s[1] {
		t.Error("after the clock was set right:", s)
	}
	r.seen(start+3*hourMicros, ids("c", 200)...)
	if s := r.seen(start+2*hourMicros, "b", "c7", "d"); !s[0] || !s[1] || s[2] {
		t.Error("an hour behind:", s)
	}
	r.seen(-5, "before 1970")
	r.reopen()
	if s := r.seen(start+3*hourMicros, "b", "c7", "d"); !s[0] || !s[1] || !s[2] {
		t.Error("after a restart:", s)
	}
}

// TestRepeatsModel compares with a map, over days, restarts and small runs.
func TestRepeatsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{Run: rapid.SampledFrom([]int{1, 7, 2000}).Draw(rt, "run")})
		defer func() { r.db.Close() }()
		known := map[string]int64{}
		now := int64(start)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			now += rapid.Int64Range(0, 30).Draw(rt, "hours") * hourMicros
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				r.reopen()
			}
			var ids []string
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, 40), 1, 20).Draw(rt, "ids") {
				ids = append(ids, fmt.Sprint(i))
			}
			for i, got := range r.seen(now, ids...) {
				at, ok := known[ids[i]]
				if age := now - at; ok && age <= repeatsHours*hourMicros && !got {
					rt.Fatalf("%s, marked %d hours ago, is not known", ids[i], age/hourMicros)
				} else if got && (!ok || age > (repeatsHours+1)*hourMicros) {
					rt.Fatalf("%s is known", ids[i])
				}
				if !got {
					known[ids[i]] = now
				}
			}
		}
	})
}

// TestRepeatsSize: what a busy day costs.
func TestRepeatsSize(t *testing.T) {
	r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{Run: 50_000})
	const n = 400_000
	for i := range n / 10_000 {
		all(t, r.seen(start, ids(fmt.Sprint(i, "-"), 10_000)...), false, "new")
	}
	if _, bytes := r.keys(); float64(bytes)/n > 10 {
		t.Errorf("%.2f bytes a fact on disk", float64(bytes)/n)
	}
	memory := 0
	for _, d := range r.days {
		for _, f := range d.filters {
			memory += len(f.blocks) * 64
		}
		for _, n := range d.runs {
			memory += len(n.filter.blocks) * 64
		}
	}
	if float64(memory)/n > 6 { // room for the day to grow
		t.Errorf("%.2f bytes a fact in memory", float64(memory)/n)
	}
	passed := 0
	for i := range 100_000 {
		if r.days[0].mayHave(r.hash(fmt.Sprint("new", i))) {
			passed++
		}
	}
	if passed > 1000 {
		t.Errorf("%d of 100,000 new ones pass the filter", passed)
	}
}

func TestRepeatsDamage(t *testing.T) {
	for _, key := range [][]byte{{keyRun, 1}, {keyTail, 1}, repeatsRun{hour: 5, small: true}.key(0)} {
		r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{})
		if err := r.db.Update(func(t *kv.Txn) error { return t.Set(kv.Repeats, key, []byte{1, 2, 3}) }); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRepeats(r.db, plainHash{}, RepeatsOptions{}); !errors.Is(err, ErrRepeats) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	r := newRepeatsTest(b, b.TempDir(), RepeatsOptions{})
	var id [8]byte
	n := uint64(0)
	for b.Loop() {
		err := r.db.Update(func(t *kv.Txn) error {
			for range 1000 {
				n++
				if _, err := r.Seen(t, string(binary.BigEndian.AppendUint64(id[:0], n)), start+int64(n)*1000); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/fact")
}

// TestRepeatsGolden holds the bytes on disk: a small run, and pages of the
// open one.
func TestRepeatsGolden(t *testing.T) {
	r := newRepeatsTest(t, t.TempDir(), RepeatsOptions{})
	r.seen(start, "a", "b", "c")
	r.seen(start+hourMicros, "d")
	var got []string
	err := r.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Repeats, nil, nil, func(k, v []byte) error {
			got = append(got, fmt.Sprintf("%x=%x", k, v))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"720000000000061a8000000000=" + // a run: 'r', hour, number = its hashes in order
			"44e0b93d24a94c43661e" + "726b4c523ac4364f0f4f" + "962060269e0a767cf9f9",
		"740000000000061a810000000100000001=" + "57d6b1eb3d67fabe7bc0", // 't', hour, number, page
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	large := repeatsRun{hour: 400_000, number: 9}
	if k := fmt.Sprintf("%x", large.key(0xab)); k != "720000000000061a80"+"00000009"+"ab" {
		t.Error("the page of a large run lies under", k)
	}
}
