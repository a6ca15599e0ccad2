package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestHeld(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(h *house, ann uint32)
		change func(in *Intention)
		reason string
	}{
		{"no consent known", nil, func(in *Intention) { in.Channel = "sms" }, ReasonConsent},
		{"another purpose's consent", func(h *house, _ uint32) {
			h.identify("ann", event.Fact{Consents: []event.Consent{{Purpose: "offers", Channel: "email"}}})
		}, nil, ReasonConsent},
		{"a general withdrawal", func(h *house, _ uint32) {
			h.identify("ann", event.Fact{Consents: []event.Consent{{Purpose: "offers"}}})
		}, nil, ReasonConsent},
		{"an unknown purpose", nil, func(in *Intention) { in.Purpose = "spam" }, ReasonPurpose},
		{"no address", func(h *house, _ uint32) {
			h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "email", Removed: true}}})
		}, nil, ReasonUnreachable},
		{"an address of two lines", func(h *house, _ uint32) {
			h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "email", Removed: true}}})
			h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "email", Value: "ann@example.com\r\nBcc: x"}}})
		}, nil, ReasonUnreachable},
		{"suppressed", func(h *house, ann uint32) {
			h.apply(event.Fact{Kind: event.Track, Person: ann, Name: event.NotificationBounced, Time: 1, Props: []event.Prop{{Key: "kind", Value: event.OfText("hard")}, {Key: "channel", Value: event.OfText("email")}}})
		}, nil, ReasonSuppressed},
		{"the campaign is gone", func(h *house, _ uint32) { delete(h.campaigns, "news") }, nil, ReasonGone},
		{"the campaign has ended", func(h *house, _ uint32) { h.unwanted["news"] = "the campaign has ended" }, nil, ReasonUnqualified},
		{"too late", nil, func(in *Intention) { in.Expires = begin.Add(-time.Second).UnixMicro() }, ReasonExpired},
		{"not meant any more", func(h *house, _ uint32) { h.set("news", func(c *Content) { c.People = []byte(`{}`) }) }, nil, ReasonUnqualified},
		{"aborted", func(h *house, _ uint32) {
			h.set("news", func(c *Content) { c.HTML = "{% if Profile.City == blank %}{% abort_message('no city') %}{% endif %}" })
		}, nil, ReasonAborted},
		{"a template that fails", func(h *house, _ uint32) {
			h.set("news", func(c *Content) { c.Subject = "{{ 1 | divided_by: Event.nothing }}" })
		}, nil, ReasonTemplate},
		{"a template that runs for ever", func(h *house, _ uint32) {
			h.set("news", func(c *Content) { c.HTML = "{% for i in (1..99999999) %}x{% endfor %}" })
		}, nil, ReasonTemplate},
		{"nothing to say", func(h *house, _ uint32) {
			h.set("news", func(c *Content) { c.Subject, c.HTML = "{{ Profile.none }}", "" })
		}, nil, ReasonTemplate},
		{"nobody of that number", nil, func(in *Intention) { in.Person = 99 }, ReasonErased},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			ann := h.person("ann")
			if c.set != nil {
				c.set(h, ann)
			}
			var change []func(in *Intention)
			if c.change != nil {
				change = append(change, c.change)
			}
			in := h.want(ann, "x", change...)
			h.enqueue(in)
			h.d.Start()
			d := h.settles(in.Message)
			if d.State != Held || d.Reason != c.reason {
				t.Errorf("%s: %s (%s)", d.State, d.Reason, d.Detail)
			}
			if len(h.got()) != 0 {
				t.Error("it was handed over")
			}
			if facts := h.told(event.NotificationHeld); in.Person == ann && (len(facts) != 1 || lookup(facts[0], "reason") != c.reason || facts[0].Person != ann) {
				t.Errorf("%+v", facts)
			}
			if s := h.d.Stats(); s.Waiting[in.Channel] != 0 || s.Held != 1 || s.ByReason[c.reason] != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestWithdrawalBeforeHandOff: what was acknowledged before the hand-off counts,
