package kv

import (
	"container/list"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// ShelfCache bounds how many shelves are open at once in a process; several
// publishers' Shelves share one. It is safe for concurrent use. It opens
// nothing by itself and is empty once all sets that use it are closed.
type ShelfCache struct {
	max int

	mu      sync.Mutex
	changed *sync.Cond // any slot changed its state or lost its last user
	slots   map[shelfID]*slot
	order   *list.List // of shelfID; the front was used last
}

// shelfID names a shelf in the process.
type shelfID struct {
	set *Shelves
	id  uint32
}

// slot is a place in the cache. It is busy while it opens or closes, or while
// its directory is held by exclusive; then only who made it so may touch it.
type slot struct {
	busy  bool
	users int
	b     *badger.DB
	place *list.Element
}

// NewShelfCache makes a cache of at most max open shelves, at least one.
func NewShelfCache(max int) *ShelfCache {
	c := &ShelfCache{max: max, slots: make(map[shelfID]*slot), order: list.New()}
	if c.max < 1 {
		c.max = 1
	}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// use runs fn with the shelf open, and does not close it before fn is done. If
// all places are taken by shelves in use it waits for one; so fn must not use
// another shelf, or two such could wait for each other.
func (c *ShelfCache) use(id shelfID, fn func(*badger.DB) error) error {
	s, err := c.acquire(id)
	if err != nil {
		return err
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.users--
		if s.users == 0 {
			c.changed.Broadcast()
		}
	}()
	return fn(s.b)
}

func (c *ShelfCache) acquire(id shelfID) (*slot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if s := c.slots[id]; s != nil {
			if s.busy {
				c.changed.Wait()
				continue
			}
			s.users++
			c.order.MoveToFront(s.place)
			return s, nil
		}
		if len(c.slots) >= c.max {
			if victim := c.idleLocked(); victim != nil {
				if err := c.closeLocked(*victim); err != nil {
					// Nothing acknowledged hangs on it: every Put was synced. What
					// is wrong with the files comes out when it is opened again.
					victim.set.o.Logger.Warn("closing a shelf", "dir", victim.set.dir, "shelf", victim.id, "error", err)
				}
			} else {
				c.changed.Wait()
			}
			continue
		}
		s := &slot{busy: true, place: c.order.PushFront(id)}
		c.slots[id] = s
		c.mu.Unlock()
		b, err := id.set.openShelf(id.id)
		c.mu.Lock()
		s.busy = false
		c.changed.Broadcast()
		if err != nil {
			c.forgetLocked(id)
			return nil, err
		}
		s.b, s.users = b, 1
		return s, nil
	}
}

// idleLocked finds the open shelf that was used longest ago and is not in use.
func (c *ShelfCache) idleLocked() *shelfID {
	for e := c.order.Back(); e != nil; e = e.Prev() {
		id := e.Value.(shelfID)
		if s := c.slots[id]; !s.busy && s.users == 0 {
			return &id
		}
	}
	return nil
}

// closeLocked closes an idle shelf; it lets go of the lock meanwhile.
func (c *ShelfCache) closeLocked(id shelfID) error {
	s := c.slots[id]
	s.busy = true
	c.mu.Unlock()
	err := s.b.Close()
	c.mu.Lock()
	c.forgetLocked(id)
	c.changed.Broadcast()
	return err
}

func (c *ShelfCache) forgetLocked(id shelfID) {
	c.order.Remove(c.slots[id].place)
	delete(c.slots, id)
}

// exclusive waits until nobody uses the shelf, closes it, and runs fn while
// nobody can open it. fn is told how the closing went.
func (c *ShelfCache) exclusive(id shelfID, fn func(closing error) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var closing error
	for {
		s := c.slots[id]
		if s == nil {
			break
		}
		if s.busy || s.users > 0 {
			c.changed.Wait()
			continue
		}
		closing = c.closeLocked(id)
	}
	// A held place counts among the open ones for its moment; it must not
	// wait for one, because who waits may hold nothing else up.
	c.slots[id] = &slot{busy: true, place: c.order.PushFront(id)}
	c.mu.Unlock()
	err := fn(closing)
	c.mu.Lock()
	c.forgetLocked(id)
	c.changed.Broadcast()
	return err
}

// open counts the shelves that are open: what tests hold the bound against.
func (c *ShelfCache) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.slots)
}
