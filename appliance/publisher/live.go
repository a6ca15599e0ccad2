package publisher

import (
	"context"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

const (
	recentEvents = 200 // kept for the live view
	perRun       = 50  // taken of one run: the newest
	rateSeconds  = 60
)

// LiveEvent is one event as it was applied.
type LiveEvent struct {
	Time     int64 // microseconds since 1970 UTC
	Event    string
	Person   uint32
	Identity string // as QUERIES.md lists people; "" if they are gone
	Props    []event.Prop
}

// live keeps what was applied last, for whoever watches.
type live struct {
	now func() time.Time

	mu      sync.Mutex
	ring    []history.Row // the newest last, at most recentEvents
	next    uint64        // number of the event after the newest
	changed chan struct{} // closed and replaced when there is more; nil once closed
	seconds [rateSeconds]struct {
		at   int64
		rows int64
	}
}

func newLive(now func() time.Time) *live {
	return &live{now: now, changed: make(chan struct{})}
}

func (l *live) applied(rows []history.Row) {
	if len(rows) == 0 {
		return
	}
	now := l.now().Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.seconds[now%rateSeconds]
	if s.at != now {
		s.at, s.rows = now, 0
	}
	s.rows += int64(len(rows))
	rows = rows[max(0, len(rows)-perRun):]
	l.ring = append(l.ring, rows...)
	if over := len(l.ring) - recentEvents; over > 0 {
		l.ring = append(l.ring[:0], l.ring[over:]...)
	}
	l.next += uint64(len(rows))
	if l.changed != nil {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// since gives the events from number from on that are still there, and what to
// wait on for more; a nil channel says that there will be none.
func (l *live) since(from uint64) (rows []history.Row, next uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := min(l.next-min(from, l.next), uint64(len(l.ring)))
	rows = append(rows, l.ring[uint64(len(l.ring))-have:]...)
	return rows, l.next, l.changed
}

func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Rate is the events applied per second over the last minute.
func (p *Publisher) Rate() float64 {
	p.live.mu.Lock()
	defer p.live.mu.Unlock()
	now, sum := p.live.now().Unix(), int64(0)
	for _, s := range p.live.seconds {
		if now-s.at < rateSeconds {
			sum += s.rows
		}
	}
	return float64(sum) / rateSeconds
}

// Recent gives the events applied last, at most 200, the oldest first.
func (p *Publisher) Recent() []LiveEvent {
	rows, _, _ := p.live.since(0)
	return p.name(rows)
}

// Live gives events as they are applied until ctx ends or the publisher
// closes; then the channel is closed. Who reads too slowly misses some.
func (p *Publisher) Live(ctx context.Context) <-chan LiveEvent {
	out := make(chan LiveEvent, perRun)
	p.live.mu.Lock()
	defer p.live.mu.Unlock()
	if p.live.changed == nil {
		close(out)
		return out
	}
	next := p.live.next
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		defer close(out)
		for {
			rows, n, changed := p.live.since(next)
			next = n
			for _, e := range p.name(rows) {
				select {
				case out <- e:
				case <-ctx.Done():
					return
				case <-p.ctx.Done():
					return
				}
			}
			if changed == nil {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-p.ctx.Done():
				return
			}
		}
	}()
	return out
}

// name finds who did it; the erased are left out.
func (p *Publisher) name(rows []history.Row) []LiveEvent {
	if len(rows) == 0 {
		return nil
	}
	s := p.people.Snapshot()
	defer s.Release()
	out := make([]LiveEvent, 0, len(rows))
	for _, r := range rows {
		who := s.Winner(r.Person)
		if s.Hidden(who) || s.Hidden(r.Person) {
			continue
		}
		identity, err := s.Identity(who)
		if err != nil {
			continue // erased between the two
		}
		var props []event.Prop
		for _, q := range r.Props {
			if !q.Personal {
				props = append(props, q)
			}
		}
		out = append(out, LiveEvent{Time: r.Time, Event: r.Name, Person: who, Identity: identity, Props: props})
	}
	return out
}