// though the message was rendered already.
func TestWithdrawalBeforeHandOff(t *testing.T) {
	for name, f := range map[string]event.Fact{
		"withdrawn": {Kind: event.Identify, Consents: []event.Consent{{Purpose: "offers", Channel: "email"}}},
		"erased":    {Kind: event.Erase},
		"moved":     {Kind: event.Identify, Addresses: []event.Address{{Channel: "email", Value: "new@example.com"}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			ann := h.person("ann")
			in := h.want(ann, "x")
			h.before = func() {
				f.Person, f.ID, f.Time = ann, "withdrawal", begin.UnixMicro()
				if err := h.Append(t.Context(), []event.Fact{f}); err != nil { // acknowledged
					t.Error(err)
				}
			}
			h.enqueue(in)
			h.d.Start()
			d := h.settles(in.Message)
			switch name {
			case "withdrawn":
				if d.Reason != ReasonConsent || d.Consent == nil || d.Consent.Granted || len(h.got()) != 0 {
					t.Errorf("%+v", d)
				}
			case "erased":
				if d.Reason != ReasonErased || len(h.got()) != 0 || len(h.told(event.NotificationHeld)) != 0 {
					t.Errorf("%+v", d)
				}
			case "moved":
				if d.State != Sent || h.got()[0].To != "new@example.com" {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

// TestTrackingWithdrawn: a pixel is only there with the consent that there is
// at the hand-off.
func TestTrackingWithdrawn(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Tracking = "tracking" })
	ann := h.person("ann")
	h.identify("ann", event.Fact{Consents: []event.Consent{{Purpose: "tracking", Granted: true}}})
	in := h.want(ann, "x")
	h.before = func() {
		h.Append(t.Context(), []event.Fact{{Kind: event.Identify, Person: ann, Time: begin.UnixMicro(), Consents: []event.Consent{{Purpose: "tracking"}}}})
	}
	h.enqueue(in)
	h.d.Start()
	if d := h.settles(in.Message); d.State != Sent || d.Tracked {
		t.Errorf("%+v", d)
	}
	if m := h.got()[0]; strings.Contains(m.HTML, "<img") || strings.Contains(m.HTML, "/c/") {
		t.Error(m.HTML)
	}
}

func TestQuietHours(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Quiet = QuietHours{From: 21 * 60, To: 8 * 60} })
	ann, far := h.person("ann"), h.person("far")
	h.identify("far", event.Fact{Changes: []event.Change{{Key: "tz", Value: event.OfText("Asia/Tokyo")}}}) // 21:00 there
	h.d.Start()
	at := func(d time.Duration, in Intention) Decision {
		t.Helper()
		h.enqueue(in)
		h.until("it waits", func() bool { return h.explain(in.Message).QuietUntil != nil })
		return h.explain(in.Message)
	}
	first, second := h.want(ann, "x"), h.want(far, "x")
	h.enqueue(first)
	if d := h.settles(first.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	if d := at(0, second); !d.QuietUntil.Equal(time.Date(2026, 3, 2, 23, 0, 0, 0, time.UTC)) || !d.Due.Equal(*d.QuietUntil) {
		t.Errorf("%+v", d)
	}
	order := h.want(far, "order", func(in *Intention) { in.Class, in.Purpose = Transactional, "service" })
	h.enqueue(order)
	if d := h.settles(order.Message); d.State != Sent {
		t.Errorf("what is transactional waits: %+v", d)
	}
	short := h.want(far, "short", func(in *Intention) { in.Expires = h.clock().Add(time.Hour).UnixMicro() })
	h.enqueue(short)
	if d := h.settles(short.Message); d.State != Held || d.Reason != ReasonQuiet {
		t.Errorf("%+v", d)
	}
	h.advance(10*time.Hour + 59*time.Minute)
	if d := h.explain(second.Message); d.State != Waiting {
		t.Errorf("%+v", d)
	}
	h.advance(time.Minute)
	if d := h.settles(second.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
}

func TestQuietEnds(t *testing.T) {
	d := &Delivery{o: Options{Location: time.UTC}}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q     QuietHours
		now   time.Time
		zone  string
		quiet bool
		until time.Time
	}{
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 2, 20, 59, 0, 0, time.UTC), "", false, time.Time{}},
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 2, 21, 0, 0, 0, time.UTC), "", true, time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC)},
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 3, 7, 59, 0, 0, time.UTC), "", true, time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC)},
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC), "", false, time.Time{}},
		{QuietHours{12 * 60, 14 * 60}, time.Date(2026, 3, 3, 13, 0, 0, 0, time.UTC), "", true, time.Date(2026, 3, 3, 14, 0, 0, 0, time.UTC)},
		{QuietHours{12 * 60, 14 * 60}, time.Date(2026, 3, 3, 14, 0, 0, 0, time.UTC), "", false, time.Time{}},
		{QuietHours{}, time.Date(2026, 3, 3, 3, 0, 0, 0, time.UTC), "", false, time.Time{}},
		// The night in which the clocks go forward.
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 28, 22, 0, 0, 0, berlin), "Europe/Berlin", true, time.Date(2026, 3, 29, 8, 0, 0, 0, berlin)},
		// A zone that is none is the publisher's.
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), "../../etc/passwd", false, time.Time{}},
		{QuietHours{21 * 60, 8 * 60}, time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), "Local", false, time.Time{}},
	} {
		d.o.Quiet = c.q
		until, quiet := d.quiet([]event.Prop{{Key: d.o.TZ, Value: event.OfText(c.zone)}}, c.now)
		if quiet != c.quiet || quiet && !until.Equal(c.until) {
			t.Errorf("%+v at %v: %v, %v", c.q, c.now, quiet, until)
		}
	}
}

