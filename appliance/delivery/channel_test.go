package delivery

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Whatever joins the queue, behind what was read of it or before, is handed out,
// and to one worker at a time.
func TestEverythingInTheQueueIsHandedOut(t *testing.T) {
	h := newHouse(t, nil)
	h.apply(event.Fact{Kind: event.Identify, User: "ann", Changes: []event.Change{{Key: "Name", Value: event.OfText("Ann")}}})
	n := 0 // of the messages so far
	rapid.Check(t, func(rt *rapid.T) {
		err := h.db.Update(func(t *kv.Txn) error {
			return t.Scan(kv.Delivery, []byte{queueKey}, nil, func(key, _ []byte) error { return t.Delete(kv.Delivery, key) })
		})
		if err != nil {
			rt.Fatal(err)
		}
		c := newChannel(h.d, 0, "email")
		h.d.channels[0] = c
		waiting, taken := map[id]bool{}, map[id]bool{}
		var batches [][]id
		past := func() int64 {
			return h.clock().Add(-time.Duration(rapid.IntRange(0, 50).Draw(rt, "ago")) * time.Second).UnixMicro()
		}
		// settle takes messages out of the queue; some of them come back to it.
		settle := func(batch []id, again func(id) bool) {
			err := h.db.Update(func(t *kv.Txn) error {
				for _, i := range batch {
					r, err := h.d.load(t, i)
					if err != nil {
						return err
					}
					if err := h.d.leaveQueue(t, r); err != nil {
						return err
					}
					if !again(i) {
						continue
					}
					r.Due = micros(past())
					if err := h.d.join(t, r); err != nil {
						return err
					}
					if err := h.d.save(t, r); err != nil {
						return err
					}
					waiting[i] = true
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		take := func() bool {
			batch, _, err := c.take(h.clock(), lanes)
			if err != nil {
				rt.Fatal(err)
			}
			for _, i := range batch {
				if !waiting[i] || taken[i] {
					rt.Fatalf("%s was handed out; waiting %v, taken %v", i, waiting[i], taken[i])
				}
				delete(waiting, i)
				taken[i] = true
			}
			if len(batch) > 0 {
				batches = append(batches, batch)
			}
			return len(batch) > 0
		}
		back := func(whole bool, again func(id) bool) {
			n := rapid.IntRange(0, len(batches)-1).Draw(rt, "batch")
			batch := batches[n]
			batches = append(batches[:n], batches[n+1:]...)
			left := 0
			if !whole {
				left = rapid.IntRange(0, len(batch)).Draw(rt, "left")
			}
			settle(batch[left:], again)
			if rapid.Bool().Draw(rt, "another worker") {
				take() // meets what came back and is not given back yet
			}
			for _, i := range batch[:left] {
				waiting[i] = true
			}
			for _, i := range batch {
				delete(taken, i)
			}
			c.giveBack(batch, whole)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"enqueue": func(*rapid.T) {
				var ins []Intention
				for range rapid.IntRange(1, 60).Draw(rt, "messages") {
					n++
					at := past()
					ins = append(ins, h.want(1, fmt.Sprint(n), func(in *Intention) { in.At = at }))
				}
				h.enqueue(ins...)
				for _, in := range ins {
					i, _ := parseID(in.Message)
					waiting[i] = true
				}
			},
			"take": func(*rapid.T) { take() },
			"give back": func(rt *rapid.T) {
				if len(batches) == 0 {
					rt.Skip()
				}
				back(rapid.Bool().Draw(rt, "whole"), func(id) bool { return rapid.IntRange(0, 9).Draw(rt, "again") == 0 })
			},
		})
		never := func(id) bool { return false }
		for take() || len(batches) > 0 {
			for len(batches) > 0 {
				back(true, never)
			}
		}
		if len(waiting) > 0 {
			rt.Fatalf("%d are not handed out", len(waiting))
		}
	})
}
