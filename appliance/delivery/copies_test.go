package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// owner is somebody with a phone, whose library had its token renewed, a tablet,
// and a browser, known in this order; a push by the purpose "capped" may go to them.
func (h *house) owner(user string) uint32 {
	h.t.Helper()
	n := h.person(user)
	h.identify(user, event.Fact{Consents: []event.Consent{{Purpose: "capped", Channel: "push", Granted: true, Source: "form"}}})
	h.on(user, "phone", "fcm", "old")
	h.on(user, "phone", "fcm", "new")
	h.on(user, "tablet", "apns", "slate")
	h.on(user, "browser", "webpush", "tab")
	return n
}

// on has a device of somebody's tell its token.
func (h *house) on(user, device, platform, token string) {
	h.t.Helper()
	h.identify(user, event.Fact{Device: user + "-" + device, Addresses: []event.Address{{Channel: "push", Platform: platform, Value: user + "-" + token}}})
}

// push is an intention to push to them.
func (h *house) push(person uint32, cause string, change ...func(in *Intention)) Intention {
	in := h.want(person, cause, append([]func(*Intention){func(in *Intention) {
		in.Campaign, in.Channel, in.Purpose = "alert", "push", "capped"
	}}, change...)...)
	return in
}

// family gives the messages to a person's devices, that which was decided on first.
func (h *house) family(in Intention) (all []Decision) {
	h.t.Helper()
	all = append(all, h.settles(in.Message))
	r, err := h.d.find(in.Message)
	h.try(err)
	who, err := h.Recipient(in.Person)
	h.try(err)
	i, _ := parseID(in.Message)
	for _, a := range who.Addresses {
		sum := h.keys.Hash("delivery copy", i[:], h.d.device(&who, a))
		if _, err := h.d.find(id(sum[:16]).String()); err == nil && !slices.ContainsFunc(all, func(d Decision) bool { return d.Message == id(sum[:16]).String() }) {
			all = append(all, h.settles(id(sum[:16]).String()))
		}
	}
	if len(all) != 1+r.Copies {
		h.t.Fatalf("%d copies are found, and the message says %d", len(all)-1, r.Copies)
	}
	return all
}

// tokens are those that were handed over, in order of their names.
func (h *house) tokens() (to []string) {
	for _, m := range h.got() {
		to = append(to, strings.TrimPrefix(m.To, "ann-"))
	}
	slices.Sort(to)
	return to
}

func pushHouse(t *testing.T) *house {
	h := newHouse(t, nil)
	h.campaigns["alert"] = Content{Title: "Hi {{ Profile.Name }}", Text: "{{ Event.sku }}"}
	h.use(Route{Name: "push"})
	return h
}

// TestPushGoesToEveryDevice: once each, to the latest token of each, and it
// counts once.
func TestPushGoesToEveryDevice(t *testing.T) {
	h := pushHouse(t)
	ann := h.owner("ann")
	h.d.Start()
	in := h.push(ann, "a")
	h.enqueue(in)
	all := h.family(in)
	if got := fmt.Sprint(h.tokens()); got != "[new slate tab]" {
		t.Errorf("it went to %s", got)
	}
	for n, d := range all {
		if d.State != Sent || n == 0 && (d.Copies != 2 || d.CopyOf != "") || n > 0 && (d.Copies != 0 || d.CopyOf != in.Message) {
			t.Errorf("message %d: %+v", n, d)
		}
	}
	sent := h.told(event.NotificationSent)
	copies := 0
	for _, f := range sent {
		if of := lookup(f, event.PropCopyOf); of != "" {
			if copies++; of != in.Message {
				t.Errorf("%+v", f)
			}
		}
	}
	if len(sent) != 3 || copies != 2 {
		t.Errorf("%d are told as sent, %d of them copies", len(sent), copies)
	}
	for _, m := range h.got() {
		if m.Subject != "Hi N-ann" || m.Text != "a&b" {
			t.Errorf("%+v", m)
		}
	}
	// The purpose allows two a day, and what went to three devices is one.
	second, third := h.push(ann, "b"), h.push(ann, "c")
	h.enqueue(second)
	h.family(second)
	h.enqueue(third)
	if all := h.family(third); len(all) != 1 || all[0].Reason != ReasonCap {
		t.Errorf("%+v", all)
	}
	if n := len(h.tokens()); n != 6 {
		t.Errorf("%d were handed over", n)
	}
	fourth := h.push(ann, "d", func(in *Intention) {
		in.Purpose, in.Platforms = "service", []string{"fcm", "apns"}
	})
	h.enqueue(fourth)
	if all := h.family(fourth); len(all) != 2 {
		t.Errorf("of two platforms: %+v", all)
	}
	if got := fmt.Sprint(h.tokens()[6:]); len(h.tokens()) != 8 || strings.Count(fmt.Sprint(h.tokens()), "tab") != 2 {
		t.Errorf("of two platforms it went to %s", got)
	}
}