func TestCaps(t *testing.T) {
	h := newHouse(t, nil)
	ann := h.person("ann")
	h.d.Start()
	send := func(cause string) Decision {
		t.Helper()
		in := h.want(ann, cause, func(in *Intention) { in.Purpose = "capped" })
		h.enqueue(in)
		return h.settles(in.Message)
	}
	h.answer(connector.Outcome{Result: connector.Refused, Class: connector.ClassContent})
	if d := send("refused"); d.State != Failed { // gives its place back
		t.Errorf("%+v", d)
	}
	h.answer(connector.Outcome{Result: connector.Accepted})
	for i, want := range []string{Sent, Sent, Held} {
		if d := send(fmt.Sprint(i)); d.State != want || d.Cap.Messages != min(i, 2) || d.Cap.Allowed != 2 || d.Cap.Per != "24h0m0s" {
			t.Errorf("%d: %+v %+v", i, d, d.Cap)
		}
		h.advance(time.Hour)
	}
	h.restart()
	h.d.Start()
	if d := send("after a restart"); d.State != Held || d.Reason != ReasonCap {
		t.Errorf("%+v", d)
	}
	h.advance(21*time.Hour + time.Second) // the first leaves the window
	if d := send("next day"); d.State != Sent {
		t.Errorf("%+v", d)
	}
	// A campaign's own limit, for ever.
	h.set("news", func(c *Content) { c.LimitMessages = 1 })
	in := h.want(ann, "a")
	h.enqueue(in)
	if d := h.settles(in.Message); d.State != Sent || d.Limit == nil {
		t.Errorf("%+v", d)
	}
	h.advance(1000 * time.Hour)
	in = h.want(ann, "b")
	h.enqueue(in)
	if d := h.settles(in.Message); d.State != Held || d.Reason != ReasonLimit {
		t.Errorf("%+v", d)
	}
}

// TestControl: some would have got the message and do not, always the same;
// they use up nothing that another campaign's messages need.
func TestControl(t *testing.T) {
	h := newHouse(t, nil)
	h.set("news", func(c *Content) { c.Control, c.LimitMessages = 40, 2 })
	h.d.Start()
	var people []uint32
	for i := range 60 {
		people = append(people, h.person(fmt.Sprint("p", i)))
	}
	round := func(cause string, change ...func(*Intention)) map[uint32]Decision {
		var ins []Intention
		for _, p := range people {
			ins = append(ins, h.want(p, cause, change...))
		}
		h.enqueue(ins...)
		out := map[uint32]Decision{}
		for _, in := range ins {
			out[in.Person] = h.settles(in.Message)
		}
		return out
	}
	capped := func(in *Intention) { in.Purpose = "capped" } // 2 messages
	first, second := round("a", capped), round("b", capped)
	withheld := 0
	for _, p := range people {
		a, b := first[p], second[p]
		if a.State != b.State || a.State != Sent && a.Reason != ReasonControl || a.Reason == ReasonControl && (a.State != Held || a.Detail == "") {
			t.Errorf("%+v, then %+v", a, b)
		}
		if a.State == Held {
			withheld++
		}
	}
	if withheld < 10 || withheld > 40 {
		t.Errorf("%d of 60 are the 40 %%", withheld)
	}
	if n := len(h.told(event.NotificationHeld)); n != 2*withheld {
		t.Errorf("%d messages were told as held", n)
	}
	// The campaign's own limit is used up by both alike, the purpose's cap by
	// those who got something. And what is transactional goes to everybody.
	h.set("other", func(c *Content) { *c = Content{Text: "hello", Subject: "hello"} })
	for p, d := range round("c") {
		if d.Reason != ReasonLimit {
			t.Errorf("%d: %+v", p, d)
		}
	}
	for p, d := range round("d", func(in *Intention) { in.Purpose, in.Campaign = "capped", "other" }) {
		if first[p].State == Held && d.State != Sent || first[p].State == Sent && d.Reason != ReasonCap {
			t.Errorf("%d: %+v", p, d)
		}
	}
	h.set("news", func(c *Content) { c.LimitMessages = 0 })
	for p, d := range round("e", func(in *Intention) { in.Class = Transactional }) {
		if d.State != Sent {
			t.Errorf("%d: %+v", p, d)
		}
	}
}

