package oracle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
)

// engines are what history and people stand on.
type engines struct {
	db      *kv.DB
	shelves *kv.Shelves
	keys    *keyring.Publisher
}

func openEngines(t *testing.T) *engines {
	dir := t.TempDir()
	db, err := kv.Open(filepath.Join(dir, "state"), kv.Options{MemTable: 8 << 20, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	shelves, err := kv.OpenShelves(filepath.Join(dir, "shelves"), kv.NewShelfCache(4), kv.ShelfOptions{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Publisher("acme")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, close := range []func() error{shelves.Close, db.Close, ring.Close} {
			if err := close(); err != nil {
				t.Error(err)
			}
		}
	})
	return &engines{db, shelves, keys}
}

// keep writes a world's rows to a history on real engines, in transactions of
// random size, so that some lie in blocks, some in the head, and some in both
// after a restart; and makes the world ask that.
func (w *world) keep(t *testing.T, r *rand.Rand, e *engines) {
	o := history.Options{Location: w.loc, FreezeRows: 1 + r.IntN(60), CacheBytes: pick(r, int64(-1), 0, 5000)}
	open := func() *history.History {
		h, err := history.Open(e.db, e.shelves, e.keys, o)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := open()
	for rest := w.rows; len(rest) > 0; {
		n := min(1+r.IntN(50), len(rest))
		if err := e.db.Update(func(t *kv.Txn) error { return h.Append(t, rest[:n]) }); err != nil {
			t.Fatal(err)
		}
		h.Committed()
		rest = rest[n:]
		if r.IntN(6) == 0 {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			h = open()
		}
	}
	s := h.Snapshot()
	w.history = s
	t.Cleanup(func() {
		s.Release()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

// meet makes the world's people anew, out of random facts on real engines:
// anonymous ones who log in, known ones who are joined, some who are erased.
func (w *world) meet(t *testing.T, r *rand.Rand, e *engines) {
	p, err := people.Open(e.db, e.keys, people.Options{Merge: people.MergeKnown})
	if err != nil {
		t.Fatal(err)
	}
	old := w.rows
	w.rows, w.people = nil, nil
	var events []occurrence
	user := func() string { return fmt.Sprintf("p%d", 1+r.IntN(8)) }
	device := func() string { return fmt.Sprintf("d%d", 1+r.IntN(8)) }
	lists := map[string]map[uint32]bool{}
	for i, row := range old {
		if r.IntN(5) == 0 {
			name, add := pick(r, "vips", "staff"), r.IntN(2) == 0
			part := people.ListPart{Source: fmt.Sprint(i), Line: 1, Last: true, Add: add, People: []string{user(), device(), user(), "nobody"}}
			w.upload(t, e, p, name, part)
			if lists[name] == nil || !add {
				lists[name] = map[uint32]bool{}
			}
			for _, id := range part.People {
				if n, ok := p.Find(id); ok {
					lists[name][n] = true
				}
			}
		}
		f := event.Fact{Kind: event.Track, Name: row.Name, Time: row.Time, Received: row.Time, Props: row.Props}
		switch r.IntN(12) {
		case 0, 1:
			f.Device = device()
		case 2:
			f.User, f.Device = user(), device()
		case 3:
			f = event.Fact{Kind: event.Alias, Time: row.Time, User: user(), Previous: user()}
		case 4:
			if f = (event.Fact{Kind: event.Erase, ID: fmt.Sprint(i), Time: row.Time, User: user()}); r.IntN(3) > 0 {
				f = event.Fact{Kind: event.Identify, Time: row.Time, User: user(), Device: device()}
			}
		case 5:
			f = event.Fact{Kind: event.Identify, Time: row.Time, User: user(),
				Consents:  []event.Consent{{Purpose: "offers", Channel: pick(r, "email", "sms"), Granted: r.IntN(3) > 0}},
				Addresses: []event.Address{{Channel: "email", Value: user() + "@example.com"}}}
			for _, key := range []string{"plan", "age", "tags"} {
				if v := randomValue(r, key); v != nil {
					f.Changes = append(f.Changes, event.Change{Key: key, Op: event.Set, Value: value(v)})
				}
			}
		default:
			f.User = user()
		}
		var gone []uint32
		err := e.db.Update(func(t *kv.Txn) error {
			who, err := p.Apply(t, &f)
			if err != nil || who.Refused != "" || who.Person == 0 {
				return err
			}
			switch f.Kind {
			case event.Erase:
				gone = p.Numbers(who.Person)
				return p.Erase(t, who.Person)
			case event.Track:
				row.Person = who.Number
				w.rows = append(w.rows, row)
				events = append(events, occurrence{seq: len(events), number: who.Number, time: row.Time, name: row.Name, props: plainProps(row.Props)})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p.Committed()
		if err := e.keys.DestroyPerson(gone...); err != nil {
			t.Fatal(err)
		}
	}
	s := p.Snapshot()
	t.Cleanup(s.Release)
	w.numbers, w.find = s, p.Find
	w.count, w.lists = int(s.Max()), s.Lists()
	by := map[uint32]*someone{}
	for it := s.Exists().Iterator(); it.HasNext(); {
		n := it.Next()
		one := &someone{}
		if err := one.describe(s, n); err != nil {
			t.Fatal(err)
		}
		by[n] = one
		w.people = append(w.people, one)
	}
	for i := range 20 {
		name := fmt.Sprintf("p%d", i)
		if n, ok := p.Find(name); ok && by[s.Winner(n)] != nil {
			by[s.Winner(n)].others = append(by[s.Winner(n)].others, name)
		}
	}
	for name, numbers := range lists {
		for n := range numbers {
			if one := by[s.Winner(n)]; one != nil && !s.Hidden(n) {
				one.lists = append(one.lists, name)
			}
		}
	}
	for _, o := range events {
		if one := by[s.Winner(o.number)]; one != nil && !s.Hidden(o.number) {
			one.events = append(one.events, o)
		}
	}
	for _, one := range w.people {
		slices.SortStableFunc(one.events, func(a, b occurrence) int { return int(a.time - b.time) })
	}
}

// upload puts people on a list.
func (w *world) upload(t *testing.T, e *engines, p *people.People, name string, part people.ListPart) {
	part.Lines = int64(len(part.People))
	body, err := part.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: name, Body: body}
	err = e.db.Update(func(t *kv.Txn) error {
		who, err := p.Apply(t, &f)
		if err == nil && who.Refused != "" {
			err = errors.New(who.Refused)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Committed()
}

// plainProps are properties as JSON has them, but for instants, which compare
// otherwise than their texts do.
func plainProps(props []event.Prop) map[string]any {
	out := map[string]any{}
	for _, p := range props {
		if p.Value.Kind() == event.Time {
			out[p.Key] = time.UnixMicro(p.Value.Micros()).UTC()
		} else {
			out[p.Key] = plain(p.Value)
		}
	}
	return out
}

// TestOracleOnHistory is TestOracle on the real history, and every second time
// on real people.
func TestOracleOnHistory(t *testing.T) {
	onHistory(t, 8, newWorld, func(t *testing.T, w *world, r *rand.Rand, s uint64) {
		a := &asking{Rand: r, w: w}
		for range questions {
			body, err := json.Marshal(a.question())
			if err != nil {
				t.Fatal(err)
			}
			if diff := w.compare(body); diff != "" {
				t.Fatalf("-seed %d:\n%s\n%s", s, body, diff)
			}
		}
	})
}

// onHistory asks about worlds on real engines, each in a test of its own, so
// that its files go before the next one's come; up to the first that fails.
func onHistory(t *testing.T, stream uint64, newWorld func(*rand.Rand) *world, ask func(t *testing.T, w *world, r *rand.Rand, seed uint64)) {
	for s := *seed; s < *seed+uint64(*worlds/10); s++ {
		ok := t.Run(fmt.Sprint(s), func(t *testing.T) {
			r := rand.New(rand.NewPCG(s, stream))
			w := newWorld(r)
			e := openEngines(t)
			if s%2 == 0 {
				w.meet(t, r, e)
			}
			w.keep(t, r, e)
			ask(t, w, r, s)
		})
		if !ok {
			return
		}
	}
}