// TestOneDeadDevice: that one of several devices is gone takes nothing from the
// others, and what they got counts.
func TestOneDeadDevice(t *testing.T) {
	for _, dead := range []string{"ann-tab", "ann-new"} { // that which was decided on, and a copy
		t.Run(dead, func(t *testing.T) {
			h := pushHouse(t)
			h.answers("push", func(batch []connector.Message) (outs []connector.Outcome, err error) {
				for _, m := range batch {
					o := connector.Outcome{ID: m.ID, Result: connector.Accepted}
					if m.To == dead {
						o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneRemoved}
					}
					outs = append(outs, o)
				}
				return outs, nil
			})
			ann := h.owner("ann")
			h.d.Start()
			in := h.push(ann, "a")
			h.enqueue(in)
			failed := ""
			for _, d := range h.family(in) {
				if d.State == Failed {
					failed += d.Message
				} else if d.State != Sent {
					t.Errorf("%+v", d)
				}
			}
			if n := len(h.told(event.AppUninstalled)); n != 1 || len(failed) != 32 {
				t.Errorf("%d are told to be gone; failed is %q", n, failed)
			}
			// Replayed it goes to that device alone, and counts no second time.
			h.on("ann", strings.TrimPrefix(map[string]string{"ann-tab": "ann-browser", "ann-new": "ann-phone"}[dead], "ann-"), map[string]string{"ann-tab": "webpush", "ann-new": "fcm"}[dead], "fresh")
			out, err := h.d.Replay([]string{failed}, false)
			h.try(err)
			if d := h.settles(out[0].As); d.State != Sent || d.Copies != 0 {
				t.Errorf("%+v", d)
			}
			if got := h.got(); len(got) != 4 || got[3].To != "ann-fresh" {
				t.Errorf("%d went, the last to %s", len(got), got[len(got)-1].To)
			}
			second, third := h.push(ann, "b"), h.push(ann, "c")
			h.enqueue(second)
			h.family(second)
			h.enqueue(third)
			if d := h.settles(third.Message); d.Reason != ReasonCap {
				t.Errorf("what is over the cap: %+v", d)
			}
		})
	}
}

// TestCopiesPassTheGate: what happens after the first device was served holds
// the others, and each is told.
func TestCopiesPassTheGate(t *testing.T) {
	for _, c := range []struct {
		what   string
		do     func(h *house)
		reason string // of both copies
	}{
		{"nothing", func(*house) {}, ""},
		{"the consent is withdrawn", func(h *house) {
			h.identify("ann", event.Fact{Consents: []event.Consent{{Purpose: "capped", Channel: "push", Source: "form"}}})
		}, ReasonConsent},
		{"the campaign ends", func(h *house) { h.unwanted["alert"] = "it has ended" }, ReasonUnqualified},
		{"it is too late", func(h *house) { h.advance(25 * time.Hour) }, ReasonExpired},
		{"a crash", func(h *house) { h.restart() }, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := pushHouse(t)
			in := h.push(h.owner("ann"), "a")
			h.enqueue(in)
			h.attempt(in.Message)
			c.do(h)
			h.d.Start()
			all := h.family(in)
			if len(all) != 3 || all[0].State != Lost {
				t.Fatalf("%+v", all)
			}
			for _, d := range all[1:] {
				if c.reason == "" && d.State != Sent || c.reason != "" && (d.State != Held || d.Reason != c.reason) {
					t.Errorf("%+v", d)
				}
			}
			want := map[bool]string{true: "[new slate]", false: "[]"}[c.reason == ""]
			if got := fmt.Sprint(h.tokens()); got != want {
				t.Errorf("it went to %s, want %s", got, want)
			}
		})
	}
}

// TestRenewedTokenOfACopy: a device that told another token while its copy waited
// gets it there; a device that is new by then gets none.
func TestRenewedTokenOfACopy(t *testing.T) {
	h := pushHouse(t)
	in := h.push(h.owner("ann"), "a")
	h.enqueue(in)
	h.attempt(in.Message)
	h.on("ann", "phone", "fcm", "newest")
	h.on("ann", "watch", "apns", "wrist")
	h.d.Start()
	h.family(in)
	if got := fmt.Sprint(h.tokens()); got != "[newest slate]" {
		t.Errorf("it went to %s", got)
	}
}

// TestForgetDropsCopies: they wait under the person's name as any message does.
func TestForgetDropsCopies(t *testing.T) {
	h := pushHouse(t)
	ann := h.owner("ann")
	in := h.push(ann, "a")
	h.enqueue(in)
	h.attempt(in.Message)
	h.try(h.db.Update(func(t *txn) error { return h.d.Forget(t, ann) }))
	h.d.Start()
	for _, d := range h.family(in)[1:] {
		if d.State != Held || d.Reason != ReasonErased {
			t.Errorf("%+v", d)
		}
	}
	if got := h.tokens(); len(got) != 0 {
		t.Errorf("it went to %s", got)
	}
}

// TestDevicesAreBounded: the latest ten get it.
func TestDevicesAreBounded(t *testing.T) {
	h := pushHouse(t)
	ann := h.owner("ann")
	for i := range 2 * maxDevices {
		h.on("ann", fmt.Sprint("d", i), "fcm", fmt.Sprint("t", i))
	}
	h.d.Start()
	in := h.push(ann, "a")
	h.enqueue(in)
	if all := h.family(in); len(all) != maxDevices {
		t.Errorf("%d messages", len(all))
	}
	if got := h.tokens(); len(got) != maxDevices || slices.Contains(got, "t9") || !slices.Contains(got, "t10") {
		t.Errorf("it went to %s", got)
	}
}

// attempt carries a message up to its attempt, and no further, as a crash would.
func (h *house) attempt(message string) {
	h.t.Helper()
	i, _ := parseID(message)
	entries, err := h.d.gather([]id{i})
	h.try(err)
	h.d.prepare(entries[0])
	going, _, _, err := h.d.record(entries, nil)
	h.try(err)
	if len(going) != 1 {
		h.t.Fatalf("%d go", len(going))
	}
}
