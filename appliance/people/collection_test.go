package people

import (
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// opt is somebody opting in or out of collection.
func opt(user, device string, in bool, changes ...event.Change) event.Fact {
	f := identify(user, device, changes...)
	f.Consents = []event.Consent{consent(event.PurposeCollection, "", in)}
	return f
}

// Who opted out on one device is out on all of theirs, in whatever order the
// devices and the login come.
func TestOptingOutGoesWithThePerson(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts []event.Fact
	}{
		{"known", []event.Fact{track("ann", "phone"), track("ann", "tablet"), opt("ann", "", false)}},
		{"on one device", []event.Fact{track("ann", "phone"), track("ann", "tablet"), opt("", "phone", false)}},
		{"before the login", []event.Fact{opt("", "phone", false), track("ann", "phone"), track("ann", "tablet")}},
		{"before a merge", []event.Fact{track("ann", "tablet"), opt("", "phone", false), track("ann", "phone")}},
		{"before an alias", []event.Fact{track("ann", "tablet"), opt("", "phone", false), {Kind: event.Alias, Previous: "phone", User: "ann"}}},
		{"a device that comes later", []event.Fact{opt("ann", "phone", false), identify("ann", "tablet")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, Options{})
			h.apply(c.facts...)
			for range 2 {
				for _, f := range []event.Fact{track("ann", ""), track("", "phone"), track("", "tablet"), track("ann", "watch")} {
					if r := h.one(f); !r.OptedOut || r.Person == 0 || r.Refused != "" {
						t.Errorf("%q on %q is collected: %+v", f.User, f.Device, r)
					}
				}
				if !h.OptedOut("phone") || !h.OptedOut("tablet") || h.OptedOut("ann") || h.OptedOut("desk") {
					t.Error("the doors are told otherwise")
				}
				h.reopen()
			}
			if r := h.one(track("bob", "desk")); r.OptedOut {
				t.Error("a stranger's events are left out")
			}
			if r := h.one(opt("", "tablet", true)); r.OptedOut {
				t.Error("opting in is not taken")
			}
			if r := h.one(track("ann", "phone")); r.OptedOut {
				t.Error("still out after opting in")
			}
		})
	}
}

func TestWhatIsTakenOfSomebodyWhoOptedOut(t *testing.T) {
	h := open(t, Options{})
	first := identify("ann", "phone", attr("plan", "gold"))
	first.Addresses = []event.Address{email("ann@x"), token("T")}
	first.Consents = []event.Consent{consent("offers", "email", true)}
	h.apply(first, opt("ann", "", false, attr("plan", "basic")))
	wantAttrs(t, h.person(1), "plan", "gold")

	later := identify("ann", "", attr("city", "Pune"))
	gone := token("T")
	gone.Removed = true
	later.Addresses = []event.Address{email("ann@y"), gone}
	later.Consents = []event.Consent{consent("offers", "email", false)}
	r := h.one(later)
	if !r.OptedOut || len(r.Dropped) != 2 {
		t.Errorf("%+v", r)
	}
	wantAttrs(t, h.person(1), "plan", "gold")
	if a := h.person(1).Addresses; len(a) != 1 || a[0].Value != "ann@x" {
		t.Errorf("addresses %v", a)
	}
	if ok, _ := h.Allowed(1, "offers", "email"); ok {
		t.Error("the withdrawal of somebody who opted out is not taken")
	}
	// What the appliance did for them is its own doing, and theirs to see.
	own := event.Fact{Kind: event.Track, Person: 1, Name: event.NotificationSent}
	if r := h.one(own); r.OptedOut {
		t.Error("a message that was sent is not kept")
	}
	h.apply(opt("ann", "", true, attr("city", "Pune")))
	wantAttrs(t, h.person(1), "city", "Pune", "plan", "gold")
	f := identify("ann", "")
	f.Consents = []event.Consent{consent(event.PurposeCollection, "email", false)}
	if r := h.one(f); len(r.Dropped) != 1 {
		t.Error("collection has channels")
	}
}

func TestWhatWasJoinedIsListedWithItsCause(t *testing.T) {
	h := open(t, Options{Merge: MergeKnown})
	h.apply(track("", "phone"), track("bob", "desk"), track("ann", ""),
		track("bob", "phone"), event.Fact{Kind: event.Alias, Previous: "bob", User: "ann"})
	for range 2 {
		j := h.person(3).Joined
		if len(j) != 2 || j[0].Number != 1 || j[0].Into != 2 || j[0].Rule != "login" || len(j[0].Devices) != 1 || j[0].Devices[0] != "phone" ||
			j[1].Number != 2 || j[1].Into != 3 || j[1].Rule != "alias" || len(j[1].Identities) != 1 || j[1].Identities[0] != "bob" || len(j[1].Devices) != 1 || j[0].Since > j[1].Since {
			t.Errorf("%+v", j)
		}
		h.reopen()
	}
	h.apply(event.Fact{Kind: event.Demerge, User: "ann"})
	if j := h.person(3).Joined; len(j) != 0 {
		t.Errorf("after a demerge: %+v", j)
	}
}
