package delivery

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

type txn = kv.Txn

// TestCrashAtEveryStep ends the process between any two steps of a hand-off:
// nobody gets anything twice, nobody is forgotten, every message has one fact.
func TestCrashAtEveryStep(t *testing.T) {
	for _, c := range []struct {
		step   string
		handed int
		state  string
		fact   string
	}{
		{"enqueued", 1, Sent, event.NotificationSent},
		{"rendered", 1, Sent, event.NotificationSent},
		{"attempt on disk", 0, Lost, event.NotificationFailed},
		{"handed over", 1, Lost, event.NotificationFailed},
		{"outcome on disk", 1, Sent, event.NotificationSent},
		{"fact appended", 1, Sent, event.NotificationSent},
		{"entry gone", 1, Sent, event.NotificationSent},
	} {
		t.Run(c.step, func(t *testing.T) {
			h := newHouse(t, nil)
			in := h.want(h.person("ann"), "x", func(in *Intention) { in.Purpose = "capped" })
			h.enqueue(in)
			i, _ := parseID(in.Message)
			check := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			func() { // a worker's work, up to the step
				if c.step == "enqueued" {
					return
				}
				entries, err := h.d.gather([]id{i})
				check(err)
				h.d.prepare(entries[0])
				if c.step == "rendered" {
					return
				}
				going, _, _, err := h.d.record(entries, nil)
				check(err)
				if c.step == "attempt on disk" {
					return
				}
				results := h.d.send(h.d.channels[0], hop{connector: going[0].connector}, going)
				switch c.step {
				case "handed over":
					return
				case "outcome on disk":
					h.refuses = 1
					h.d.cancel() // so that it gives up
				case "fact appended":
					h.doubts = 1
					h.d.cancel()
				}
				err = h.d.conclude(results, nil)
				if c.step == "entry gone" {
					check(err)
				} else if err == nil {
					t.Fatal("the journal's error is lost")
				}
			}()
			h.restart()
			h.d.Start()
			d := h.settles(in.Message)
			if d.State != c.state || len(h.got()) != c.handed {
				t.Errorf("%s, handed over %d times", d.State, len(h.got()))
			}
			if facts := h.told(c.fact); len(facts) != 1 {
				t.Errorf("%d facts", len(facts))
			}
			// It counts against the cap once.
			for n, want := range []string{Sent, Held} {
				next := h.want(1, fmt.Sprint("next", n), func(in *Intention) { in.Purpose = "capped" })
				h.enqueue(next)
				if d := h.settles(next.Message); d.State != want {
					t.Errorf("next: %+v %+v", d, d.Cap)
				}
			}
			if left := h.left(); left != 0 {
				t.Errorf("%d keys are left of what is settled", left)
			}
		})
	}
}

