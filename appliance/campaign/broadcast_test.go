package campaign

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

func (h *house) state(id string) string {
	h.t.Helper()
	s, err := h.c.Get(id)
	if err != nil {
		h.t.Fatal(err)
	}
	if s.Progress == nil {
		return ""
	}
	return s.Progress.State
}

// begins waits for the run's fact and applies it.
func (h *house) begins() {
	h.t.Helper()
	h.until("the run is told", func() bool { return len(h.told()) == 1 })
	if f := h.told()[0]; f.Kind != event.Run || f.Person != 0 {
		h.t.Fatalf("%+v", f)
	}
	h.pump()
}

func TestBroadcast(t *testing.T) {
	h := newHouse(t)
	h.audience.AddRange(1, 2501)
	h.c.Start()
	h.programme("news", once("news", "running", ""), 0)
	h.begins()
	h.until("all are enqueued", func() bool { return h.state("news") == RunDone })
	got := h.sent()
	if len(got) != 2500 {
		t.Fatalf("%d messages", len(got))
	}
	for i, in := range got {
		if in.Person != uint32(i+1) || in.Campaign != "news" || !strings.HasPrefix(in.Cause, "run:") || in.Revision != 1 {
			t.Fatalf("%+v", in)
		}
	}
	if s, _ := h.c.Get("news"); s.Progress.Audience != 2500 || s.Progress.Enqueued != 2500 || s.Progress.Ended == nil {
		t.Errorf("%+v", s.Progress)
	}
	// It runs once.
	h.programme("news", once("news", "paused", ""), time.Hour)
	h.programme("news", once("news", "running", ""), time.Hour)
	h.restart()
	h.c.Start()
	h.advance(time.Hour)
	if h.state("news") != RunDone || len(h.told()) != 0 {
		t.Errorf("%s %v", h.state("news"), h.told())
	}
	// Deleted and made anew it is another.
	h.advance(time.Hour)
	h.programme("news", "", 2*time.Hour)
	h.programme("news", once("news", "running", ""), 2*time.Hour)
	h.begins()
	h.until("all are enqueued again", func() bool { return h.state("news") == RunDone })
	if n := len(h.sent()); n != 5000 {
		t.Errorf("%d messages", n)
	}
}

// TestBroadcastRestarts: killed anywhere, everybody frozen gets one message, and
// nobody who came or went later does.
func TestBroadcastRestarts(t *testing.T) {
	for _, stop := range []string{RunWaiting, RunBegun, "frozen", "chunk 1", "chunk 2"} {
		t.Run(stop, func(t *testing.T) {
			h := newHouse(t)
			h.audience.AddRange(1, 2501)
			h.programme("news", once("news", "running", ""), 0)
			// Without workers: each step by hand, then death.
			run := event.Fact{}
			facts, _, _, err := h.c.dueTimers(h.clock(), map[string]bool{})
			if err != nil || len(facts) != 1 {
				t.Fatal(facts, err)
			}
			run = facts[0]
			if stop != RunWaiting {
				h.apply(run)
			}
			turn := func(n int) {
				for range n {
					if _, _, err := newBroadcasts(h.c).turn(); err != nil {
						t.Fatal(err)
					}
				}
			}
			frozen := stop != RunWaiting && stop != RunBegun
			switch stop {
			case "frozen":
				turn(1)
			case "chunk 1":
				turn(2)
			case "chunk 2":
				turn(3)
			}
			h.restart()
			if frozen { // who comes now is too late; who is erased is not meant any more
				h.audience.AddRange(3000, 3100)
				if err := h.keys.DestroyPerson(2500); err != nil {
					t.Fatal(err)
				}
			}
			h.c.Start()
			if stop == RunWaiting {
				h.begins()
			}
			h.until("all are enqueued", func() bool { return h.state("news") == RunDone })
			want := 2500
			if frozen {
				want = 2499
			}
			var persons []uint32
			for _, in := range h.sent() {
				persons = append(persons, in.Person)
			}
			if len(persons) != want || len(slices.Compact(persons)) != want || persons[0] != 1 {
				t.Errorf("%d messages to %d persons", len(h.sent()), len(persons))
			}
		})
	}
}

