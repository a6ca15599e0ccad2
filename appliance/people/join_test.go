package people

import (
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The table of IDENTITY.md, row by row: what was known before, the fact, and
// whom it concerns by the number they were given (counting from 1).
func TestIdentityRules(t *testing.T) {
	agreed := identify("ann", "phone")
	agreed.Consents = []event.Consent{consent("offers", "email", true)}
	deviceAgreed := identify("", "phone")
	deviceAgreed.Consents = agreed.Consents
	user, device := func(id string) event.Fact { return track(id, "") }, func(id string) event.Fact { return track("", id) }

	for _, row := range []struct {
		name    string
		merge   string
		before  []event.Fact
		erase   uint32 // after before
		fact    event.Fact
		person  uint32
		isNew   bool
		refused string
		merged  *Merge
		owns    map[string]uint32 // who goes by these ids afterwards
	}{
		{name: "1 user unknown", fact: user("ann"), person: 1, isNew: true, owns: map[string]uint32{"ann": 1}},
		{name: "2 user known", before: []event.Fact{user("bob"), user("ann")}, fact: user("ann"), person: 2},
		{name: "4 device unknown", fact: device("phone"), person: 1, isNew: true, owns: map[string]uint32{"phone": 1}},
		{name: "5 device known", before: []event.Fact{device("phone")}, fact: device("phone"), person: 1},
		{name: "5 device of somebody", before: []event.Fact{track("ann", "phone")}, fact: device("phone"), person: 1},
		{name: "7 both unknown", fact: track("ann", "phone"), person: 1, isNew: true, owns: map[string]uint32{"ann": 1, "phone": 1}},
		{name: "8 first login", before: []event.Fact{device("phone")}, fact: track("ann", "phone"), person: 1, owns: map[string]uint32{"ann": 1, "phone": 1}},
		{name: "9 new user on another's device", before: []event.Fact{track("bob", "phone")}, fact: track("ann", "phone"), person: 2, isNew: true,
			owns: map[string]uint32{"ann": 2, "bob": 1, "phone": 2}},
		{name: "10 known user, new device", before: []event.Fact{track("ann", "phone")}, fact: track("ann", "tablet"), person: 1,
			owns: map[string]uint32{"ann": 1, "phone": 1, "tablet": 1}},
		{name: "11 the same", before: []event.Fact{track("ann", "phone")}, fact: identify("ann", "phone"), person: 1},
		{name: "12 login on an anonymous device", before: []event.Fact{user("ann"), device("phone")}, fact: track("ann", "phone"), person: 1,
			merged: &Merge{Winner: 1, Loser: 2, Rule: "login"}, owns: map[string]uint32{"ann": 1, "phone": 1}},
		{name: "12 the identity wins, whichever is older", before: []event.Fact{device("phone"), user("ann")}, fact: track("ann", "phone"), person: 2,
			merged: &Merge{Winner: 2, Loser: 1, Rule: "login"}, owns: map[string]uint32{"ann": 2, "phone": 2}},
		{name: "13 shared device", before: []event.Fact{track("bob", "phone"), user("ann")}, fact: track("ann", "phone"), person: 2,
			owns: map[string]uint32{"ann": 2, "bob": 1, "phone": 2}},
		{name: "13 a merged device moves too", before: []event.Fact{user("bob"), device("phone"), track("bob", "phone"), user("ann")}, fact: track("ann", "phone"), person: 3,
			owns: map[string]uint32{"bob": 1, "ann": 3, "phone": 3}},
		{name: "14 parted by a demerge", before: []event.Fact{user("ann"), device("phone"), track("ann", "phone"), {Kind: event.Demerge, User: "ann"}},
			fact: track("ann", "phone"), person: 1, owns: map[string]uint32{"ann": 1, "phone": 1}},

		{name: "A1 both unknown", fact: alias("phone", "ann"), person: 1, isNew: true, owns: map[string]uint32{"ann": 1, "phone": 1}},
		{name: "A2 previous unknown", before: []event.Fact{user("ann")}, fact: alias("phone", "ann"), person: 1, owns: map[string]uint32{"phone": 1}},
		{name: "A3 previous anonymous, user unknown", before: []event.Fact{device("phone")}, fact: alias("phone", "ann"), person: 1, owns: map[string]uint32{"ann": 1}},
		{name: "A4 previous anonymous, user known", before: []event.Fact{device("phone"), user("ann")}, fact: alias("phone", "ann"), person: 2,
			merged: &Merge{Winner: 2, Loser: 1, Rule: "alias"}, owns: map[string]uint32{"phone": 2}},
		{name: "A4 also when parted", before: []event.Fact{user("ann"), device("phone"), track("ann", "phone"), {Kind: event.Demerge, User: "ann"}},
			fact: alias("phone", "ann"), person: 1, merged: &Merge{Winner: 1, Loser: 2, Rule: "alias"}, owns: map[string]uint32{"phone": 1}},
		{name: "A5 a new id for somebody known", before: []event.Fact{user("ann@old")}, fact: alias("ann@old", "ann"), person: 1, owns: map[string]uint32{"ann": 1, "ann@old": 1}},
		{name: "A6 two known people", before: []event.Fact{user("bob"), user("ann")}, fact: alias("bob", "ann"), refused: RefusedKnown, owns: map[string]uint32{"bob": 1, "ann": 2}},
		{name: "A6 two known people, allowed", merge: MergeKnown, before: []event.Fact{user("bob"), user("ann")}, fact: alias("bob", "ann"), person: 2,
			merged: &Merge{Winner: 2, Loser: 1, Rule: "alias"}, owns: map[string]uint32{"bob": 2, "ann": 2}},
		{name: "A7 one person already", before: []event.Fact{track("ann", "phone")}, fact: alias("phone", "ann"), person: 1},
		{name: "A8 equal ids", before: []event.Fact{user("ann")}, fact: alias("ann", "ann"), person: 1},
		{name: "A8 equal ids make nobody", fact: alias("ann", "ann"), refused: RefusedUnknown, owns: map[string]uint32{"ann": 0}},

		{name: "E1 erased user", before: []event.Fact{track("ann", "phone")}, erase: 1, fact: user("ann"), refused: RefusedErased, owns: map[string]uint32{"ann": 0, "phone": 0}},
		{name: "E1 erased device", before: []event.Fact{track("ann", "phone")}, erase: 1, fact: device("phone"), refused: RefusedErased},
		{name: "E1 erased with a merged device", before: []event.Fact{user("ann"), device("phone"), track("ann", "phone")}, erase: 2, fact: device("phone"), refused: RefusedErased,
			owns: map[string]uint32{"ann": 0, "phone": 0}},
		{name: "E1 another device does not bring them back", before: []event.Fact{user("ann"), device("tablet")}, erase: 1, fact: track("ann", "tablet"), refused: RefusedErased,
			owns: map[string]uint32{"tablet": 2}},
		{name: "E2 a new consent begins a new number", before: []event.Fact{track("ann", "phone")}, erase: 1, fact: agreed, person: 2, isNew: true, owns: map[string]uint32{"ann": 2, "phone": 2}},
		{name: "E2 for a device alone", before: []event.Fact{track("", "phone")}, erase: 1, fact: deviceAgreed, person: 2, isNew: true, owns: map[string]uint32{"phone": 2}},
		{name: "E3 somebody else on an erased person's device", before: []event.Fact{track("ann", "phone"), user("bob")}, erase: 1, fact: track("bob", "phone"), person: 2,
			owns: map[string]uint32{"bob": 2, "phone": 2, "ann": 0}},
		{name: "E4 alias to the erased", before: []event.Fact{user("ann"), device("phone")}, erase: 1, fact: alias("phone", "ann"), refused: RefusedErased},
		{name: "E4 alias from the erased", before: []event.Fact{user("ann"), user("bob")}, erase: 1, fact: alias("ann", "bob"), refused: RefusedErased},

		{name: "N1 by number", before: []event.Fact{user("ann")}, fact: event.Fact{Kind: event.Track, Person: 1, Name: event.NotificationSent}, person: 1},
		{name: "N2 by a merged number", before: []event.Fact{user("ann"), device("phone"), track("ann", "phone")}, fact: event.Fact{Kind: event.Due, Person: 2}, person: 1},
		{name: "N3 by an erased number", before: []event.Fact{user("ann")}, erase: 1, fact: event.Fact{Kind: event.Track, Person: 1, Name: event.NotificationSent}, refused: RefusedErased},
		{name: "N4 by a number never given", fact: event.Fact{Kind: event.Track, Person: 7, Name: event.NotificationSent}, refused: RefusedUnknown},
		{name: "N5 nobody", fact: track("", ""), refused: RefusedNobody},
		{name: "N6 no person concerned", fact: event.Fact{Kind: event.Programme, Name: event.TypeCampaign}},
		{name: "N7 erasing somebody", before: []event.Fact{user("ann")}, fact: event.Fact{Kind: event.Erase, User: "ann"}, person: 1},
		{name: "N8 erasing nobody", fact: event.Fact{Kind: event.Erase, User: "ann"}, refused: RefusedUnknown, owns: map[string]uint32{"ann": 0}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Options{Merge: row.merge})
			h.apply(row.before...)
			if row.erase != 0 {
				h.erase(row.erase)
			}
			got := h.one(row.fact)
			if got.Person != row.person || got.New != row.isNew || got.Refused != row.refused {
				t.Errorf("person %d new %v refused %q, want %d %v %q", got.Person, got.New, got.Refused, row.person, row.isNew, row.refused)
			}
			if (got.Merged == nil) != (row.merged == nil) || got.Merged != nil && *got.Merged != *row.merged {
				t.Errorf("merged %+v, want %+v", got.Merged, row.merged)
			}
			for again := range 2 {
				for id, n := range row.owns {
					if found := h.found(id); found != n {
						t.Errorf("round %d: %q is %d, want %d", again, id, found, n)
					}
				}
				h.reopen()
			}
		})
	}
}
