package keyring

import (
	"container/list"
	"sync"
)

// pageCache keeps the pages used last, of all publishers. Keys are copied out
// under its lock, so that a page can be wiped the moment it is dropped.
type pageCache struct {
	mu    sync.Mutex
	max   int
	pages map[pageID]*list.Element
	order *list.List // of *cached; the front was used last
}

type pageID struct {
	publisher *Publisher
	number    uint32
}

type cached struct {
	id   pageID
	page *page
}

func newPageCache(max int) *pageCache {
	return &pageCache{max: max, pages: make(map[pageID]*list.Element), order: list.New()}
}

// key copies one key of a page that is in the cache.
func (c *pageCache) key(p *Publisher, number, slot uint32) (key [keyBytes]byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.pages[pageID{p, number}]
	if e == nil {
		return key, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).page[slot], true
}

// put takes a page over.
func (c *pageCache) put(p *Publisher, number uint32, pg *page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := pageID{p, number}
	c.dropLocked(id)
	c.pages[id] = c.order.PushFront(&cached{id, pg})
	for c.order.Len() > c.max {
		c.dropLocked(c.order.Back().Value.(*cached).id)
	}
}

// drop wipes a page and forgets it.
func (c *pageCache) drop(p *Publisher, number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(pageID{p, number})
}

func (c *pageCache) dropLocked(id pageID) {
	e := c.pages[id]
	if e == nil {
		return
	}
	clear(e.Value.(*cached).page[:])
	c.order.Remove(e)
	delete(c.pages, id)
}

// clear wipes and forgets all pages.
func (c *pageCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.pages {
		c.dropLocked(id)
	}
}
