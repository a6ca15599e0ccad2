package people

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// house is a publisher's people on real engines, in a directory that can be
// closed and opened again.
type house struct {
	t    testing.TB
	dir  string
	o    Options
	db   *kv.DB
	ring *keyring.Keyring
	keys *keyring.Publisher
	*People
	clock int64
}

func open(t testing.TB, o Options) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), o: o, clock: 1_700_000_000_000_000}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *house) start() {
	h.t.Helper()
	var err error
	if h.db, err = kv.Open(filepath.Join(h.dir, "state"), kv.Options{Small: true, MemTable: 8 << 20}); err != nil {
		h.t.Fatal(err)
	}
	if h.ring, err = keyring.Open(filepath.Join(h.dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{}); err != nil {
		h.t.Fatal(err)
	}
	if h.keys, err = h.ring.Publisher("acme"); err != nil {
		h.t.Fatal(err)
	}
	if h.People, err = Open(h.db, h.keys, h.o); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) stop() {
	h.t.Helper()
	if err := h.db.Close(); err != nil {
		h.t.Error(err)
	}
	if err := h.ring.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *house) reopen() { h.t.Helper(); h.stop(); h.start() }

// apply commits facts in one transaction, an hour apart unless they say when.
func (h *house) apply(facts ...event.Fact) []Resolved {
	h.t.Helper()
	var out []Resolved
	err := h.db.Update(func(t *kv.Txn) error {
		for i := range facts {
			h.clock += 3600 * 1_000_000
			if facts[i].Time == 0 {
				facts[i].Time = h.clock
			}
			r, err := h.Apply(t, &facts[i])
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Committed()
	return out
}

// one applies a single fact.
func (h *house) one(f event.Fact) Resolved { h.t.Helper(); return h.apply(f)[0] }

// erase does what erasure does: the state, then the key.
func (h *house) erase(person uint32) {
	h.t.Helper()
	numbers := h.Numbers(person)
	if err := h.db.Update(func(t *kv.Txn) error { return h.Erase(t, person) }); err != nil {
		h.t.Fatal(err)
	}
	h.Committed()
	if err := h.keys.DestroyPerson(numbers...); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) person(n uint32) *Person {
	h.t.Helper()
	p, err := h.Person(n)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) found(id string) uint32 {
	h.t.Helper()
	n, ok := h.Find(id)
	if ok != (n != 0) {
		h.t.Fatalf("Find gives %d, %v", n, ok)
	}
	return n
}

// Facts in few words.

func track(user, device string) event.Fact {
	return event.Fact{Kind: event.Track, User: user, Device: device, Name: "Seen"}
}

func identify(user, device string, changes ...event.Change) event.Fact {
	return event.Fact{Kind: event.Identify, User: user, Device: device, Changes: changes}
}

func alias(previous, user string) event.Fact {
	return event.Fact{Kind: event.Alias, Previous: previous, User: user}
}

func attr(key string, v any) event.Change { return event.Change{Key: key, Value: value(v)} }

func value(v any) event.Value {
	switch v := v.(type) {
	case nil:
		return event.Value{}
	case string:
		return event.OfText(v)
	case int:
		return event.OfInt(int64(v))
	case float64:
		return event.OfFloat(v)
	case bool:
		return event.OfBool(v)
	case []string:
		var vs []event.Value
		for _, s := range v {
			vs = append(vs, event.OfText(s))
		}
		return event.OfList(vs)
	}
	panic(fmt.Sprintf("no value of %T", v))
}

func consent(purpose, channel string, granted bool) event.Consent {
	return event.Consent{Purpose: purpose, Channel: channel, Granted: granted, Source: "test", Version: "1"}
}

func email(s string) event.Address { return event.Address{Channel: "email", Value: s} }

func token(s string) event.Address {
	return event.Address{Channel: "push", Platform: "fcm", Value: s}
}
