package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query/internal/store"
)

// TestMetamorphicBlocks is TestMetamorphic with blocks of the size that they
// have: some 70,000 events, which lie in memory in one life, in blocks as they
// came in another, and merged in a third.
func TestMetamorphicBlocks(t *testing.T) {
	rounds := 1
	if *scripts > 100 {
		rounds = *scripts / 100
	}
	counts := map[string]int{}
	for at := *seed; at < *seed+uint64(rounds); at++ {
		r := rand.New(rand.NewPCG(at, 13))
		s, w, events := newLargeScript(r)
		a := &asking{Rand: r, w: w}
		var bodies [][]byte
		for range questions {
			bodies = append(bodies, a.anything(true))
		}
		ask := func(o store.Options, shuffle bool, steps func(e *store.Store) error) []string {
			t.Helper()
			answers, err := s.askLarge(t.TempDir(), w, r, events, o, shuffle, steps, bodies)
			if err != nil {
				t.Fatalf("-seed %d: %v", at, err)
			}
			return answers
		}
		options := func(rows int, cache int64) store.Options {
			return store.Options{History: history.Options{Location: w.loc, FreezeRows: rows, CacheBytes: cache}}
		}
		nothing := func(*store.Store) error { return nil }
		want := ask(options(0, 0), false, nothing)
		for i, got := range [][]string{
			ask(options(40_000, 0), true, nothing),
			ask(options(9_000, 100_000), true, func(e *store.Store) error {
				if err := e.Freeze(context.Background()); err != nil {
					return err
				}
				if err := e.Compact(context.Background()); err != nil {
					return err
				}
				return e.Restart()
			}),
		} {
			for k, body := range bodies {
				counts["answers compared"]++
				if got[k] != want[k] {
					t.Fatalf("-seed %d, life %d:\n%s\nwant %.3000s\ngot  %.3000s", at, i+1, body, want[k], got[k])
				}
			}
		}
	}
	logCounts(t, counts)
}

// newLargeScript makes users who are met in order, some of whom are one person,
// and their events in order of time.
func newLargeScript(r *rand.Rand) (*script, *world, []event.Fact) {
	s := &script{numbered: true}
	w := &world{loc: location(zones[r.IntN(len(zones))]), saved: map[string]string{}, rfms: map[string][]byte{}}
	base := seasons[r.IntN(len(seasons))]
	s.gather(r, 500, 0)
	w.count = 500
	at := base.UnixMicro()
	for i, g := range s.groups {
		for n, u := range g.users {
			s.add(meeting, event.Fact{Kind: event.Identify, User: u, Time: at - int64(n+1)*1_000_000}, i)
			s.add(learning, profileOf(r, u, at), i)
		}
	}
	var events []event.Fact
	for range 70_000 {
		i := r.IntN(len(s.groups))
		if r.IntN(3) == 0 {
			i = 0 // who did a third of it
		}
		f := event.Fact{Kind: event.Track, User: pick(r, s.groups[i].users...), Name: names[r.IntN(len(names))], Props: props(randomProps(r))}
		f.Time = base.Add(time.Duration(r.IntN(60*24*60)) * time.Minute).UnixMicro()
		events = append(events, f)
	}
	slices.SortStableFunc(events, func(a, b event.Fact) int { return int(a.Time - b.Time) })
	w.now = base.AddDate(0, 0, r.IntN(61))
	for i := range s.groups {
		g := &s.groups[i]
		w.people = append(w.people, &someone{identity: g.users[0], number: uint32(i + 1)})
	}
	for _, f := range events[:2000] { // instants to ask about
		w.people[0].events = append(w.people[0].events, occurrence{time: f.Time})
	}
	return s, w, events
}

// askLarge carries a large script in, in another order if shuffle, and merges
// people before the events or after.
func (s *script) askLarge(dir string, w *world, r *rand.Rand, events []event.Fact, o store.Options, shuffle bool, steps func(*store.Store) error, bodies [][]byte) (answers []string, err error) {
	var before, after []event.Fact
	for _, d := range s.deeds {
		if d.kind == meeting {
			before = append(before, d.fact)
		}
	}
	for _, d := range s.deeds {
		if d.kind == learning {
			before = append(before, d.fact)
		}
	}
	for i, g := range s.groups {
		for _, u := range g.users[1:] {
			f := event.Fact{Kind: event.Alias, Previous: u, User: g.users[0], Time: 1}
			if shuffle && i%2 == 0 {
				before = append(before, f)
			} else {
				after = append(after, f)
			}
		}
		if g.erased {
			after = append(after, event.Fact{Kind: event.Erase, ID: fmt.Sprint(i), User: g.users[0], Time: 1})
		}
	}
	if shuffle {
		events = shuffled(r, events)
	}
	e, err := store.Open(dir, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if failed := e.Close(); err == nil {
			err = failed
		}
	}()
	for part := range slices.Chunk(slices.Concat(before, events, after), 3000) {
		if err := e.Apply(part...); err != nil {
			return nil, err
		}
	}
	if err := steps(e); err != nil {
		return nil, err
	}
	data, release := e.Data()
	defer release()
	env := w.env()
	env.Data, env.Find, env.Workers = data, e.Find, 1+r.IntN(4)
	for _, body := range bodies {
		answers = append(answers, s.answer(body, env))
	}
	return answers, nil
}

// shuffled is events in another order, but for those of one instant.
func shuffled(r *rand.Rand, events []event.Fact) []event.Fact {
	places := r.Perm(len(events))
	for from := 0; from < len(events); {
		to := from
		for to < len(events) && events[to].Time == events[from].Time {
			to++
		}
		slices.Sort(places[from:to])
		from = to
	}
	out := make([]event.Fact, len(events))
	for i, at := range places {
		out[at] = events[i]
	}
	return out
}