func TestBroadcastAtATime(t *testing.T) {
	h := newHouse(t)
	h.audience.AddRange(1, 4)
	h.c.Start()
	at := func(d time.Duration) string { return fmt.Sprintf(`,"at":%q`, begin.Add(d).Format(time.RFC3339)) }
	h.programme("news", once("news", "running", at(time.Hour)), 0)
	h.advance(30 * time.Minute)
	h.programme("news", once("news", "running", at(2*time.Hour)), 0) // moved
	h.advance(time.Hour)
	if h.state("news") != RunWaiting || len(h.told()) != 0 {
		t.Errorf("%s, %v", h.state("news"), h.told())
	}
	h.advance(time.Hour)
	h.begins()
	h.until("all are enqueued", func() bool { return h.state("news") == RunDone })
	if n := len(h.sent()); n != 3 {
		t.Errorf("%d messages", n)
	}
	// One whose time passed while the daemon was down, longer than it may be late.
	h.programme("late", strings.Replace(once("late", "running", at(3*time.Hour)), `"name":"n"`, `"name":"n","missed":"drop"`, 1), 0)
	h.advance(4 * time.Hour)
	h.begins()
	if h.state("late") != RunMissed || len(h.sent()) != 3 {
		t.Errorf("%s", h.state("late"))
	}
	// An empty audience is done at once.
	h.audience.Clear()
	h.programme("empty", once("empty", "running", ""), 7*time.Hour)
	h.advance(10 * time.Hour)
	h.begins()
	h.until("it is done", func() bool { return h.state("empty") == RunDone || h.nudge() })
}

// nudge lets a worker look again.
func (h *house) nudge() bool { h.c.Committed(); h.poke(); return false }

func TestPauseAndEnd(t *testing.T) {
	for _, last := range []string{"running", "ended"} {
		h := newHouse(t)
		h.audience.AddRange(1, 2501)
		h.programme("news", once("news", "running", ""), 0)
		facts, _, _, err := h.c.dueTimers(h.clock(), map[string]bool{})
		if err != nil {
			t.Fatal(err)
		}
		h.apply(facts...)
		frozen := newBroadcasts(h.c)
		for range 2 {
			if _, _, err := frozen.turn(); err != nil {
				t.Fatal(err)
			}
		}
		h.programme("news", once("news", "paused", ""), 0)
		if worked, _, err := frozen.turn(); worked || err != nil {
			t.Errorf("it goes on while paused, %v", err)
		}
		if n := len(h.sent()); n != chunk {
			t.Errorf("%d messages", n)
		}
		h.c.Start()
		h.programme("news", once("news", last, ""), 0)
		if last == "ended" {
			if h.state("news") != RunStopped || len(h.sent()) != chunk {
				t.Errorf("%s", h.state("news"))
			}
			continue
		}
		h.until("it goes on", func() bool { return h.state("news") == RunDone })
		if n := len(h.sent()); n != 2500 {
			t.Errorf("%d messages", n)
		}
	}
}

// TestTroubleStaysAlone: a run whose audience cannot be asked keeps no other
// waiting, and begins when it can.
func TestTroubleStaysAlone(t *testing.T) {
	h := newHouse(t)
	h.audience.AddRange(1, 2501)
	h.broken = `{"segment":"gone"}`
	h.programme("bad", strings.Replace(once("bad", "running", ""), `"audience":{}`, `"audience":{"segment":"gone"}`, 1), 0)
	h.programme("good", once("good", "running", ""), 0)
	h.c.Start()
	h.until("both are told", func() bool { return len(h.told()) == 2 })
	h.pump()
	h.until("the good one is done", func() bool { return h.state("good") == RunDone })
	if s := h.state("bad"); s != RunBegun {
		t.Errorf("%s", s)
	}
	h.mu.Lock()
	h.broken = ""
	h.mu.Unlock()
	h.until("the other too", func() bool { h.advance(time.Second); return h.state("bad") == RunDone })
	if n := len(h.sent()); n != 5000 {
		t.Errorf("%d messages", n)
	}
}

// TestLargeAudience: an audience of many pieces is frozen too.
func TestLargeAudience(t *testing.T) {
	h := newHouse(t)
	for i := uint32(1); i < 60_000_000; i += 7 { // nothing that run lengths could shorten
		h.audience.Add(i)
	}
	h.programme("news", once("news", "running", ""), 0)
	facts, _, _, err := h.c.dueTimers(h.clock(), map[string]bool{})
	if err != nil {
		t.Fatal(err)
	}
	h.apply(facts...)
	for range 2 {
		if _, _, err := newBroadcasts(h.c).turn(); err != nil { // nothing is in memory: it is read back each time
			t.Fatal(err)
		}
	}
	s, err := h.c.Get("news")
	if err != nil || s.Progress.Audience != h.audience.GetCardinality() || s.Progress.Enqueued != chunk {
		t.Errorf("%+v, %v", s.Progress, err)
	}
	h.programme("news", "", 0)
}
