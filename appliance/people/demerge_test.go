package people

import (
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// joinedAnn is ann (1), who knew nothing of the anonymous 2 on her phone until
// she logged in there.
func joinedAnn(t *testing.T, ann, phone event.Fact) *house {
	h := open(t, Options{})
	phone.Device, ann.User = "phone", "ann"
	h.apply(ann, phone, track("ann", "phone"))
	if w := h.Numbers(2); len(w) != 2 || w[0] != 1 {
		t.Fatalf("numbers of 2: %v", w)
	}
	return h
}

func TestDemergeGivesBackWhatWasAbsorbed(t *testing.T) {
	ann := identify("", "", attr("plan", "gold"))
	ann.Addresses, ann.Consents = []event.Address{email("ann@x")}, []event.Consent{consent("offers", "email", true)}
	phone := identify("", "", attr("city", "Pune"), attr("plan", "basic"))
	phone.Addresses, phone.Consents = []event.Address{token("T")}, []event.Consent{consent("offers", "email", false)}
	h := joinedAnn(t, ann, phone)
	for range 2 {
		wantAttrs(t, h.person(2), "city", "Pune", "plan", "gold")
		if ok, _ := h.Allowed(1, "offers", "email"); ok {
			t.Error("the later decision, a withdrawal, does not count")
		}
		if s := h.Snapshot(); !s.Reachable("push").Contains(1) || s.Reachable("push").Contains(2) || s.Exists().Contains(2) {
			t.Error("the loser is still shown, or the winner does not have its token")
		}
		h.reopen()
	}

	h.apply(event.Fact{Kind: event.Demerge, User: "ann"})
	for range 2 {
		wantAttrs(t, h.person(1), "plan", "gold")
		wantAttrs(t, h.person(2), "city", "Pune", "plan", "basic")
		one, _ := h.Allowed(1, "offers", "email")
		two, _ := h.Allowed(2, "offers", "email")
		if !one || two {
			t.Errorf("allowed %v and %v", one, two)
		}
		s := h.Snapshot()
		if !s.Reachable("push").Contains(2) || s.Reachable("push").Contains(1) || !s.Reachable("email").Contains(1) {
			t.Error("addresses did not part")
		}
		if !s.Exists().Contains(1) || !s.Exists().Contains(2) || s.Winner(2) != 2 || len(s.Losers(1)) != 0 {
			t.Error("numbers did not part")
		}
		h.reopen()
	}
}

// What somebody says again while merged is theirs, though it was in force.
func TestSaidAgainAfterAMergeStays(t *testing.T) {
	ann := identify("", "")
	ann.Consents = []event.Consent{consent("offers", "email", true)}
	phone := identify("", "", attr("city", "Pune"))
	phone.Consents = []event.Consent{consent("offers", "email", false)}
	h := joinedAnn(t, ann, phone)

	again := identify("ann", "", attr("city", "Pune"))
	again.Consents = []event.Consent{consent("offers", "email", false)}
	if r := h.one(again); len(r.Events) != 0 {
		t.Errorf("no answer changed, and yet: %v", r.Events)
	}
	h.apply(event.Fact{Kind: event.Demerge, User: "ann"})
	if ok, _ := h.Allowed(1, "offers", "email"); ok {
		t.Error("ann withdrew, and may be sent offers after a demerge")
	}
	wantAttrs(t, h.person(1), "city", "Pune")
	wantAttrs(t, h.person(2), "city", "Pune")
}

// What a user does is kept under their own number, also while they are merged:
// a demerge, long after, gives it back. What comes from a device alone is kept
// under the number that the device goes by.
func TestNumberOfWhatAMergedUserDoes(t *testing.T) {
	h := open(t, Options{Merge: MergeKnown})
	h.apply(track("ann", ""), track("bob", ""), track("", "phone"), event.Fact{Kind: event.Alias, Previous: "bob", User: "ann"}, track("ann", "phone"))
	for _, c := range []struct {
		fact           event.Fact
		person, number uint32
	}{
		{track("ann", ""), 1, 1},
		{track("bob", ""), 1, 2},
		{track("bob", "phone"), 1, 2},
		{track("bob", "tablet"), 1, 2},
		{track("", "phone"), 1, 1},
		{track("cid", ""), 4, 4},
		{track("", "watch"), 5, 5},
		{track("dan", "watch"), 5, 5},
	} {
		if r := h.one(c.fact); r.Person != c.person || r.Number != c.number {
			t.Errorf("%q on %q: person %d, number %d, want %d and %d", c.fact.User, c.fact.Device, r.Person, r.Number, c.person, c.number)
		}
	}
}

func TestDemergeOfAChain(t *testing.T) {
	h := open(t, Options{Merge: MergeKnown})
	h.apply(
		identify("", "phone", attr("a", 1)), identify("bob", "", attr("b", 2)), identify("ann", "", attr("c", 3)),
		track("bob", "phone"), alias("bob", "ann"))
	for range 2 {
		wantAttrs(t, h.person(1), "a", 1, "b", 2, "c", 3)
		if s := h.Snapshot(); s.Winner(1) != 3 || len(s.Losers(3)[3]) != 2 {
			t.Errorf("winner %d, losers %v", s.Winner(1), s.Losers(3))
		}
		h.reopen()
	}
	if r := h.one(event.Fact{Kind: event.Demerge, User: "bob"}); r.Person != 3 {
		t.Errorf("it concerns %d", r.Person)
	}
	for range 2 {
		wantAttrs(t, h.person(1), "a", 1)
		wantAttrs(t, h.person(2), "b", 2)
		wantAttrs(t, h.person(3), "c", 3)
		if h.found("phone") != 1 || h.found("bob") != 2 || h.found("ann") != 3 {
			t.Error("ids did not go back")
		}
		h.reopen()
	}
}

// wantAttrs compares the whole profile with keys and values in turn.
func wantAttrs(t *testing.T, p *Person, kv ...any) {
	t.Helper()
	if len(p.Profile) != len(kv)/2 {
		t.Errorf("person %d has %d attributes, want %d", p.Number, len(p.Profile), len(kv)/2)
	}
	for i := 0; i < len(kv); i += 2 {
		if got := event.Lookup(p.Profile, kv[i].(string)); !got.Equal(value(kv[i+1])) {
			t.Errorf("%s of person %d: %v, want %v", kv[i], p.Number, got, kv[i+1])
		}
	}
}
