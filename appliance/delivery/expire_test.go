package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

const day = 24 * time.Hour

// keysKept counts all that delivery keeps, by what it is, but for caps.
func (h *house) keysKept() map[string]int {
	h.t.Helper()
	kept := map[string]int{}
	h.try(h.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Delivery, nil, nil, func(key, _ []byte) error {
			if key[0] != capKey {
				kept[string(key[:1])]++
			}
			return nil
		})
	}))
	return kept
}

func (h *house) expire(keep time.Duration) int {
	h.t.Helper()
	n, err := h.d.Expire(h.t.Context(), keep)
	h.try(err)
	return n
}

// TestExpire: what was settled before the retention goes with all its keys, in
// more pages than one, and what waits, or was settled later, stays.
func TestExpire(t *testing.T) {
	h := newHouse(t, nil)
	h.d.Start()
	enough := 0
	states := map[string]sender{
		Sent:   nil,
		Failed: with(connector.Outcome{Result: connector.Refused, Class: connector.ClassContent}),
		Lost:   with(connector.Outcome{Result: connector.Unknown}),
	}
	for _, state := range []string{Sent, Failed, Lost} {
		h.mu.Lock()
		h.send = states[state]
		h.mu.Unlock()
		var ins []Intention
		for i := range expirePage/2 + 10 {
			ins = append(ins, h.want(h.person(fmt.Sprint(state, i)), "x"))
		}
		h.enqueue(ins...)
		for _, in := range ins {
			if d := h.settles(in.Message); d.State != state {
				t.Fatalf("%+v", d)
			}
		}
		enough += len(ins)
	}
	h.advance(100 * day)
	h.mu.Lock()
	h.send = nil
	h.mu.Unlock()
	young := h.want(h.person("young"), "x")
	later := h.want(h.person("later"), "x", func(in *Intention) {
		in.At = h.clock().Add(10 * day).UnixMicro()
		in.Expires = h.clock().Add(20 * day).UnixMicro()
	})
	h.enqueue(young, later)
	h.settles(young.Message)
	if n := h.expire(0) + h.expire(101*day); n != 0 {
		t.Fatalf("%d were removed before their time", n)
	}
	if n := h.expire(99 * day); n != enough {
		t.Errorf("%d of %d were removed", n, enough)
	}
	h.try(h.d.letGo(nil))
	want := map[string]int{"m": 2, "u": 1, "i": 1, "q": 1, "w": 1}
	if got := h.keysKept(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if ids := append(h.listed(Listing{State: Failed, Limit: 10}), h.listed(Listing{State: Lost, Limit: 10})...); len(ids) != 0 {
		t.Errorf("%d are listed", len(ids))
	}
	h.advance(10*day + time.Minute)
	if d := h.settles(later.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
}

// TestExpireKeepsLinks: as long as somebody may use the links of a message, for
// unsubscribing above all, no retention takes its decision.
func TestExpireKeepsLinks(t *testing.T) {
	h := newHouse(t, nil)
	h.d.Start()
	in := h.want(h.person("ann"), "x")
	h.enqueue(in)
	h.settles(in.Message)
	h.advance(89 * day)
	if n := h.expire(day); n != 0 {
		t.Fatal("it is gone after 89 days")
	}
	if _, err := h.d.Message(in.Message); err != nil {
		t.Error(err)
	}
	h.advance(2 * day)
	if n := h.expire(day); n != 1 {
		t.Error("it is kept after 91 days")
	}
	if _, err := h.d.Message(in.Message); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// TestExpireUntold: a message that the journal does not know of yet stays, and
// is told.
func TestExpireUntold(t *testing.T) {
	h := newHouse(t, nil)
	h.mu.Lock()
	h.refuses = 1 << 30
	h.mu.Unlock()
	h.d.Start()
	in := h.want(h.person("ann"), "x")
	h.enqueue(in)
	h.until("it is sent", func() bool { return h.explain(in.Message).State == Sent })
	h.advance(91 * day)
	if n := h.expire(day); n != 0 {
		t.Error("it is gone before its facts are told")
	}
	h.mu.Lock()
	h.refuses = 0
	h.mu.Unlock()
	h.advance(time.Hour)
	h.settles(in.Message)
	if n := h.expire(day); n != 1 {
		t.Error("it is kept after that")
	}
}

// TestExpireDamaged: a record that cannot be read is told, and keeps no other.
func TestExpireDamaged(t *testing.T) {
	h := newHouse(t, nil)
	h.d.Start()
	var ids []string
	for i := range 5 {
		in := h.want(h.person(fmt.Sprint("u", i)), "x")
		h.enqueue(in)
		h.settles(in.Message)
		ids = append(ids, in.Message)
	}
	slices.Sort(ids)
	bad, _ := parseID(ids[0])
	h.try(h.db.Update(func(t *kv.Txn) error { return t.Set(kv.Delivery, bad.key(recordKey), []byte(`{"settled":7}`)) }))
	h.advance(91 * day)
	n, err := h.d.Expire(t.Context(), day)
	if n != 4 || err == nil || !strings.Contains(err.Error(), ids[0]) {
		t.Errorf("%d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.d.Expire(ctx, day); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
