package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/store"
)

// life is how a script is carried in and asked about. The zero value does all
// in the script's order, in one transaction, and asks with one worker.
type life struct {
	seed    uint64 // of the order, and of where the following happen
	shuffle bool
	commit  float64 // how often a transaction ends after a deed
	freeze  float64 // ... what is in memory becomes blocks
	restart float64 // ... all is closed and opened again
	forget  float64 // ... the erased go from the disk
	compact float64 // ... blocks are put together
	litter  bool    // with each event come others, which are past their retention
	expire  float64 // ... and go; at the end they do
	o       store.Options
	workers int
	busy    bool // more comes in, is frozen and goes while questions are asked
}

// newLife makes a life with a few of each step, however long the script is:
// they cost more than all else.
func newLife(r *rand.Rand, s *script, loc *time.Location) life {
	about := func(n ...float64) float64 { return pick(r, n...) / float64(len(s.deeds)) }
	return life{
		seed: r.Uint64(), shuffle: r.IntN(5) > 0, commit: about(3, 8, 16), freeze: about(0, 1, 3), restart: about(0, 0, 1, 2), forget: about(0, 1, 2), compact: about(0, 1, 3),
		o: store.Options{
			History:    history.Options{Location: loc, Now: inTime, FreezeRows: pick(r, 1, 1+r.IntN(60), 0), CacheBytes: pick(r, int64(-1), 0, 5000)},
			ShelfBytes: pick(r, int64(1), 0, 0),
		},
		litter: r.IntN(3) == 0, expire: about(0, 1, 2),
		workers: 1 + r.IntN(8), busy: r.IntN(3) == 0,
	}
}

// inTime is when things are past their retention or not.
func inTime() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// plainLife is what the others are compared with.
func plainLife(loc *time.Location) life {
	return life{o: store.Options{History: history.Options{Location: loc}}, workers: 1}
}

// order in which the deeds are carried in.
func (l *life) order(s *script) []*deed {
	if !l.shuffle {
		return s.ordered(0)
	}
	return s.ordered(l.seed)
}

// carry carries a script into engines in dir, which are the caller's to close.
func (l *life) carry(dir string, s *script) (*store.Store, error) {
	e, err := store.Open(dir, l.o)
	if err != nil {
		return nil, err
	}
	var waiting []event.Fact
	for _, d := range l.order(s) {
		waiting = append(waiting, d.fact)
		if l.litter {
			waiting = append(waiting, litterOf(d)...)
		}
		for _, step := range l.after(d) {
			if err := e.Apply(waiting...); err != nil {
				return e, err
			}
			waiting = nil
			if err := l.take(step, e); err != nil {
				return e, fmt.Errorf("%s: %w", step, err)
			}
		}
	}
	if err := e.Apply(waiting...); err != nil || !l.litter {
		return e, err
	}
	return e, l.take("expire", e)
}

// retention is such that litter is past it, one sort by its name and one by its
// age, and nothing else is.
var retention = history.Retention{
	Events: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Sub(time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)),
	Names:  map[string]time.Duration{"Litter": 24 * time.Hour},
}

func litterOf(d *deed) []event.Fact {
	if d.kind != tracking {
		return nil
	}
	named, aged := d.fact, d.fact
	named.Name, aged.Time = "Litter", d.fact.Time-time.Duration(5*365*24*time.Hour).Microseconds()
	return []event.Fact{named, aged}
}

// after are the steps that follow a deed.
func (l *life) after(d *deed) (steps []string) {
	for _, step := range []struct {
		name  string
		often float64
	}{{"commit", l.commit}, {"freeze", l.freeze}, {"restart", l.restart}, {"forget", l.forget}, {"compact", l.compact}, {"expire", l.expire}} {
		if chosen(l.seed, d.id, step.name) < step.often {
			steps = append(steps, step.name)
		}
	}
	return steps
}

func (l *life) take(step string, e *store.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch step {
	case "freeze":
		return e.Freeze(ctx)
	case "restart":
		return e.Restart()
	case "forget":
		return e.Forget(ctx)
	case "expire":
		return e.Expire(ctx, retention)
	case "compact":
		return e.Compact(ctx)
	}
	return nil
}

