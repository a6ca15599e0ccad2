package history

import (
	"container/list"
	"sync"
)

// cache keeps what was decoded last, within a budget of bytes. What is asked
// for by several at once is decoded once. Nothing in it is ever changed, so
// that what was thrown out stays good for who holds it.
type cache struct {
	budget int64

	mu    sync.Mutex
	bytes int64
	slots map[cacheKey]*slot
	order *list.List // of *slot; the front was used last
}

// cacheKey is a chunk, or what was made of it of the events of a set.
type cacheKey struct {
	chunkID
	set string
}

type slot struct {
	id    cacheKey
	ready chan struct{} // closed when the rest is set
	value any
	bytes int64
	err   error
	place *list.Element // nil while it is not ready
}

func newCache(budget int64) *cache {
	return &cache{budget: max(budget, 0), slots: make(map[cacheKey]*slot), order: list.New()}
}

// get gives what make made of a chunk, now or earlier. An error is given to
// all who waited for it, and not kept.
func (c *cache) get(id cacheKey, make func() (value any, bytes int64, err error)) (any, error) {
	c.mu.Lock()
	if s := c.slots[id]; s != nil {
		if s.place != nil {
			c.order.MoveToFront(s.place)
		}
		c.mu.Unlock()
		<-s.ready
		return s.value, s.err
	}
	s := &slot{id: id, ready: newReady()}
	c.slots[id] = s
	c.mu.Unlock()
	done := false
	defer func() {
		if !done { // make panicked: who waits must not wait for ever
			c.finish(s, nil, 0, ErrDamaged)
		}
	}()
	value, bytes, err := make()
	done = true
	c.finish(s, value, bytes, err)
	return value, err
}

func newReady() chan struct{} { return make(chan struct{}) }

func (c *cache) finish(s *slot, value any, bytes int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.value, s.bytes, s.err = value, bytes, err
	close(s.ready)
	if err != nil {
		delete(c.slots, s.id)
		return
	}
	s.place = c.order.PushFront(s)
	c.bytes += bytes
	// The newest stays even beyond the budget: its neighbour partition comes
	// for it next.
	for c.bytes > c.budget && c.order.Len() > minCached {
		c.dropLocked(c.order.Back().Value.(*slot))
	}
}

// minCached is how many columns are kept whatever the budget: those that two
// readers are working through.
const minCached = 16

func (c *cache) dropLocked(s *slot) {
	c.order.Remove(s.place)
	delete(c.slots, s.id)
	c.bytes -= s.bytes
}