// TestCapsUnderConcurrency: many workers, one place.
func TestCapsUnderConcurrency(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers, o.Batch = 8, 1 })
	ann := h.person("ann")
	var ins []Intention
	for i := range 24 {
		ins = append(ins, h.want(ann, fmt.Sprint(i), func(in *Intention) { in.Purpose = "capped" }))
	}
	h.enqueue(ins...)
	h.d.Start()
	for _, in := range ins {
		h.settles(in.Message)
	}
	if n := len(h.got()); n != 2 {
		t.Errorf("%d of 2 allowed", n)
	}
}

// TestMerged: two numbers that became one person get one message of a run.
func TestMerged(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	ann, bob := h.person("ann"), h.person("bob")
	a, b := h.want(ann, "run:1"), h.want(bob, "run:1")
	other := h.want(bob, "run:2")
	h.enqueue(a, b)
	h.apply(event.Fact{Kind: event.Alias, ID: "alias", User: "ann", Previous: "bob", Time: begin.UnixMicro()})
	if len(h.people.Numbers(ann)) != 2 {
		t.Fatal("not merged")
	}
	h.d.Start()
	x, y := h.settles(a.Message), h.settles(b.Message)
	if x.State == y.State || x.Reason+y.Reason != ReasonDuplicate || x.Person != y.Person {
		t.Errorf("%+v\n%+v", x, y)
	}
	if n := len(h.got()); n != 1 {
		t.Errorf("%d messages", n)
	}
	// What the winner withdraws holds for what was meant for the loser.
	h.apply(event.Fact{Kind: event.Identify, ID: "no", User: "ann", Time: begin.UnixMicro() + 1, Consents: []event.Consent{{Purpose: "offers", Channel: "email"}}})
	h.enqueue(other)
	if d := h.settles(other.Message); d.Reason != ReasonConsent || d.Person != h.people.Numbers(ann)[0] {
		t.Errorf("%+v", d)
	}
}

func TestErased(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	ann, bob := h.person("ann"), h.person("bob")
	sent := h.want(ann, "before")
	h.enqueue(sent)
	h.d.Start()
	h.settles(sent.Message)
	// One waits for its time, one is on its way.
	later := h.want(ann, "later", func(in *Intention) { in.At = begin.Add(time.Hour).UnixMicro() })
	flying := h.want(ann, "flying")
	erased := make(chan struct{})
	h.mu.Lock()
	h.send = func(batch []connector.Message) (outs []connector.Outcome, err error) {
		for _, m := range batch {
			outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Again})
		}
		<-erased
		return outs, nil
	}
	h.mu.Unlock()
	h.enqueue(later, flying)
	h.until("it is on its way", func() bool { return len(h.got()) == 2 })
	h.apply(event.Fact{Kind: event.Erase, ID: "e", Person: ann, Time: begin.UnixMicro()})
	close(erased)
	if d := h.settles(later.Message); d.State != Held || d.Reason != ReasonErased {
		t.Errorf("%+v", d)
	}
	h.until("the one on its way comes back", func() bool { return h.explain(flying.Message).State == Waiting })
	h.advance(2 * time.Hour)
	if d := h.settles(flying.Message); d.State != Held || d.Reason != ReasonErased {
		t.Errorf("%+v", d)
	}
	if n := len(h.got()); n != 2 {
		t.Errorf("%d messages", n)
	}
	for _, in := range []Intention{sent, later, flying} {
		if m, err := h.d.Message(in.Message); err == nil {
			t.Errorf("%+v", m)
		}
	}
	if err := h.d.Receipts(t.Context(), "email", "relay", []connector.Receipt{{MessageID: sent.Message, Kind: connector.Opened}}); err != nil {
		t.Error(err)
	}
	if got := h.told(event.NotificationViewed); len(got) != 0 {
		t.Errorf("%v", got)
	}
	// Bob is somebody else.
	h.mu.Lock()
	h.send = nil
	h.mu.Unlock()
	in := h.want(bob, "x")
	h.enqueue(in)
	if d := h.settles(in.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	if s := h.d.Stats(); s.Waiting["email"] != 0 {
		t.Errorf("%+v", s)
	}
}

