package oracle

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/store"
)

var scripts = flag.Int("scripts", 12, "how many random scripts TestMetamorphic carries in")

// lives of each script, beside the plain one.
const lives = 3

// TestMetamorphic carries the same facts into real engines in several ways: in
// another order, in other transactions, frozen, closed and opened again,
// compacted, erased and merged earlier or later, with other people to a partition, with
// more workers. The answers are the same, byte by byte; and those of the
// plainest way are the naive evaluator's. A failure is made small.
func TestMetamorphic(t *testing.T) {
	n := *scripts
	if testing.Short() {
		n = min(n, 5)
	}
	counts := map[string]int{}
	for at := *seed; at < *seed+uint64(n); at++ {
		if !t.Run(fmt.Sprint(at), func(t *testing.T) { liveThrough(t, at, counts) }) {
			break
		}
	}
	logCounts(t, counts)
}

func liveThrough(t *testing.T, seed uint64, counts map[string]int) {
	r := rand.New(rand.NewPCG(seed, 11))
	s, w := newScript(r)
	a := &asking{Rand: r, w: w}
	var bodies [][]byte
	for range questions {
		bodies = append(bodies, a.anything(s.numbered))
	}
	plain := plainLife(w.loc)
	want, err := plain.ask(t.TempDir(), s, w, bodies, func(e *store.Store, d query.Data) error { return checkPlain(e, d, w, bodies, counts) })
	if err != nil {
		plain.tell(t, s)
		t.Fatalf("-seed %d, the plain life: %v", seed, err)
	}
	for range lives {
		l := newLife(r, s, w.loc)
		got, err := l.ask(t.TempDir(), s, w, bodies, nil)
		if err != nil {
			l.tell(t, s)
			t.Fatal(err)
		}
		for i, body := range bodies {
			counts["answers compared"]++
			if got[i] != want[i] {
				t.Errorf("-seed %d:\n%s\nwant %s\ngot  %s", seed, body, want[i], got[i])
				shrink(t, s, w, l, body)
				return
			}
		}
	}
	counts["deeds"] += len(s.deeds)
	counts["scripts"]++
}

// checkPlain compares the plain life's answers with the naive evaluator's.
func checkPlain(e *store.Store, d query.Data, w *world, bodies [][]byte, counts map[string]int) error {
	if err := w.lookUp(e, d); err != nil {
		return err
	}
	for _, body := range bodies {
		sort, diff := w.differs(body)
		if counts[sort]++; diff != "" {
			return fmt.Errorf("not what the naive evaluator says:\n%s\n%s", body, diff)
		}
	}
	return nil
}

// differs asks both evaluators a question of any kind.
func (w *world) differs(body []byte) (sort, diff string) {
	var q struct{ Kind string }
	if err := json.Unmarshal(body, &q); err != nil {
		panic(err)
	}
	switch q.Kind {
	case "trend", "funnel", "segment":
		return q.Kind, w.compare(body)
	}
	return w.compareActivity(body)
}

// anything makes a question of any kind. Where numbers differ from life to
// life, lists are asked for whole.
func (a *asking) anything(numbered bool) []byte {
	q := pick(a.Rand, a.question, a.question, a.activity, a.activity, a.paths, a.rfm, a.campaign)()
	if l, ok := q["list"].(object); ok && !numbered {
		delete(l, "after")
		l["limit"] = 10_000
	}
	b, err := json.Marshal(q)
	if err != nil {
		panic(err)
	}
	return b
}

// shrink takes deeds and steps away for as long as a question is answered in
// two ways, and tells what is left.
func shrink(t *testing.T, s *script, w *world, l life, body []byte) {
	tries := 0
	fails := func(deeds []*deed, l life) bool {
		if tries++; tries > 400 {
			return false
		}
		small := &script{deeds: deeds, groups: s.groups, numbered: s.numbered}
		plain := plainLife(w.loc)
		want, wantErr := inPassing(&plain, small, w, body)
		got, gotErr := inPassing(&l, small, w, body)
		return wantErr == nil && gotErr == nil && want != got
	}
	if !fails(s.deeds, l) {
		t.Log("it does not fail when asked alone, or not each time")
		l.tell(t, s)
		return
	}
	for _, simpler := range []func(*life){
		func(l *life) { l.busy = false }, func(l *life) { l.forget = 0 }, func(l *life) { l.compact = 0 }, func(l *life) { l.expire = 0 }, func(l *life) { l.litter = false }, func(l *life) { l.restart = 0 }, func(l *life) { l.freeze = 0 },
		func(l *life) { l.commit = 0 }, func(l *life) { l.workers = 1 }, func(l *life) { l.o.ShelfBytes = 0 }, func(l *life) { l.o.History.CacheBytes = 0 },
		func(l *life) { l.o.History.FreezeRows = 0 }, func(l *life) { l.shuffle = false },
	} {
		tried := l
		if simpler(&tried); fails(s.deeds, tried) {
			l = tried
		}
	}
	deeds := s.deeds
	for size := len(deeds) / 2; size > 0; size /= 2 {
		for from := 0; from < len(deeds); {
			without := slices.Clone(deeds)
			i := 0
			without = slices.DeleteFunc(without, func(d *deed) bool {
				i++
				return i-1 >= from && i-1 < from+size && d.kind != meeting && d.kind != erring && d.kind != parting // without them it is another matter
			})
			if len(without) < len(deeds) && fails(without, l) {
				deeds = without
			} else {
				from += size
			}
		}
	}
	s = &script{deeds: deeds, groups: s.groups, numbered: s.numbered}
	t.Logf("with %d deeds still, after %d tries, numbered %v:\n%s", len(deeds), tries, s.numbered, body)
	l.tell(t, s)
	plain := plainLife(w.loc)
	want, _ := inPassing(&plain, s, w, body)
	got, _ := inPassing(&l, s, w, body)
	t.Logf("\nwant %s\ngot  %s", want, got)
}

// inPassing asks one question in a directory that goes at once.
func inPassing(l *life, s *script, w *world, body []byte) (string, error) {
	dir, err := os.MkdirTemp("", "life")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	answers, err := l.ask(dir, s, w, [][]byte{body}, nil)
	if err != nil {
		return "", err
	}
	return answers[0], nil
}
