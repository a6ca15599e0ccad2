package campaign

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

type txn = kv.Txn

// fall lets an hour pass and applies what falls due.
func (h *house) fall(n int) {
	h.t.Helper()
	h.advance(time.Hour)
	h.until("timers fall due", func() bool { return len(h.told()) >= n })
	h.pump()
}

func TestInaction(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", ""), 0)
	h.c.Start()
	h.apply(track(1, "Added", 0, prop("sku", "a")), track(2, "Added", 0, prop("sku", "b")), track(3, "Added", 0))
	h.apply(track(2, "Charged", time.Minute))
	h.apply(track(3, "Charged", -time.Minute))                 // from before: cancels nothing
	h.apply(track(3, "Added", 10*time.Minute))                 // moves the timer
	h.apply(track(1, "Added", -time.Minute, prop("sku", "z"))) // late: the newer counts
	h.fall(1)
	got := h.sent()
	if len(got) != 1 || got[0].Person != 1 || got[0].At != after(time.Hour) || event.Lookup(got[0].Props, "sku").Text() != "a" {
		t.Fatalf("%+v", got)
	}
	h.fall(1)
	if got := h.sent(); len(got) != 2 || got[1].Person != 3 || got[1].At != after(70*time.Minute) {
		t.Fatalf("%+v", got)
	}
	// What happens after the timer fired, and before the hand-off, counts too.
	m := got[0].Message
	if ok, why, err := h.c.Wanted("cart", m); !ok || err != nil {
		t.Errorf("not wanted: %s, %v", why, err)
	}
	h.apply(track(1, "Charged", -time.Hour)) // but not what comes late of before
	if ok, why, err := h.c.Wanted("cart", m); !ok || err != nil {
		t.Errorf("not wanted: %s, %v", why, err)
	}
	h.apply(track(1, "Charged", 2*time.Hour))
	if ok, why, err := h.c.Wanted("cart", m); ok || why == "" || err != nil {
		t.Errorf("still wanted, %v", err)
	}
	h.programme("cart", cart("cart", "ended", ""), 0)
	if ok, why, _ := h.c.Wanted("cart", got[0].Message); ok || why == "" {
		t.Error("wanted of an ended campaign")
	}
	// The same again: a timer with the same due time fires again.
	h.programme("cart", cart("cart", "running", ""), 0)
	h.apply(track(1, "Added", 2*time.Hour, prop("sku", "c")))
	h.fall(1)
	if got := h.sent(); len(got) != 3 {
		t.Errorf("%+v", got)
	}
}

func TestHold(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", `,"hold":["sku"]`), 0)
	h.c.Start()
	h.apply(
		track(1, "Added", 0, prop("sku", "a")), track(1, "Added", 0, prop("sku", "b")), track(1, "Added", 0, prop("sku", []string{"c", "d"})),
		track(1, "Added", 0), // without one: not meant
	)
	item := func(sku string) event.Value { return event.OfObject([]event.Prop{prop("sku", sku)}) }
	h.apply(track(1, "Charged", time.Minute, event.Prop{Key: "Items", Value: event.OfList([]event.Value{item("a"), item("c"), item("x")})}))
	h.fall(2)
	var skus []string
	for _, in := range h.sent() {
		skus = append(skus, event.Lookup(in.Props, "sku").String())
	}
	if len(skus) != 2 || !strings.Contains(strings.Join(skus, " "), "b") || strings.Contains(strings.Join(skus, " "), "a") {
		t.Errorf("%v", skus)
	}
}

// TestDueRestarts: whatever is lost between the timer and the intention, there
// is one intention.
func TestDueRestarts(t *testing.T) {
	for name, crash := range map[string]func(h *house){
		"none":        func(h *house) { h.fall(1) },
		"before told": func(h *house) { h.restart(); h.c.Start(); h.fall(1) },
		"journal refuses": func(h *house) {
			h.mu.Lock()
			h.refuses = 2
			h.mu.Unlock()
			h.advance(time.Hour)
			h.until("it is told", func() bool { h.advance(time.Second); return len(h.told()) > 0 })
			h.pump()
		},
		"told, not applied": func(h *house) {
			h.advance(time.Hour)
			h.until("it is told", func() bool { return len(h.told()) == 1 })
			h.restart()
			h.c.Start()
			h.advance(time.Second)
			h.until("it is told again", func() bool { return len(h.told()) == 2 })
			h.pump()
		},
		"applied, and told again": func(h *house) {
			h.advance(time.Hour)
			h.until("it is told", func() bool { return len(h.told()) == 1 })
			again := h.told()
			h.pump()
			h.restart()
			h.c.Start()
			h.apply(again...)
		},
		"down for long": func(h *house) {
			h.close()
			h.mu.Lock()
			h.now = h.now.Add(5 * time.Hour)
			h.mu.Unlock()
			h.open()
			h.c.Start()
			h.until("it is told", func() bool { return len(h.told()) == 1 })
			h.pump()
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.programme("cart", cart("cart", "running", ""), 0)
			h.c.Start()
			h.apply(track(1, "Added", 0, prop("sku", "a")))
			crash(h)
			got := h.sent()
			if len(got) != 1 || got[0].At != after(time.Hour) || event.Lookup(got[0].Props, "sku").Text() != "a" {
				t.Errorf("%+v", got)
			}
			if len(h.told()) != 0 {
				t.Errorf("%v", h.told())
			}
		})
	}
}

