package delivery

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cloisterhq/cloister/appliance/event"
)

// maxReasons bounds how many reasons are counted apart: providers invent some.
const maxReasons = 200

type counts struct {
	enqueued, retried, receipts, strays atomic.Uint64
	sent, held, failed, unknown         atomic.Uint64
	inflight, parked                    atomic.Int64
	waiting                             []*atomic.Int64 // as event.Channels

	mu      sync.Mutex
	reasons map[string]uint64
}

func (c *counts) init() {
	c.reasons = map[string]uint64{}
	for range event.Channels {
		c.waiting = append(c.waiting, new(atomic.Int64))
	}
}

func (c *counts) wait(channel string, by int64) {
	c.waiting[slices.Index(event.Channels, channel)].Add(by)
}

func (c *counts) settled(state, reason string) {
	switch state {
	case Sent:
		c.sent.Add(1)
		return
	case Held:
		c.held.Add(1)
	case Failed:
		c.failed.Add(1)
	case Lost:
		c.unknown.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.reasons[reason]; !ok && len(c.reasons) >= maxReasons {
		reason = "other"
	}
	c.reasons[reason]++
}

// Stats are counters since Open, and what waits now.
type Stats struct {
	Enqueued, Sent, Held, Failed, Unknown, Retried uint64
	Receipts                                       uint64            // taken
	Strays                                         uint64            // receipts about no message known here when they came
	ByReason                                       map[string]uint64 // held, failed and unknown
	Waiting                                        map[string]int    // by channel
	InFlight                                       int               // handed over, not answered yet
}

// Stats counts since Open.
func (d *Delivery) Stats() Stats {
	c := &d.counts
	s := Stats{
		Enqueued: c.enqueued.Load(), Sent: c.sent.Load(), Held: c.held.Load(), Failed: c.failed.Load(),
		Unknown: c.unknown.Load(), Retried: c.retried.Load(), Receipts: c.receipts.Load(), Strays: c.strays.Load(),
		InFlight: int(c.inflight.Load()), Waiting: map[string]int{},
	}
	for n, name := range event.Channels {
		s.Waiting[name] = int(c.waiting[n].Load())
	}
	c.mu.Lock()
	s.ByReason = maps.Clone(c.reasons)
	c.mu.Unlock()
	return s
}
