package history

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Cache keeps what histories decoded last, within a budget of bytes that all
// which share it have together. What is asked for by several at once is decoded
// once. Nothing in it is ever changed, so that what was thrown out stays good
// for who holds it. It is safe for concurrent use.
//
// What is new passes through a queue of an eighth of the budget. What comes out
// of that stays if there is room, or if clearly more questions asked for it
// than for what would have to go: so a question that reads more than the budget
// throws nothing out that is asked for often, and finds what there was room for
// when it is asked again.
type Cache struct {
	budget       int64
	turn         atomic.Uint32 // grows with each snapshot: a question counts once
	hits, misses atomic.Uint64

	mu    sync.Mutex
	fresh slots
	kept  slots // those at the front are looked at first, when room is needed
	uses  tally
	last  uint64 // given to a drawer
}

// CacheStats tells of a cache since it was made.
type CacheStats struct {
	Budget, Bytes int64
	Hits, Misses  uint64
}

// slotBytes is what the cache takes for itself, for each thing in it.
const slotBytes = 256

// NewCache makes a cache of at most so many bytes; of none it keeps nothing.
func NewCache(budget int64) *Cache {
	budget = max(budget, 0)
	c := &Cache{budget: budget, uses: newTally(budget)}
	c.fresh.most = budget / 8
	c.kept.most = budget - c.fresh.most
	return c
}

// Stats tells how the cache does.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{Budget: c.budget, Bytes: c.fresh.bytes + c.kept.bytes, Hits: c.hits.Load(), Misses: c.misses.Load()}
}

// slots are what is decoded, in order.
type slots struct {
	list.List
	bytes, most int64
}

func (q *slots) push(s *slot) {
	s.in, s.place = q, q.PushBack(s)
	q.bytes += s.bytes
}

func (q *slots) remove(s *slot) {
	q.Remove(s.place)
	q.bytes -= s.bytes
	s.in, s.place = nil, nil
}

// drawer is what a cache has of one history.
type drawer struct {
	c  *Cache
	id uint64
	// Under c.mu.
	slots  map[cacheKey]*slot
	closed bool
}

func (c *Cache) drawer() *drawer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return &drawer{c: c, id: c.last, slots: make(map[cacheKey]*slot)}
}

// cacheKey is a chunk, or what was made of it of the events of a set.
type cacheKey struct {
	chunkID
	set string
}

type slot struct {
	of    *drawer
	id    cacheKey
	hash  uint64        // of both
	turn  uint32        // in which its use was counted last
	ready chan struct{} // closed when the rest is set
	value any
	bytes int64
	err   error
	in    *slots // nil while it is in none
	place *list.Element
}

// get gives what make made of a chunk, now or earlier. An error is given to
// all who waited for it, and not kept.
func (d *drawer) get(id cacheKey, make func() (value any, bytes int64, err error)) (any, error) {
	c := d.c
	turn := c.turn.Load()
	c.mu.Lock()
	if s := d.slots[id]; s != nil {
		if s.turn != turn {
			s.turn = turn
			c.uses.count(s.hash, c.fresh.Len()+c.kept.Len())
		}
		c.mu.Unlock()
		c.hits.Add(1)
		<-s.ready
		return s.value, s.err
	}
	s := &slot{of: d, id: id, turn: turn, ready: newReady()}
	s.hash = maphash.Comparable(c.uses.seed, struct {
		of uint64
		id cacheKey
	}{d.id, id})
	c.uses.count(s.hash, c.fresh.Len()+c.kept.Len())
	d.slots[id] = s
	c.mu.Unlock()
	c.misses.Add(1)
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

func (c *Cache) finish(s *slot, value any, bytes int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.value, s.bytes, s.err = value, bytes+slotBytes, err
	close(s.ready)
	if err != nil || s.of.closed || s.bytes > c.kept.most {
		delete(s.of.slots, s.id)
		return
	}
	c.fresh.push(s)
	for c.fresh.bytes > c.fresh.most {
		oldest := c.fresh.Front().Value.(*slot)
		c.fresh.remove(oldest)
		if c.admit(oldest) {
			c.kept.push(oldest)
		} else {
			delete(oldest.of.slots, oldest.id)
		}
	}
}

// admit makes room among what is kept, or says that there is none. One use
// more is not enough: of two things that every question asks for, the one that
// the present question asked for already would then always be one ahead.
func (c *Cache) admit(s *slot) bool {
	room := c.kept.most - c.kept.bytes
	uses := c.uses.of(s.hash)
	for e := c.kept.Front(); room < s.bytes; e = e.Next() {
		old := e.Value.(*slot)
		if uses <= c.uses.of(old.hash)+1 {
			c.kept.MoveToBack(e) // the next one is compared with another
			return false
		}
		room += old.bytes
	}
	for c.kept.most-c.kept.bytes < s.bytes {
		c.drop(c.kept.Front().Value.(*slot))
	}
	return true
}

func (c *Cache) drop(s *slot) {
	s.in.remove(s)
	delete(s.of.slots, s.id)
}

// close forgets all that is in the drawer. What is read of it afterwards is not
// kept.
func (d *drawer) close() {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	d.closed = true
	for _, s := range d.slots {
		if s.in != nil {
			d.c.drop(s)
		}
	}
}

// tally counts how many questions asked for what, of late, by hash and so at
// most too high: a count-min sketch of two rows, halved from time to time
// (TinyLFU: Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache
// Admission Policy", 2017).
type tally struct {
	seed   maphash.Seed
	counts []uint8
	since  int // counted since the last halving
}

const mostUses = 15

// newTally makes one for a cache of so many bytes: a byte or two for each KiB,
// so that it tells apart what is read past such a cache several times over.
func newTally(budget int64) tally {
	n := 1 << 13
	for int64(n)*1024 < budget {
		n *= 2
	}
	return tally{seed: maphash.MakeSeed(), counts: make([]uint8, n)}
}

func (t *tally) places(hash uint64) (a, b *uint8) {
	half := uint64(len(t.counts) / 2)
	return &t.counts[hash%half], &t.counts[half+(hash>>32)%half]
}

func (t *tally) of(hash uint64) uint8 {
	a, b := t.places(hash)
	return min(*a, *b)
}

// count counts a use, in a cache of so many things.
func (t *tally) count(hash uint64, things int) {
	if t.since++; t.since > 1<<10+8*things {
		t.since = 0
		for i := range t.counts {
			t.counts[i] /= 2
		}
	}
	a, b := t.places(hash)
	n := min(*a, *b, mostUses-1) + 1
	*a, *b = max(*a, n), max(*b, n) // the larger one counts something else too
}
