package people

import (
	"slices"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Unknown is no; a channel's own decision wins over the general one; a later
// general one ends those about channels.
func TestWhichDecisionCounts(t *testing.T) {
	yes, no := true, false
	type said struct {
		channel string
		granted bool
	}
	for _, row := range []struct {
		name    string
		said    []said
		allowed map[string]*bool // nil is no decision
	}{
		{"nothing", nil, map[string]*bool{"": nil, "email": nil}},
		{"general yes", []said{{"", yes}}, map[string]*bool{"": &yes, "email": &yes, "sms": &yes}},
		{"general no", []said{{"", no}}, map[string]*bool{"": &no, "email": &no}},
		{"one channel", []said{{"email", yes}}, map[string]*bool{"": nil, "email": &yes, "sms": nil}},
		{"channel taken back", []said{{"", yes}, {"email", no}}, map[string]*bool{"": &no, "email": &no, "sms": &yes}},
		{"channel under a general no", []said{{"", no}, {"email", yes}}, map[string]*bool{"": &no, "email": &yes, "sms": &no}},
		{"general ends channels", []said{{"email", no}, {"", yes}}, map[string]*bool{"": &yes, "email": &yes}},
		{"general no ends channels", []said{{"email", yes}, {"", no}}, map[string]*bool{"": &no, "email": &no}},
		{"the latest", []said{{"email", yes}, {"email", no}, {"email", yes}}, map[string]*bool{"email": &yes}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Options{})
			h.apply(track("ann", ""))
			for _, s := range row.said {
				f := identify("ann", "")
				f.Consents = []event.Consent{consent("offers", s.channel, s.granted)}
				h.apply(f)
			}
			for range 2 {
				for channel, want := range row.allowed {
					ok, d := h.Allowed(1, "offers", channel)
					if ok != (want != nil && *want) || (d == ConsentState{}) != (want == nil) {
						t.Errorf("%q: %v by %+v", channel, ok, d)
					}
					if h.Snapshot().Consented("offers", channel).Contains(1) != ok {
						t.Errorf("%q: the bitmap says otherwise", channel)
					}
				}
				if ok, _ := h.Allowed(1, "other", "email"); ok {
					t.Error("another purpose")
				}
				h.reopen()
			}
		})
	}
}

func TestLedgerHoldsEachDecisionInOrder(t *testing.T) {
	h := open(t, Options{})
	give := func(id, ref, source string, c event.Consent) Resolved {
		f := identify("ann", "")
		f.ID, f.Ref = id, ref
		c.Source = source
		f.Consents = []event.Consent{c}
		return h.one(f)
	}
	first := give("f1", "", "sdk", consent("offers", "", true))
	repeat := give("f2", "", "sdk", consent("offers", "", true))
	notice := give("f3", "", "form", consent("offers", "", true))
	gone := give("f4", "msg-1", "unsubscribe link", consent("offers", "email", false))
	for i, want := range []struct {
		got   Resolved
		names []string
	}{
		{first, []string{event.ConsentChanged}}, {repeat, nil}, {notice, nil},
		{gone, []string{event.ConsentChanged, event.ChannelUnsubscribed}},
	} {
		var names []string
		for _, e := range want.got.Events {
			names = append(names, e.Name)
			if e.Person != 1 || e.Time == 0 {
				t.Errorf("%d: an event of person %d at %d", i, e.Person, e.Time)
			}
		}
		if !slices.Equal(names, want.names) {
			t.Errorf("%d: events %v, want %v", i, names, want.names)
		}
	}
	if m := event.Lookup(gone.Events[1].Props, event.PropMessage); m.Text() != "msg-1" {
		t.Errorf("unsubscribed from %q", m.Text())
	}
	for range 2 {
		lines, err := h.Ledger(1)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, l := range lines {
			ids = append(ids, l.Fact+l.Ref)
		}
		if !slices.Equal(ids, []string{"f1", "f3", "f4msg-1"}) {
			t.Errorf("ledger %v", ids)
		}
		h.reopen()
	}
}

func TestConsentThatDoesNotFitIsDropped(t *testing.T) {
	h := open(t, Options{})
	f := identify("ann", "", attr("city", "Pune"))
	f.Consents = []event.Consent{consent("", "email", true), consent("offers", "pigeon", true), consent("news", "sms", true)}
	if r := h.one(f); !slices.Equal(r.Dropped, []string{"consent.", "consent.offers"}) {
		t.Errorf("dropped %q", r.Dropped)
	}
	if ok, _ := h.Allowed(1, "news", "sms"); !ok {
		t.Error("the rest of the fact was not taken")
	}
	wantAttrs(t, h.person(1), "city", "Pune")
}

// The ceiling of purposes counts those that somebody decided on, whether the
// daemon was restarted since or not.
func TestPurposesOfNobodyDoNotCount(t *testing.T) {
	h := open(t, Options{})
	h.apply(annFact())
	h.erase(1)
	live := len(h.consent)
	h.reopen()
	if loaded := len(h.consent); live != loaded || loaded != 0 {
		t.Errorf("%d purposes and channels before reopening, %d after", live, loaded)
	}
}
