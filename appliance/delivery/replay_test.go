package delivery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// listed walks a list to its end, a page of limit at a time.
func (h *house) listed(l Listing) (ids []string) {
	h.t.Helper()
	for {
		p, err := h.d.List(h.t.Context(), l)
		h.try(err)
		if len(p.Messages) > l.Limit {
			h.t.Fatalf("%d messages in a page of %d", len(p.Messages), l.Limit)
		}
		for _, d := range p.Messages {
			ids = append(ids, d.Message)
		}
		if l.After = p.Next; p.Next == "" {
			return ids
		}
	}
}

// TestList: by state, campaign, connector and time, the latest first, in pages.
func TestList(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	h.use(Route{Name: "a", Classes: []string{Marketing}}, Route{Name: "b", Classes: []string{Transactional}})
	h.campaigns["other"] = h.campaigns["news"]
	h.answer(connector.Outcome{Result: connector.Refused, Class: connector.ClassContent})
	h.d.Start()
	var all, other, transactional []string
	for i := range 25 {
		in := h.want(h.person(fmt.Sprint("u", i)), "x", func(in *Intention) {
			if i%3 == 0 {
				in.Campaign = "other"
			}
			if i%5 == 0 {
				in.Class = Transactional
			}
		})
		h.enqueue(in)
		if d := h.settles(in.Message); d.State != Failed {
			t.Fatalf("%+v", d)
		}
		h.advance(time.Minute)
		all = append([]string{in.Message}, all...)
		if i%3 == 0 {
			other = append([]string{in.Message}, other...)
		}
		if i%5 == 0 {
			transactional = append([]string{in.Message}, transactional...)
		}
	}
	at := func(minute int) time.Time { return begin.Add(time.Duration(minute) * time.Minute) }
	for _, c := range []struct {
		name string
		l    Listing
		want []string
	}{
		{"all", Listing{}, all},
		{"campaign", Listing{Campaign: "other"}, other},
		{"connector", Listing{Connector: "b"}, transactional},
		{"no such campaign", Listing{Campaign: "oth"}, nil},
		{"from", Listing{From: at(20)}, all[:5]},
		{"to", Listing{To: at(5)}, all[20:]},
		{"between", Listing{From: at(5), To: at(20)}, all[5:20]},
		{"unknown", Listing{State: Lost}, nil},
	} {
		for _, limit := range []int{1, 4, 100} {
			l := c.l
			if l.Limit = limit; l.State == "" {
				l.State = Failed
			}
			if got := h.listed(l); !slices.Equal(got, c.want) {
				t.Errorf("%s, by %d: %v, not %v", c.name, limit, got, c.want)
			}
		}
	}
	for _, l := range []Listing{{State: Sent}, {State: Failed, After: "x"}, {State: Failed, After: "00"}} {
		if _, err := h.d.List(t.Context(), l); !errors.Is(err, ErrList) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// TestReplay: a message that failed goes again as a new one, with what started
// it; one that is unknown only if it may come twice, and it counts once.
func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name  string
		first sender
		state string
		twice bool
		err   error
	}{
		{"failed", with(connector.Outcome{Result: connector.Refused, Class: connector.ClassContent}), Failed, false, nil},
		{"unknown", with(connector.Outcome{Result: connector.Unknown}), Lost, false, ErrPerhapsSent},
		{"unknown and may come twice", with(connector.Outcome{Result: connector.Unknown}), Lost, true, nil},
		{"sent", with(connector.Outcome{Result: connector.Accepted}), Sent, true, ErrNotOver},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.purposeCappedAtOne()
			h.answers("relay", c.first)
			ann := h.person("ann")
			old := h.want(ann, "x", func(in *Intention) { in.Purpose = "once" })
			h.enqueue(old)
			h.d.Start()
			h.settles(old.Message)
			h.answers("relay", nil)
			before := len(h.got())
			got, err := h.d.Replay([]string{old.Message}, c.twice)
			h.try(err)
			if !errors.Is(got[0].Err, c.err) || (got[0].As == "") != (c.err != nil) {
				t.Fatalf("%+v", got)
			}
			if c.err != nil {
				h.advance(time.Minute)
				h.rest()
				if n := len(h.got()); n != before || h.explain(old.Message).ReplayedAs != "" {
					t.Errorf("it went all the same: %d", n-before)
				}
				return
			}
			// However often.
			h.restart()
			h.d.Start()
			again, err := h.d.Replay([]string{old.Message, old.Message}, c.twice)
			h.try(err)
			if again[0].As != got[0].As || again[1].As != got[0].As {
				t.Errorf("%+v, then %+v", got, again)
			}
			d := h.settles(got[0].As)
			if d.State != Sent || d.ReplayOf != old.Message || d.Campaign != "news" || h.explain(old.Message).ReplayedAs != d.Message || h.explain(old.Message).State != c.state {
				t.Errorf("%+v\n%+v", d, h.explain(old.Message))
			}
			sent := h.got()[before:]
			if len(sent) != 1 || sent[0].ID != d.Message {
				t.Fatalf("%d were handed over", len(sent))
			}
			contains(t, sent[0].HTML, "a&amp;b") // of the event
		})
	}
}

// purposeCappedAtOne restarts it with a purpose of which one message a day goes.
func (h *house) purposeCappedAtOne() {
	tweak := h.tweak
	h.tweak = func(o *Options) {
		if tweak != nil {
			tweak(o)
		}
		o.Purposes["once"] = Purpose{Contract: true, Messages: 1, Per: 24 * time.Hour}
	}
	h.restart()
}

// TestReplayOfAReplay: each is a message of its own, that knows the first one.
func TestReplayOfAReplay(t *testing.T) {
	h := newHouse(t, nil)
	h.answer(connector.Outcome{Result: connector.Refused, Class: connector.ClassContent})
	first := h.want(h.person("ann"), "x")
	h.enqueue(first)
	h.d.Start()
	id := first.Message
	for range 3 {
		h.settles(id)
		got, err := h.d.Replay([]string{id}, false)
		h.try(err)
		if got[0].Err != nil || got[0].As == id {
			t.Fatalf("%+v", got)
		}
		id = got[0].As
	}
	h.settles(id)
	r, err := h.d.find(id)
	h.try(err)
	if r.origin() != first.Message {
		t.Errorf("its origin is %s", r.origin())
	}
	if n := len(h.got()); n != 4 {
		t.Errorf("handed over %d times", n)
	}
}

// TestReplayNobody: the erased get nothing, and what is not there is no message.
func TestReplayNobody(t *testing.T) {
	h := newHouse(t, nil)
	h.answer(connector.Outcome{Result: connector.Refused, Class: connector.ClassContent})
	in := h.want(h.person("ann"), "x")
	h.enqueue(in)
	h.d.Start()
	h.settles(in.Message)
	counter++
	h.try(h.Append(t.Context(), []event.Fact{{Kind: event.Erase, ID: fmt.Sprint("id", counter), User: "ann"}}))
	h.pump()
	got, err := h.d.Replay([]string{in.Message, "x", in.Campaign, "00000000000000000000000000000000"}, true)
	h.try(err)
	for n, want := range []error{ErrGone, ErrUnknown, ErrUnknown, ErrUnknown} {
		if !errors.Is(got[n].Err, want) {
			t.Errorf("%+v, not %v", got[n], want)
		}
	}
	if _, err := h.d.Replay(make([]string, MaxReplay+1), true); err == nil {
		t.Error("any number is taken")
	}
}
