package people

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

// told is an identify that tells addresses.
func told(user, device string, addresses ...event.Address) event.Fact {
	f := identify(user, device)
	f.Addresses = addresses
	return f
}

// has compares the addresses of a person, newest first.
func (h *house) has(n uint32, want ...string) {
	h.t.Helper()
	var got []string
	for _, a := range h.person(n).Addresses {
		got = append(got, a.Value)
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("person %d has %q, want %q", n, got, want)
	}
}

// reached compares who is reached by a channel.
func (h *house) reached(channel string, want ...uint32) {
	h.t.Helper()
	if got := h.Snapshot().Reachable(channel).ToArray(); !slices.Equal(got, want) {
		h.t.Errorf("by %s %v are reached, want %v", channel, got, want)
	}
}

func TestAddressesAreListedNewestFirst(t *testing.T) {
	h := open(t, Options{})
	h.apply(told("ann", "", email("old@x")), told("ann", "", email("new@x")), told("ann", "", email(" OLD@x ")))
	for range 2 {
		h.has(1, "new@x", " OLD@x ") // told again, it keeps its place
		h.reopen()
	}
	gone := email("new@X")
	gone.Removed = true
	h.apply(told("ann", "", gone))
	h.has(1, " OLD@x ")
	h.reached("email", 1)
	h.apply(told("ann", "", event.Address{Channel: "email", Removed: true}))
	h.has(1)
	h.reached("email")
	r := h.one(told("ann", "", event.Address{Channel: "pigeon", Value: "x"}, event.Address{Channel: "sms"}))
	if !slices.Equal(r.Dropped, []string{"channels.pigeon", "channels.sms"}) {
		t.Errorf("dropped %q", r.Dropped)
	}
}

func TestTheOldestAddressOfAChannelGoes(t *testing.T) {
	h := open(t, Options{})
	h.apply(told("ann", "", email("ann@x")))
	for i := range maxAddresses {
		h.apply(told("ann", "", token(fmt.Sprint("T", i))))
	}
	p := h.person(1)
	if len(p.Addresses) != maxAddresses || p.Addresses[0].Value != fmt.Sprint("T", maxAddresses-1) {
		t.Errorf("%d addresses, the newest %q", len(p.Addresses), p.Addresses[0].Value)
	}
	for _, a := range p.Addresses {
		if a.Value == "T0" {
			t.Error("the oldest token is still there")
		}
	}
	h.reached("email", 1)
}

// A push token is of one device, and whoever is on it has it.
func TestTokensGoWithTheDevice(t *testing.T) {
	t.Run("the device moves", func(t *testing.T) {
		h := open(t, Options{})
		h.apply(told("ann", "phone", token("T"), email("ann@x")), told("ann", "tablet", token("U")))
		h.apply(track("bob", "phone"))
		for range 2 {
			h.has(1, "U", "ann@x")
			h.has(2)
			h.reached("push", 1)
			h.reopen()
		}
	})
	t.Run("from a merged number", func(t *testing.T) {
		h := open(t, Options{})
		h.apply(told("", "phone", token("T")), track("ann", ""), track("ann", "phone"), track("bob", "phone"))
		for range 2 {
			h.has(2)
			h.reached("push")
			h.reopen()
		}
		h.apply(event.Fact{Kind: event.Demerge, User: "ann"})
		h.has(1)
		h.has(2)
		h.reached("push")
	})
	t.Run("told by another", func(t *testing.T) {
		h := open(t, Options{})
		h.apply(told("ann", "phone", token("T")), told("bob", "", token("T")))
		for range 2 {
			h.has(1)
			h.has(2, "T")
			h.reached("push", 2)
			h.reopen()
		}
	})
	t.Run("an e-mail address may be shared", func(t *testing.T) {
		h := open(t, Options{})
		h.apply(told("ann", "phone", email("we@x")), told("bob", "", email("WE@x")))
		h.reached("email", 1, 2)
	})
}