func TestMissed(t *testing.T) {
	h := newHouse(t)
	h.programme("send", cart("send", "running", ""), 0)
	h.programme("drop", strings.Replace(cart("drop", "running", ""), `"name":"n"`, `"name":"n","missed":"drop"`, 1), 0)
	h.apply(track(1, "Added", 0))
	h.advance(5 * time.Hour)
	h.c.Start()
	h.until("both are told", func() bool { return len(h.told()) == 2 })
	h.pump()
	for _, in := range h.sent() {
		want := after(time.Hour + 24*time.Hour)
		if in.Campaign == "drop" {
			want = after(time.Hour + MissedGrace)
		}
		if in.Expires != want {
			t.Errorf("%s expires %v after the beginning", in.Campaign, time.UnixMicro(in.Expires).Sub(begin))
		}
	}
}

// TestPausedTimers: while a campaign is paused its timers fall due all the same,
// and what comes of them waits in the outbox.
func TestPausedTimers(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", ""), 0)
	h.c.Start()
	h.apply(track(1, "Added", 0), track(2, "Added", 0))
	h.programme("cart", cart("cart", "paused", ""), 0)
	h.apply(track(2, "Charged", time.Minute), track(3, "Added", time.Minute))
	h.fall(1)
	if got := h.sent(); len(got) != 1 || got[0].Person != 1 {
		t.Errorf("%+v", got)
	}
}

func TestMergeAndForget(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", ""), 0)
	h.c.Start()
	update := func(fn func(t *kv.Txn) error) {
		t.Helper()
		if err := h.db.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	// The winner's own, later timer stays; a loser's alone goes over; a loser's
	// that fired is cancelled by what the winner does.
	h.apply(track(10, "Added", 0, prop("sku", "fired")))
	h.fall(1)
	h.apply(track(1, "Added", 2*time.Hour, prop("sku", "old")), track(2, "Added", 2*time.Hour+time.Minute, prop("sku", "new")), track(3, "Added", 2*time.Hour, prop("sku", "gone")), track(4, "Added", 2*time.Hour, prop("sku", "paid")))
	update(func(t *kv.Txn) error { return h.c.Merge(t, 2, 1) })
	update(func(t *kv.Txn) error { return h.c.Merge(t, 20, 10) })
	update(func(t *kv.Txn) error { return h.c.Merge(t, 40, 4) })
	update(func(t *kv.Txn) error { return h.c.Merge(t, 40, 41) })
	update(func(t *kv.Txn) error { return h.c.Forget(t, 3) })
	h.apply(track(40, "Charged", 2*time.Hour+time.Minute), track(20, "Charged", 2*time.Hour))
	h.restart()
	h.c.Start()
	h.advance(3 * time.Hour)
	h.until("the winner's falls due", func() bool { return len(h.told()) == 1 })
	h.pump()
	got := h.sent()
	if len(got) != 2 || got[0].Person != 2 || event.Lookup(got[0].Props, "sku").Text() != "new" || got[1].Person != 10 {
		t.Fatalf("%+v", got)
	}
	if ok, _, err := h.c.Wanted("cart", got[1].Message); ok || err != nil {
		t.Errorf("what the winner did does not count for the loser's message, %v", err)
	}
	// An erased person's key is gone before Forget's transaction for others'
	// sake: nothing stops.
	h.apply(track(5, "Added", 3*time.Hour, prop("sku", "x")))
	if err := h.keys.DestroyPerson(5); err != nil {
		t.Fatal(err)
	}
	h.apply(track(5, "Added", 3*time.Hour+time.Second, prop("sku", "x")))
	h.fall(0)
}

// TestSealed: what timers keep of events cannot be read from the disk.
func TestSealed(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", `,"hold":["sku"]`), 0)
	h.apply(track(1, "Added", 0, prop("sku", "canary-sku"), prop("note", "canary-note")))
	h.close()
	err := filepath.Walk(h.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s shows what a person did", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSweep: notes about fired timers do not pile up.
func TestSweep(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", ""), 0)
	h.c.Start()
	for i := range 40 {
		d := time.Duration(i) * 10 * time.Hour
		h.apply(track(uint32(i+1), "Added", d))
		h.advance(10 * time.Hour)
		h.until("it is told", func() bool { return len(h.told()) == 1 })
		h.pump()
		h.apply(track(uint32(i+1), "Charged", d+90*time.Minute))
	}
	n := 0
	err := h.db.View(func(t *kv.Txn) error {
		for _, kind := range []byte{firedKey, cancelledKey, expiryKey} {
			if err := t.Scan(kv.Campaign, []byte{kind}, nil, func(_, _ []byte) error { n++; return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || n > 20 {
		t.Errorf("%d notes of 40 timers, %v", n, err)
	}
}

// TestBroken: a campaign that a later version does not understand does nothing,
// and keeps nobody from opening.
func TestBroken(t *testing.T) {
	h := newHouse(t)
	h.programme("cart", cart("cart", "running", ""), 0)
	h.programme("view", onEvent("view", "running", ""), 0)
	err := h.db.Update(func(t *kv.Txn) error {
		key := append([]byte{objectKey}, "cart"...)
		b, err := t.Get(kv.Campaign, key)
		if err != nil {
			return err
		}
		var c Campaign
		if err := json.Unmarshal(b, &c); err != nil {
			return err
		}
		c.Trigger.Event = []byte(`{"nonsense":1}`)
		if b, err = json.Marshal(c); err != nil {
			return err
		}
		return t.Set(kv.Campaign, key, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.restart()
	if got := h.apply(track(1, "Added", 0), track(1, "Charged", 0), track(1, "Viewed", 0)); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	// Nor does a Programme fact that is not valid.
	h.apply(event.Fact{Kind: event.Programme, Name: event.TypeCampaign, Ref: "x", Body: []byte(`{"id":"y"}`)})
	h.apply(event.Fact{Kind: event.Due, Body: []byte("short"), Received: 1}, event.Fact{Kind: event.Run, Ref: "none", Body: bytes.Repeat([]byte{'t'}, 29), Received: 1 << 62})
}