// ask asks questions of a script that was carried in: each answer's bytes, or
// why there is none.
func (l *life) ask(dir string, s *script, w *world, bodies [][]byte, look func(*store.Store, query.Data) error) (answers []string, err error) {
	e, err := l.carry(dir, s)
	if e == nil {
		return nil, err
	}
	defer func() {
		if failed := e.Close(); err == nil {
			err = failed
		}
	}()
	if err != nil {
		return nil, err
	}
	data, release := e.Data()
	var background sync.WaitGroup
	var failed error
	if l.busy {
		background.Go(func() { failed = l.goOn(e, s) })
	}
	if look != nil {
		err = look(e, data)
	}
	env := w.env()
	env.Data, env.Find, env.Workers = data, e.Find, l.workers
	for _, body := range bodies {
		answers = append(answers, s.answer(body, env))
	}
	release() // before the wait: what is forgotten waits for it
	background.Wait()
	if err == nil {
		err = failed
	}
	return answers, err
}

// goOn carries in what nobody asks about any more.
func (l *life) goOn(e *store.Store, s *script) error {
	for i := range 2 {
		for g := range s.groups {
			if users := s.groups[g].users; len(users) > 0 && i%2 == 0 {
				if err := e.Apply(event.Fact{Kind: event.Track, User: users[0], Name: names[i], Time: int64(i)}); err != nil {
					return err
				}
				break
			}
		}
		if err := e.Apply(event.Fact{Kind: event.Track, User: fmt.Sprint("new", i), Name: "A", Time: int64(i)}); err != nil {
			return err
		}
		for _, step := range []string{"freeze", "forget", "expire", "compact"} {
			if err := l.take(step, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *script) answer(body []byte, env query.Env) string {
	a, err := query.Ask(context.Background(), body, env)
	if err != nil {
		return err.Error()
	}
	b, err := json.Marshal(a.Result)
	if err != nil {
		return err.Error()
	}
	if s.numbered {
		return string(b)
	}
	return sortedLists(b)
}

// sortedLists puts lists of people in the order of their texts: they come in
// that of numbers, which depends on who was met first.
func sortedLists(b []byte) string {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		panic(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, e := range v {
				if list, ok := e.([]any); ok && (key == "people" || key == "people_list") {
					slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
				}
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// lookUp gives a world's people the numbers and profiles that they have.
func (w *world) lookUp(e *store.Store, d query.Data) error {
	who := d.People.(*people.Snapshot)
	w.history, w.numbers, w.find = d.History, d.People, e.Find
	if got := who.Exists().GetCardinality(); got != uint64(len(w.people)) {
		return fmt.Errorf("%d people, want %d", got, len(w.people))
	}
	for _, one := range w.people {
		n, ok := e.Find(one.identity)
		if !ok {
			return fmt.Errorf("%s is not found", one.identity)
		}
		if err := one.describe(who, n); err != nil {
			return err
		}
	}
	slices.SortFunc(w.people, func(a, b *someone) int { return int(a.number) - int(b.number) })
	return nil
}

// describe reads what people say of somebody.
func (p *someone) describe(s *people.Snapshot, n uint32) error {
	identity, err := s.Identity(n)
	if err != nil {
		return err
	}
	if p.identity != "" && p.identity != identity {
		return fmt.Errorf("%d is listed as %s, want %s", n, identity, p.identity)
	}
	p.number, p.identity, p.reach, p.consent = n, identity, nil, nil
	attributes := map[string]event.Value{}
	for _, key := range s.Keys() {
		if v := s.Profile(key).Value(int(n)); !v.IsNull() {
			attributes[key] = v
		}
	}
	p.profile = plainProfile(attributes)
	for _, channel := range event.Channels {
		if s.Reachable(channel).Contains(n) {
			p.reach = append(p.reach, channel)
		}
		if s.Consented("offers", channel).Contains(n) {
			p.consent = append(p.consent, [2]string{"offers", channel})
		}
	}
	return nil
}

// tell says how a life goes, for a failure.
func (l *life) tell(t *testing.T, s *script) {
	t.Logf("life %+v", *l)
	for _, d := range l.order(s) {
		t.Logf("  %s -> %q", d, l.after(d))
	}
}
