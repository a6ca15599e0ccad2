package publisher

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// names are the events on a person's timeline, the oldest first.
func (h *house) names(identity string) (out []string) {
	h.t.Helper()
	rows, err := h.Timeline(context.Background(), identity, 0, 100, true)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, r.Name)
	}
	return out
}

func wantNames(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func TestWhoOptedOutIsNotCollected(t *testing.T) {
	h := open(t)
	at := time.Now().UnixMicro() - 1000
	fact := func(f event.Fact) event.Fact {
		at++
		f.Time, f.Received = at, at
		return f
	}
	did := func(user, device, name string) event.Fact {
		return fact(event.Fact{Kind: event.Track, User: user, Device: device, Name: name})
	}
	opt := func(user, device string, in bool) event.Fact {
		return fact(event.Fact{Kind: event.Identify, User: user, Device: device, Consents: []event.Consent{{Purpose: event.PurposeCollection, Granted: in}}})
	}
	h.tell(did("", "phone", "Before"), opt("", "phone", false), did("", "phone", "Hidden"), did("ann", "tablet", "Elsewhere"),
		did("ann", "phone", "Signed in"), did("ann", "tablet", "Hidden too"), opt("ann", "", true), did("ann", "tablet", "After"))
	for range 2 {
		wantNames(t, "timeline", h.names("ann"), "Before", event.ConsentChanged, "Elsewhere", event.IdentityMerged, event.ConsentChanged, "After")
		if h.OptedOut("phone") {
			t.Error("still out")
		}
		h.reopen()
	}
}

// A demerge gives each device's events back to whoever they were before.
func TestDemergeGivesEventsBack(t *testing.T) {
	h := open(t)
	at := time.Now().UnixMicro() - 1000
	did := func(user, device, name string) event.Fact {
		at++
		return event.Fact{Kind: event.Track, User: user, Device: device, Name: name, Time: at, Received: at}
	}
	h.tell(did("", "phone", "Browsed"), did("ann", "desk", "Bought"), did("ann", "phone", "Signed in"))
	wantNames(t, "joined", h.names("ann"), "Browsed", "Bought", "Signed in", event.IdentityMerged)
	parted, err := h.Demerge(context.Background(), "ann")
	if err != nil || parted != 1 {
		t.Fatal(parted, err)
	}
	for range 2 {
		wantNames(t, "ann", h.names("ann"), "Bought", "Signed in", event.IdentityMerged)
		wantNames(t, "the phone", h.names("phone"), "Browsed")
		h.reopen()
	}
	if parted, err := h.Demerge(context.Background(), "ann"); err != nil || parted != 0 {
		t.Error("parted twice:", parted, err)
	}
	if _, err := h.Demerge(context.Background(), "nobody"); err == nil {
		t.Error("nobody was parted")
	}
}

// What two numbers of one person did at the same instant keeps what is personal
// of it, the newest first or the oldest, and in an export.
func TestPersonalPropertiesStayWithTheirEvent(t *testing.T) {
	h := open(t)
	at := time.Now().Add(-time.Hour).UnixMicro()
	paid := func(user, device, card string) event.Fact {
		v := event.OfText(card)
		return event.Fact{Kind: event.Track, User: user, Device: device, Name: "Paid", Time: at,
			Props: []event.Prop{{Key: "own", Value: v}, {Key: "card", Value: v, Personal: true}}}
	}
	// The number that loses is the lower one, and what it did lies last.
	h.tell(event.Fact{Kind: event.Track, Device: "phone", Name: "Opened", Time: at - 1},
		paid("ann", "", "1"), paid("", "phone", "2"), paid("ann", "", "3"), paid("", "phone", "4"),
		event.Fact{Kind: event.Identify, User: "ann", Device: "phone"})
	check := func(how string, props []event.Prop) {
		t.Helper()
		if own, card := event.Lookup(props, "own").Text(), event.Lookup(props, "card").Text(); own != card {
			t.Errorf("%s: the event of card %s has card %q", how, own, card)
		}
	}
	for _, asc := range []bool{true, false} {
		for limit := 1; limit <= 8; limit++ {
			rows, err := h.Timeline(t.Context(), "ann", 0, limit, asc)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if r.Name == "Paid" {
					check(fmt.Sprintf("a timeline, limit %d, the oldest first: %t", limit, asc), r.Props)
				}
			}
		}
	}
	lines := h.export("events", ExportOptions{Events: []string{"Paid"}, Personal: true}).lines
	if len(lines) != 4 {
		t.Errorf("exported were %q", lines)
	}
	for _, line := range lines {
		var r struct{ Props struct{ Own, Card string } }
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Props.Own != r.Props.Card {
			t.Errorf("exported: %s (%v)", line, err)
		}
	}
}
