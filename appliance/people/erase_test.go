package people

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// annFact tells all kinds of things about ann.
func annFact() event.Fact {
	f := identify("ann", "phone", attr("city", "Pune"), attr("email", "ann@x"))
	f.Addresses = []event.Address{email("Ann@x"), token("T")}
	f.Consents = []event.Consent{consent("offers", "", true)}
	return f
}

func TestErasedIsInNoAnswer(t *testing.T) {
	h := open(t, Options{})
	h.apply(annFact(), identify("bob", "", attr("city", "Oslo")))
	h.erase(1)
	for range 2 {
		if _, err := h.Person(1); !errors.Is(err, ErrErased) {
			t.Errorf("person: %v", err)
		}
		if _, err := h.Ledger(1); !errors.Is(err, ErrErased) {
			t.Errorf("ledger: %v", err)
		}
		if _, err := h.OpenEvents(1, 0, 1); !errors.Is(err, ErrErased) {
			t.Errorf("events: %v", err)
		}
		if ok, c := h.Allowed(1, "offers", "email"); ok || c != (ConsentState{}) {
			t.Errorf("allowed: %v %v", ok, c)
		}
		s := h.Snapshot()
		if _, err := s.Identity(1); !errors.Is(err, ErrErased) {
			t.Errorf("identity: %v", err)
		}
		if !s.Hidden(1) || s.Hidden(2) || s.Exists().Contains(1) || s.Max() != 2 {
			t.Error("hidden, existing or the highest number")
		}
		if s.Reachable("email").Contains(1) || s.Consented("offers", "email").Contains(1) || s.Profile("city").Codes[1] != 0 {
			t.Error("a question sees the erased")
		}
		if !h.Suppressed("email", "ann@X") || !h.Suppressed("push", "T") {
			t.Error("an import could bring them back")
		}
		h.reopen()
	}
	if _, err := h.Person(3); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody: %v", err)
	}
}

// Who comes back gets mail again only by agreeing anew; a bounce stays.
func TestAgreeingAnewLiftsWhatErasureLeft(t *testing.T) {
	h := open(t, Options{})
	h.apply(annFact())
	h.erase(1)

	stranger := identify("carl", "")
	stranger.Addresses = []event.Address{email("ann@x")}
	h.apply(stranger)
	if !h.Suppressed("email", "ann@x") || h.Snapshot().Reachable("email").Contains(2) {
		t.Error("an address came back without a consent")
	}
	back := annFact()
	back.Addresses = []event.Address{email("ann@x")}
	if r := h.one(back); r.Person != 3 || !r.New {
		t.Fatalf("%+v", r)
	}
	for range 2 {
		if h.Suppressed("email", "ann@x") || !h.Suppressed("push", "T") {
			t.Error("only the address that was brought is lifted")
		}
		if r := h.Snapshot().Reachable("email"); !r.Contains(2) || !r.Contains(3) {
			t.Error("who has the address is not reachable")
		}
		h.reopen()
	}
	h.apply(bounce(3, "email", "hard"))
	again := annFact()
	h.apply(again)
	if !h.Suppressed("email", "ann@x") {
		t.Error("a consent does not make a dead address live")
	}
}

// An address that somebody else has stays theirs.
func TestErasureLeavesSharedAddresses(t *testing.T) {
	h := open(t, Options{})
	both := identify("bob", "")
	both.Addresses = []event.Address{email("ann@x")}
	h.apply(annFact(), both)
	h.erase(1)
	if h.Suppressed("email", "ann@x") || !h.Snapshot().Reachable("email").Contains(2) {
		t.Error("bob lost his address")
	}
	h.erase(2)
	if !h.Suppressed("email", "ann@x") {
		t.Error("the last who had it was erased")
	}
}

func TestSweepTakesWhatErasureLeft(t *testing.T) {
	h := open(t, Options{})
	h.apply(annFact(), track("bob", ""))
	const events = sweepRun + 10
	for at := 0; at < events; {
		h.update(func(t *kv.Txn) error {
			for i := 0; i < 1000 && at < events; i, at = i+1, at+1 {
				if err := h.SealEvent(t, 1, int64(at/3), "Paid", []event.Prop{{Key: "card", Value: value("4")}}); err != nil {
					return err
				}
			}
			return h.SealEvent(t, 2, int64(at), "Paid", []event.Prop{{Key: "card", Value: value("5")}})
		})
	}
	if left, err := h.Sweep(); left || err != nil {
		t.Fatalf("nobody is erased: %v, %v", left, err)
	}
	h.erase(1)
	calls := 1
	for left, err := h.Sweep(); left || err != nil; left, err = h.Sweep() {
		if err != nil {
			t.Fatal(err)
		}
		if calls++; calls > 3 {
			t.Fatal("it does not end")
		}
	}
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
	if n := h.count(kv.PeopleEvents, eventPrefix(1)) + h.count(kv.People, numberKey(keyLedger, 1)) + h.count(kv.People, []byte{keySweep}); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	if h.count(kv.PeopleEvents, eventPrefix(2)) != 6 {
		t.Error("events of somebody else went")
	}
}

// A state from before an erasure, under keys from after it, comes to the same
// by the same facts.
func TestErasureReplayedOnAnOlderState(t *testing.T) {
	for _, when := range []struct {
		name string
		at   int // facts in the older state
	}{{"before everything", 0}, {"between", 2}, {"just before", 5}} {
		t.Run(when.name, func(t *testing.T) {
			facts := func() []event.Fact {
				return []event.Fact{track("bob", "tablet"), annFact(), listed("l", ListPart{Line: 1, Last: true}, "ann", "bob", "nobody"), track("", "watch"), identify("ann", "watch", attr("plan", "gold"))}
			}
			h := open(t, Options{})
			h.apply(facts()[:when.at]...)
			h.stop()
			kept := filepath.Join(t.TempDir(), "state")
			if err := os.CopyFS(kept, os.DirFS(filepath.Join(h.dir, "state"))); err != nil {
				t.Fatal(err)
			}
			h.start()
			h.apply(facts()[when.at:]...)
			h.erase(2)
			h.apply(track("carl", ""))
			want := h.doors()

			h.stop()
			if err := os.RemoveAll(filepath.Join(h.dir, "state")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(kept, filepath.Join(h.dir, "state")); err != nil {
				t.Fatal(err)
			}
			h.clock = 1_700_000_000_000_000 + int64(when.at)*3600*1_000_000
			h.start()
			for n := uint32(1); n <= h.Snapshot().Max(); n++ {
				if _, err := h.Person(n); (n == 2) != errors.Is(err, ErrErased) && n != 3 {
					t.Errorf("person %d of the older state: %v", n, err)
				}
			}
			h.apply(facts()[when.at:]...)
			h.erase(2)
			h.apply(track("carl", ""))
			if got := h.doors(); got != want {
				t.Errorf("after replaying:\n%s\nwant:\n%s", got, want)
			}
			h.reopen()
			if got := h.doors(); got != want {
				t.Errorf("after reopening:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
