package people

import (
	"os"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"pgregory.net/rapid"
)

func drawFact(t *rapid.T) event.Fact {
	id := func(name string, from ...string) string {
		return rapid.SampledFrom(append([]string{""}, from...)).Draw(t, name)
	}
	user, device := id("user", "ann", "bob", "carl"), id("device", "phone", "tablet", "watch")
	switch rapid.SampledFrom([]string{"track", "identify", "identify", "identify", "alias", "demerge", "bounce", "list"}).Draw(t, "kind") {
	case "track":
		return track(user, device)
	case "alias":
		return alias(id("previous", someIDs...), user)
	case "demerge":
		return event.Fact{Kind: event.Demerge, User: user, Device: device}
	case "list":
		name := rapid.SampledFrom([]string{"l", "m"}).Draw(t, "list")
		if rapid.IntRange(0, 5).Draw(t, "deleted") == 0 {
			return event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: name}
		}
		return listed(name, ListPart{Line: int64(rapid.IntRange(1, 3).Draw(t, "line")), Add: rapid.Bool().Draw(t, "add"), Last: rapid.Bool().Draw(t, "last"),
			Source: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source")}, rapid.SliceOfN(rapid.SampledFrom(someIDs), 0, 3).Draw(t, "ids")...)
	case "bounce":
		return bounce(uint32(rapid.IntRange(1, 6).Draw(t, "person")), "email", rapid.SampledFrom([]string{"hard", "soft", "complaint"}).Draw(t, "bounce"))
	}
	f := identify(user, device)
	values := []any{nil, 1, -2.5, "a", "b", true, []string{"a", "c"}}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		f.Changes = append(f.Changes, event.Change{
			Key:      rapid.SampledFrom([]string{"city", "plan", "email"}).Draw(t, "key"),
			Op:       event.Op(rapid.IntRange(0, 5).Draw(t, "op")),
			Value:    value(rapid.SampledFrom(values).Draw(t, "value")),
			Personal: rapid.IntRange(0, 9).Draw(t, "personal") == 0,
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "addresses") {
		a := rapid.SampledFrom(someAddresses).Draw(t, "address")
		a.Removed = rapid.IntRange(0, 3).Draw(t, "removed") == 0
		f.Addresses = append(f.Addresses, a)
	}
	for range rapid.IntRange(0, 2).Draw(t, "consents") {
		f.Consents = append(f.Consents, consent(rapid.SampledFrom(somePurposes).Draw(t, "purpose"),
			rapid.SampledFrom([]string{"", "email", "push"}).Draw(t, "channel"), rapid.Bool().Draw(t, "granted")))
	}
	return f
}

// Whatever happened, and however it was cut into transactions, what the doors
// answer is the same before and after opening again, and the same as of a
// house that met each fact in a transaction of its own.
func TestDoorsAnswerTheSameAfterReopening(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := Options{Merge: rapid.SampledFrom([]string{MergeAnonymous, MergeKnown}).Draw(rt, "merge")}
		begin := func() *house {
			dir, err := os.MkdirTemp(t.TempDir(), "house")
			if err != nil {
				rt.Fatal(err)
			}
			h := &house{t: t, dir: dir, o: o, clock: 1_700_000_000_000_000}
			h.start()
			return h
		}
		h, single := begin(), begin()
		defer func() { h.stop(); single.stop() }()
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			facts := rapid.SliceOfN(rapid.Custom(drawFact), 1, 8).Draw(rt, "facts")
			for i, r := range h.apply(facts...) {
				if s := single.one(facts[i]); s.Person != r.Person || s.Refused != r.Refused || s.New != r.New {
					rt.Fatalf("fact %d: %+v in a run, %+v alone", i, r, s)
				}
			}
			if n := uint32(rapid.IntRange(1, 12).Draw(rt, "erased")); n <= h.Snapshot().Max() {
				for _, house := range []*house{h, single} {
					seal(house, n)
					house.erase(n)
				}
			} else if h.Snapshot().Max() > 0 {
				seal(h, 1)
				seal(single, 1)
			}
			before := h.doors()
			// The database and the keyring stay open: that they come back is
			// shown by their own tests, and would take most of the time here.
			again, err := Open(h.db, h.keys, h.o)
			if err != nil {
				rt.Fatal(err)
			}
			h.People = again
			if after := h.doors(); after != before {
				rt.Fatalf("before:\n%s\nafter:\n%s", before, after)
			}
			if alone := single.doors(); alone != before {
				rt.Fatalf("in a run:\n%s\nalone:\n%s", before, alone)
			}
			if t.Failed() {
				rt.FailNow()
			}
		}
	})
}

func seal(h *house, n uint32) {
	h.update(func(t *kv.Txn) error {
		return h.SealEvent(t, h.Numbers(n)[0], h.clock, "Paid", []event.Prop{{Key: "card", Value: value("4"), Personal: true}})
	})
}
