package publisher

import (
	"context"
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