func TestPausedCampaign(t *testing.T) {
	h := newHouse(t, nil)
	h.set("news", func(c *Content) { c.Paused = true })
	h.campaigns["other"] = h.campaigns["news"]
	h.set("other", func(c *Content) { c.Paused = false })
	var ins []Intention
	for i := range 5 {
		ins = append(ins, h.want(h.person(fmt.Sprint("u", i)), "x"))
	}
	h.enqueue(ins...)
	h.d.Start()
	h.until("all are parked", func() bool { return h.d.Stats().Waiting["email"] == 0 })
	if len(h.got()) != 0 {
		t.Fatal("sent while paused")
	}
	h.restart()
	h.d.Start()
	free := h.want(1, "y", func(in *Intention) { in.Campaign = "other" })
	h.enqueue(free)
	if d := h.settles(free.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	// One is erased meanwhile.
	h.apply(event.Fact{Kind: event.Erase, ID: "e", User: "u4", Time: begin.UnixMicro()})
	h.set("news", func(c *Content) { c.Paused = false })
	h.until("they come back", func() bool { h.advance(2 * time.Second); return len(h.got()) == 5 })
	for i, in := range ins {
		d := h.settles(in.Message)
		if i < 4 && d.State != Sent || i == 4 && d.Reason != ReasonErased {
			t.Errorf("%+v", d)
		}
	}
	if s := h.d.Stats(); s.Waiting["email"] != 0 || h.d.counts.parked.Load() != 0 {
		t.Errorf("%+v, %d parked", s, h.d.counts.parked.Load())
	}
	// Paused until they expire, and until the campaign is deleted.
	h.set("news", func(c *Content) { c.Paused = true })
	h.set("other", func(c *Content) { c.Paused = true })
	a, b := h.want(1, "late"), h.want(1, "gone", func(in *Intention) { in.Campaign = "other" })
	h.enqueue(a, b)
	h.until("both are parked", func() bool { return h.d.Stats().Waiting["email"] == 0 })
	h.mu.Lock()
	delete(h.campaigns, "other")
	h.mu.Unlock()
	h.until("it is held", func() bool { h.advance(2 * time.Second); return h.explain(b.Message).State == Held })
	if d := h.settles(b.Message); d.Reason != ReasonGone {
		t.Errorf("%+v", d)
	}
	h.advance(25 * time.Hour)
	h.until("it is held", func() bool { h.advance(2 * time.Second); return h.explain(a.Message).State == Held })
	if d := h.settles(a.Message); d.Reason != ReasonExpired {
		t.Errorf("%+v", d)
	}
}

// TestTroubleStaysAlone: a campaign whose audience cannot be asked keeps no
// other waiting, and goes on when it can.
func TestTroubleStaysAlone(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	ann := h.person("ann")
	h.campaigns["other"] = h.campaigns["news"]
	h.set("news", func(c *Content) { c.People = []byte(`{"segment":"gone"}`) })
	h.broken = `{"segment":"gone"}`
	h.audience.Add(ann)
	stuck := h.want(ann, "x")
	late := h.want(ann, "y", func(in *Intention) { in.Expires = h.clock().Add(10 * time.Second).UnixMicro() })
	other := h.want(ann, "x", func(in *Intention) { in.Campaign = "other" })
	h.enqueue(stuck, late, other)
	h.d.Start()
	if d := h.settles(other.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	if d := h.settles(late.Message); d.Reason != ReasonExpired || d.Detail == "" {
		t.Errorf("%+v", d)
	}
	if d := h.explain(stuck.Message); d.State != Waiting || !d.Due.Equal(begin.Add(time.Minute)) {
		t.Errorf("%+v", d)
	}
	h.mu.Lock()
	h.broken = ""
	h.mu.Unlock()
	h.advance(time.Minute)
	if d := h.settles(stuck.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
}

// TestNothingIsTooMuch: an event that is too large to keep costs the message
// what it says of the event, never the applier.
func TestNothingIsTooMuch(t *testing.T) {
	h := newHouse(t, nil)
	var huge []event.Prop
	for i := range 250 {
		huge = append(huge, event.Prop{Key: fmt.Sprint(i), Value: event.OfText(strings.Repeat("x", 4000))})
	}
	in := h.want(h.person("ann"), "x", func(in *Intention) { in.Props = huge })
	h.enqueue(in)
	h.d.Start()
	if d := h.settles(in.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	for _, bad := range []Intention{{Message: "x"}, h.want(1, "y", func(in *Intention) { in.Channel = "fax" }), h.want(1, "y", func(in *Intention) { in.Class = "spam" })} {
		if err := h.db.Update(func(t *txn) error { return h.d.Enqueue(t, bad) }); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
