package ingest

import (
	"container/list"
	"sync"
	"time"
)

// Bound is how much one sender may do; zero bounds nothing.
type Bound struct {
	Requests int     // in work at once
	Rate     float64 // a second, over time
}

// burst is how long a sender that was silent may send beyond its rate, as phones
// do when a train leaves a tunnel.
const burst = 5 * time.Second

// maxSenders is how many a gate remembers; one costs about 200 bytes.
const maxSenders = 1 << 16

// gate bounds each of many senders. What it remembers of one that has nothing
// in work is given up for others when there are too many: that sender begins
// with a full bucket again. It may be used concurrently.
type gate[K comparable] struct {
	mu      sync.Mutex
	senders map[K]*list.Element // of *sender[K]
	recent  list.List           // the one that came last at the front
}

// sender is one that a gate remembers.
type sender[K comparable] struct {
	key    K
	inWork int
	// spent is when all that it sent would have been sent at its rate: a token
	// bucket as one time (the generic cell rate algorithm, ITU-T I.371).
	spent time.Time
}

// enter takes a place, which leave gives back. Where it does not, why says
// what is used up, and after how long it may go well.
func (g *gate[K]) enter(key K, now time.Time, b Bound) (why limit, after time.Duration) {
	if b == (Bound{}) {
		return "", 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.find(key)
	if b.Requests > 0 && s.inWork >= b.Requests {
		return limitRequests, time.Second
	}
	if b.Rate > 0 {
		if s.spent.Before(now) {
			s.spent = now
		}
		if over := s.spent.Sub(now) - burst; over > 0 {
			return limitRate, over
		}
		s.spent = s.spent.Add(time.Duration(float64(time.Second) / b.Rate))
	}
	s.inWork++
	return "", 0
}

func (g *gate[K]) leave(key K, b Bound) {
	if b == (Bound{}) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.senders[key]; e != nil {
		e.Value.(*sender[K]).inWork--
	}
}

// find gives a sender, new or not. The caller holds mu.
func (g *gate[K]) find(key K) *sender[K] {
	if e := g.senders[key]; e != nil {
		g.recent.MoveToFront(e)
		return e.Value.(*sender[K])
	}
	if g.senders == nil {
		g.senders = make(map[K]*list.Element)
	}
	// Far fewer are in work than are remembered, so that one that is not is
	// found soon.
	for e := g.recent.Back(); e != nil && len(g.senders) >= maxSenders; {
		s, before := e.Value.(*sender[K]), e.Prev()
		if s.inWork == 0 {
			g.recent.Remove(e)
			delete(g.senders, s.key)
		}
		e = before
	}
	s := &sender[K]{key: key}
	g.senders[key] = g.recent.PushFront(s)
	return s
}
