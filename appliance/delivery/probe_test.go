package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// phones registers n people's devices, by a platform, and gives all there are.
func (h *house) phones(platform string, n int) *roaring.Bitmap {
	h.t.Helper()
	for i := range n {
		user := fmt.Sprint(platform, i)
		h.identify(user, event.Fact{Addresses: []event.Address{{Channel: "push", Platform: platform, Value: "token-" + user}}})
		who, _ := h.people.Find(user)
		h.audience.Add(who)
	}
	return h.audience
}

// asks is a probe, and what the connectors were handed of it.
func (h *house) asks(who *roaring.Bitmap, days int) (Probed, []connector.Message) {
	h.t.Helper()
	h.mu.Lock()
	before := len(h.handed)
	h.mu.Unlock()
	out, err := h.d.Probe(h.t.Context(), who, days)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return out, h.handed[before:]
}

// TestProbe: devices are asked once a day, silently, over a restart too; which are
// no more is told with its reason, and they are asked after no more.
func TestProbe(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "push"})
	h.answers("push", func(batch []connector.Message) (outs []connector.Outcome, err error) {
		for _, m := range batch {
			o := connector.Outcome{ID: m.ID, Result: connector.Accepted}
			switch m.To {
			case "token-fcm1":
				o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneStale}
			case "token-apns2":
				o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassAddress}
			case "token-fcm3":
				o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassConfig}
			case "token-fcm4":
				o = connector.Outcome{ID: m.ID, Result: connector.Unknown}
			}
			outs = append(outs, o)
		}
		return outs, nil
	})
	h.phones("fcm", 250)
	h.phones("apns", 20)
	who := h.phones("webpush", 5) // would show something
	if out, _ := h.asks(who, 1); out != (Probed{}) {
		t.Errorf("who registered just now is asked: %+v", out)
	}
	h.advance(24 * time.Hour)
	out, got := h.asks(who, 1)
	if out != (Probed{Asked: 270, Gone: 2}) {
		t.Errorf("%+v", out)
	}
	once := map[string]int{}
	for _, m := range got {
		if once[m.To]++; once[m.To] > 1 || m.Push == nil || !m.Push.Silent || m.Subject+m.Text != "" || m.Platform == "webpush" || m.AddressSince.IsZero() {
			t.Errorf("%+v", m)
		}
	}
	reasons := map[string]string{}
	for _, f := range h.told(event.AppUninstalled) {
		reasons[f.Addresses[0].Value] = event.Lookup(f.Props, event.PropReason).Text()
	}
	if len(reasons) != 2 || reasons["token-fcm1"] != "stale" || reasons["token-apns2"] != "removed" || !h.people.Suppressed("push", "token-fcm1") || h.people.Suppressed("push", "token-fcm3") {
		t.Errorf("%v", reasons)
	}
	for _, name := range []string{event.NotificationSent, event.NotificationFailed, event.NotificationBounced} {
		if n := len(h.told(name)); n != 0 {
			t.Errorf("%d of %q", n, name)
		}
	}
	h.restart()
	if out, _ := h.asks(who, 1); out != (Probed{}) {
		t.Errorf("a second time on the same day: %+v", out)
	}
	h.advance(24 * time.Hour)
	if out, _ := h.asks(who, 1); out != (Probed{Asked: 268}) {
		t.Errorf("on the next day: %+v", out)
	}
}

// TestProbeInParts: with more days each device has its own.
func TestProbeInParts(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "push"})
	h.answers("push", with(connector.Outcome{Result: connector.Accepted}))
	who := h.phones("fcm", 60)
	once := map[string]int{}
	for range 3 {
		h.advance(24 * time.Hour)
		out, got := h.asks(who, 3)
		if out.Asked == 0 || out.Asked == 60 || out.Asked != len(got) {
			t.Errorf("%+v", out)
		}
		for _, m := range got {
			once[m.To]++
		}
	}
	for to, n := range once {
		if n != 1 {
			t.Errorf("%s is asked %d times", to, n)
		}
	}
	if len(once) != 60 {
		t.Errorf("%d are asked", len(once))
	}
}

// TestProbeFails: what was not told is asked again, and a connector that is paused
// is left alone.
func TestProbeFails(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "push"})
	h.answers("push", func(batch []connector.Message) (outs []connector.Outcome, err error) {
		for _, m := range batch {
			o := connector.Outcome{ID: m.ID, Result: connector.Accepted}
			if m.To == "token-fcm0" {
				o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassAddress}
			}
			outs = append(outs, o)
		}
		return outs, nil
	})
	who := h.phones("fcm", 5)
	h.advance(24 * time.Hour)
	h.mu.Lock()
	h.refuses = 1
	h.mu.Unlock()
	if _, err := h.d.Probe(t.Context(), who, 1); err == nil || !strings.Contains(err.Error(), "the journal is full") {
		t.Errorf("%v", err)
	}
	if out, _ := h.asks(who, 1); out != (Probed{Asked: 5, Gone: 1}) || len(h.told(event.AppUninstalled)) != 1 {
		t.Errorf("%+v, %d told", out, len(h.told(event.AppUninstalled)))
	}
	if err := h.d.Pause("push"); err != nil {
		t.Fatal(err)
	}
	h.advance(24 * time.Hour)
	if out, got := h.asks(who, 1); out != (Probed{Skipped: 4}) || len(got) != 0 {
		t.Errorf("%+v", out)
	}
}

// TestProbeDoubted: a connector that says of all devices that they are no more is
// not believed.
func TestProbeDoubted(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "push"})
	h.answers("push", with(connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}))
	who := h.phones("fcm", 50)
	h.advance(24 * time.Hour)
	if out, _ := h.asks(who, 1); out.Gone != 0 || len(h.told(event.AppUninstalled)) != 0 || h.d.Route("push").Paused.IsZero() {
		t.Errorf("%+v", out)
	}
}

// TestProbeUnderRate: a rate makes it slow, and nobody is left out for it.
func TestProbeUnderRate(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "push", Rate: 100})
	h.answers("push", with(connector.Outcome{Result: connector.Accepted}))
	who := h.phones("fcm", 300)
	h.advance(24 * time.Hour)
	begun, done := h.clock(), make(chan struct{})
	var out Probed
	var err error
	go func() {
		defer close(done)
		out, err = h.d.Probe(t.Context(), who, 1)
	}()
	h.until("all are asked", func() bool {
		h.advance(5 * time.Millisecond)
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	if took := h.clock().Sub(begun); err != nil || out != (Probed{Asked: 300}) || took < 1500*time.Millisecond {
		t.Errorf("%+v in %v: %v", out, took, err)
	}
}