func TestBouncesSuppress(t *testing.T) {
	for _, row := range []struct {
		name       string
		bounce     event.Fact
		suppressed []string
		reachable  bool
	}{
		{"soft", bounce(1, "email", "soft"), nil, true},
		{"hard, of the newest", bounce(1, "email", "hard"), []string{"new@x"}, true},
		{"hard, of one", bounce(1, "email", "hard", email("OLD@x")), []string{"old@x"}, true},
		{"hard, of both", bounce(1, "email", "hard", email("old@x"), email("new@x")), []string{"old@x", "new@x"}, false},
		{"complaint", bounce(1, "email", "complaint"), []string{"new@x"}, true},
		{"push names none", bounce(1, "push", "hard"), nil, true},
		{"push names one", bounce(1, "push", "hard", token("T")), []string{"T"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Options{})
			h.apply(told("ann", "", email("old@x")), told("ann", "", email("new@x"), token("T")), told("bob", "", email("new@x")))
			h.apply(row.bounce)
			for range 2 {
				for _, a := range []event.Address{email("old@x"), email("new@x"), token("T")} {
					if got := h.Suppressed(a.Channel, a.Value); got != slices.Contains(row.suppressed, a.Value) {
						t.Errorf("%s suppressed %v", a.Value, got)
					}
				}
				r := h.Snapshot().Reachable("email")
				if r.Contains(1) != row.reachable || r.Contains(2) == slices.Contains(row.suppressed, "new@x") {
					t.Errorf("reachable %v", r.ToArray())
				}
				if len(h.person(1).Addresses) != 3 {
					t.Error("a suppressed address is still theirs")
				}
				h.reopen()
			}
		})
	}
	t.Run("the next bounce is of the next address", func(t *testing.T) {
		h := open(t, Options{})
		h.apply(told("ann", "", email("old@x")), told("ann", "", email("new@x")), bounce(1, "email", "hard"), bounce(1, "email", "hard"))
		if !h.Suppressed("email", "old@x") {
			t.Error("the second bounce suppressed nothing")
		}
		h.reached("email")
	})
}

// Of a push it is known by which platforms somebody is reached: until the token
// is taken by somebody else, or they are erased, and also after a restart.
func TestPlatformsAreReachedEach(t *testing.T) {
	h := open(t, Options{})
	token := func(platform, value string) event.Address {
		return event.Address{Channel: "push", Platform: platform, Value: value}
	}
	on := func(when, platform string, want ...uint32) {
		t.Helper()
		if got := h.Snapshot().ReachableOn(platform).ToArray(); !slices.Equal(got, want) {
			t.Errorf("%s, by %s %v are reached, want %v", when, platform, got, want)
		}
	}
	h.apply(told("ann", "", token("fcm", "a"), token("apns", "b")), told("bob", "", token("fcm", "c")), told("eve", "", email("eve@x")))
	on("at first", "fcm", 1, 2)
	on("at first", "apns", 1)
	on("at first", "webpush")
	h.apply(told("bob", "", token("apns", "b")))
	on("when a phone changed hands", "apns", 2)
	h.erase(2)
	on("after an erasure", "fcm", 1)
	on("after an erasure", "apns")
	h.reopen()
	on("after a restart", "fcm", 1)
	on("after a restart", "apns")
}

// TestAWebhookReachesWhoHasAnID: by no address, from the moment that the person is
// known on, after a restart too.
func TestAWebhookReachesWhoHasAnID(t *testing.T) {
	h := open(t, Options{})
	h.apply(identify("", "phone"))
	h.reached("webhook")
	h.apply(identify("ann", "phone"), identify("bob", ""), identify("", "tablet"))
	for range 2 {
		h.reached("webhook", 1, 2)
		h.reopen()
	}
	h.apply(event.Fact{Kind: event.Alias, Previous: "tablet", User: "cid"})
	h.reached("webhook", 1, 2, 3)
	h.erase(2)
	for range 2 {
		h.reached("webhook", 1, 3)
		h.reopen()
	}
}
