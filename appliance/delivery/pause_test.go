package delivery

import (
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func (h *house) try(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestPausedConnector: its messages go to the others of its channel, or wait,
// over a restart too, and go once when it is resumed.
func TestPausedConnector(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "a"}, Route{Name: "b"})
	h.try(h.d.Pause("a"))
	since := h.d.Route("a").Paused
	h.advance(time.Minute)
	h.try(h.d.Pause("a")) // changes nothing
	first := h.run(50, "one.example")
	h.restart()
	h.d.Start()
	for _, in := range first {
		if d := h.settles(in.Message); d.State != Sent || d.Attempts[0].Connector != "b" {
			t.Fatalf("%+v", d)
		}
	}
	if !since.Equal(begin) || !h.d.Route("a").Paused.Equal(since) {
		t.Errorf("paused since %v, and after a restart since %v", since, h.d.Route("a").Paused)
	}
	h.try(h.d.Pause("b"))
	all := h.run(50, "two.example")
	for range 10 {
		h.advance(time.Minute)
		h.rest()
	}
	if n := len(h.got()); n != len(first) || h.d.Stats().Waiting["email"] != len(all) {
		t.Errorf("%d were handed over while both were paused, %d wait", n-len(first), h.d.Stats().Waiting["email"])
	}
	h.try(h.d.Resume("a"))
	for _, in := range all {
		if d := h.settles(in.Message); d.State != Sent || len(h.via(in.Message)) != 1 || d.Attempts[0].Connector != "a" {
			t.Fatalf("%+v", d)
		}
	}
	h.restart()
	if !h.d.Route("a").Paused.IsZero() || h.d.Route("b").Paused.IsZero() {
		t.Error("a restart pauses, or resumes")
	}
}

// TestDrain: what a paused connector was given is answered, and it gets no more.
func TestDrain(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers, o.Batch = 1, 10 })
	h.use(Route{Name: "a"})
	hung, answer := make(chan struct{}, 1), make(chan struct{})
	h.answers("a", func(batch []connector.Message) ([]connector.Outcome, error) {
		hung <- struct{}{}
		<-answer
		return with(connector.Outcome{Result: connector.Accepted})(batch)
	})
	h.run(30, "example.com")
	h.d.Start()
	<-hung
	h.try(h.d.Pause("a"))
	if n := h.d.Route("a").InFlight; n != 10 {
		t.Errorf("%d in flight", n)
	}
	close(answer)
	h.until("it is drained", func() bool { return h.d.Route("a").InFlight == 0 && h.d.Stats().Sent == 10 })
	h.advance(time.Minute)
	h.rest()
	if n := len(h.got()); n != 10 {
		t.Errorf("%d were handed over", n)
	}
}
