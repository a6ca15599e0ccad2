package delivery

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// devices makes n people with a token each and a push for each of them.
func (h *house) devices(n int, token string) (ins []Intention) {
	h.t.Helper()
	h.set("news", func(c *Content) { *c = Content{Text: "hi"} })
	for i := range n {
		user := fmt.Sprintf("%s%d", token, i)
		h.identify(user, event.Fact{
			Consents:  []event.Consent{{Purpose: "offers", Channel: "push", Granted: true, Source: "app"}},
			Addresses: []event.Address{{Channel: "push", Platform: "apns", Value: user}},
		})
		who, _ := h.people.Find(user)
		ins = append(ins, h.want(who, "run", func(in *Intention) { in.Channel = "push" }))
	}
	h.enqueue(ins...)
	return ins
}

var dead = with(connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneInvalid, Reason: "BadDeviceToken"})

// endedTokens counts the tokens that are no more.
func (h *house) endedTokens(ins []Intention, token string) (n int) {
	h.pump()
	for i := range ins {
		if h.people.Suppressed("push", fmt.Sprintf("%s%d", token, i)) {
			n++
		}
	}
	return n
}

// TestDoubt: a connector that says of every token that it is no more ends none,
// is paused, over a restart too, and its messages go when it is set right and
// resumed.
func TestDoubt(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "apple"})
	h.answers("apple", dead)
	ins := h.devices(300, "t")
	h.d.Start()
	h.until("it is in doubt", func() bool { return h.d.Route("apple").Doubt != "" && h.d.Route("apple").InFlight == 0 })
	h.until("all wait", func() bool { return h.d.Stats().Waiting["push"] == len(ins) })
	contains(t, h.d.Route("apple").Doubt, "is it set to the right environment")
	since, before := h.d.Route("apple").Paused, len(h.got())
	h.restart()
	h.d.Start()
	for range 5 {
		h.advance(10 * time.Minute)
		h.rest()
	}
	if r := h.d.Route("apple"); r.Doubt == "" || !r.Paused.Equal(since) || len(h.got()) != before {
		t.Errorf("after a restart %+v, and %d more were handed over", r, len(h.got())-before)
	}
	if n := h.endedTokens(ins, "t"); n != 0 {
		t.Errorf("%d tokens are no more", n)
	}
	h.answers("apple", with(connector.Outcome{Result: connector.Accepted}))
	h.try(h.d.Resume("apple"))
	h.advance(time.Hour)
	for _, in := range ins {
		if d := h.settles(in.Message); d.State != Sent {
			t.Fatalf("%+v", d)
		}
	}
	if r := h.d.Route("apple"); r.Doubt != "" || !r.Paused.IsZero() {
		t.Errorf("%+v", r)
	}
}

// TestBelieved: resumed once it is looked at anew, resumed twice it is believed.
func TestBelieved(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "apple"})
	h.answers("apple", dead)
	ins := h.devices(100, "t")
	h.d.Start()
	for range 2 {
		h.until("it is in doubt", func() bool { return h.d.Route("apple").Doubt != "" && h.d.Stats().Waiting["push"] == len(ins) })
		if n := h.endedTokens(ins, "t"); n != 0 {
			t.Fatalf("%d tokens are no more", n)
		}
		h.try(h.d.Resume("apple"))
		h.advance(time.Hour)
	}
	for _, in := range ins {
		if d := h.settles(in.Message); d.State != Failed {
			t.Fatalf("%+v", d)
		}
	}
	if n := h.endedTokens(ins, "t"); n != len(ins) {
		t.Errorf("%d of %d tokens are no more", n, len(ins))
	}
}

// TestFewTokens: what is said of few tokens, of fewer than most, or on another
// channel is believed.
func TestFewTokens(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "one"})
	var mu sync.Mutex
	asked := 0
	h.answers("one", func(batch []connector.Message) (outs []connector.Outcome, err error) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			o := connector.Outcome{ID: m.ID, Result: connector.Accepted}
			if asked++; asked%3 > 0 { // two of three
				o.Result, o.Class = connector.Refused, connector.ClassAddress
			}
			outs = append(outs, o)
		}
		return outs, nil
	})
	h.d.Start()
	for _, in := range h.devices(10, "t") {
		h.settles(in.Message)
	}
	for _, in := range h.devices(200, "u") {
		h.settles(in.Message)
	}
	h.answers("one", dead)
	for _, in := range h.run(200, "example.com") {
		if d := h.settles(in.Message); d.State != Failed {
			t.Fatalf("%+v", d)
		}
	}
	if r := h.d.Route("one"); r.Doubt != "" || !r.Paused.IsZero() {
		t.Errorf("%+v", r)
	}
}

// TestDoubtBound: of one that says of every token that it is no more, fewer than
// 20 are believed from its beginning, and fewer than 200 after whatever it said.
func TestDoubtBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := func(gone, good int) (outs []result) {
			for range gone {
				outs = append(outs, result{out: connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}})
			}
			for range good {
				outs = append(outs, result{out: connector.Outcome{Result: connector.Accepted}})
			}
			return outs
		}
		var q doubt
		bound := fewestSaid
		for range rapid.IntRange(0, 5).Draw(t, "batches before") {
			q.judge(batch(rapid.IntRange(0, 500).Draw(t, "gone"), rapid.IntRange(0, 500).Draw(t, "good")), begin)
			bound = 200
		}
		for ended := 0; q.why == ""; {
			n := rapid.IntRange(1, 500).Draw(t, "dead")
			if q.judge(batch(n, 0), begin) {
				ended += n
			}
			if ended >= bound {
				t.Fatalf("%d tokens ended", ended)
			}
		}
	})
}