// left counts the keys of messages that are not settled.
func (h *house) left() (n int) {
	h.t.Helper()
	err := h.db.View(func(t *kv.Txn) error {
		for _, kind := range []byte{queueKey, parkedKey, attemptKey, personKey} {
			if err := t.Scan(kv.Delivery, []byte{kind}, nil, func(_, _ []byte) error { n++; return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestKills kills it at random while a run goes out, over and over.
func TestKills(t *testing.T) {
	const persons = 120
	h := newHouse(t, func(o *Options) { o.Workers, o.Batch = 3, 7 })
	r := rand.New(rand.NewPCG(1, 2))
	var ins []Intention
	for i := range persons {
		ins = append(ins, h.want(h.person(fmt.Sprint("u", i)), "run:1"))
	}
	h.enqueue(ins...)
	lost := map[string]bool{} // handed over, answer lost: what the witness saw
	for round := 0; ; round++ {
		die := make(chan struct{})
		calls := 0
		until := r.IntN(6)
		h.mu.Lock()
		h.send = func(batch []connector.Message) (outs []connector.Outcome, err error) {
			h.mu.Lock()
			calls++
			n := calls
			h.mu.Unlock()
			if n > until { // dies in the middle of it
				h.mu.Lock()
				for _, m := range batch {
					lost[m.ID] = true
				}
				if n == until+1 {
					close(die)
				}
				h.mu.Unlock()
				return nil, context.Canceled
			}
			for _, m := range batch {
				outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Accepted})
			}
			return outs, nil
		}
		if r.IntN(3) == 0 {
			h.refuses = r.IntN(3)
		}
		h.mu.Unlock()
		h.d.Start()
		done := func() bool { return h.left() == 0 }
		h.until("it dies or is done", func() bool {
			h.advance(time.Millisecond)
			select {
			case <-die:
				return true
			default:
				return done()
			}
		})
		if done() {
			break
		}
		if round > 200 {
			t.Fatal("it never ends")
		}
		h.restart()
	}
	t.Logf("%d unknown to the witness", len(lost))
	times := map[string]int{}
	for _, m := range h.got() {
		times[m.ID]++
	}
	for _, in := range ins {
		d := h.explain(in.Message)
		switch {
		case times[in.Message] > 1:
			t.Errorf("%s was handed over %d times", in.Message, times[in.Message])
		case d.State == Sent && times[in.Message] != 1, d.State == Sent && lost[in.Message]:
			t.Errorf("%s says sent, and was handed over %d times", in.Message, times[in.Message])
		case d.State != Sent && d.State != Lost:
			t.Errorf("%s: %s %s", in.Message, d.State, d.Reason)
		}
	}
	h.pump()
	if n := len(h.told(event.NotificationSent)) + len(h.told(event.NotificationFailed)); n != persons {
		t.Errorf("%d facts of %d messages", n, persons)
	}
	unknown, err := h.d.List(t.Context(), Listing{State: Lost, Limit: MaxList})
	if err != nil || len(unknown.Messages)+len(h.told(event.NotificationSent)) != persons {
		t.Errorf("%d unknown, %v", len(unknown.Messages), err)
	}
}

// TestJournalAway: outcomes wait for the journal; nothing is sent twice for it.
func TestJournalAway(t *testing.T) {
	h := newHouse(t, nil)
	in := h.want(h.person("ann"), "x")
	h.refuses = 3
	h.enqueue(in)
	h.d.Start()
	h.until("it is told", func() bool { h.advance(time.Minute); return h.over(in.Message) })
	if d := h.explain(in.Message); d.State != Sent || len(h.got()) != 1 || len(h.told(event.NotificationSent)) != 1 {
		t.Errorf("%+v", d)
	}
}

// TestCloseWaits: what was handed over is waited for, with its outcome.
func TestCloseWaits(t *testing.T) {
	h := newHouse(t, nil)
	in := h.want(h.person("ann"), "x")
	begun, end := make(chan struct{}), make(chan struct{})
	h.send = func(batch []connector.Message) ([]connector.Outcome, error) {
		close(begun)
		<-end
		return []connector.Outcome{{ID: batch[0].ID, Result: connector.Accepted}}, nil
	}
	h.enqueue(in)
	h.d.Start()
	<-begun
	closed := make(chan error)
	go func() { closed <- h.d.Close(context.Background()) }()
	close(end)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if d := h.explain(in.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	h.d.Start() // nothing starts any more
}

// TestSealed: names, addresses and what people did cannot be read from the disk.
func TestSealed(t *testing.T) {
	h := newHouse(t, nil)
	in := h.want(h.person("canary"), "x", func(in *Intention) {
		in.Props = []event.Prop{{Key: "sku", Value: event.OfText("canary-sku")}}
	})
	h.enqueue(in)
	h.d.Start()
	h.settles(in.Message)
	later := h.want(1, "y", func(in *Intention) {
		in.At, in.Props = begin.Add(time.Hour).UnixMicro(), []event.Prop{{Key: "sku", Value: event.OfText("canary-sku")}}
	})
	h.enqueue(later)
	h.close(context.Background())
	err := filepath.Walk(h.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s shows it", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
