package history

import "sync"

// Heads bounds what the heads of all histories that share it take in memory:
// past it the largest is frozen, whoever's it is. What comes in meanwhile may
// pass it, by what Committed lets wait. It is safe for concurrent use.
type Heads struct {
	max int64

	mu sync.Mutex
	of map[*History]weight
}

// weight is what a history's heads take, in bytes.
type weight struct {
	all    int64
	newest int64 // of it, the head that takes rows
}

// DefaultHeads is what all heads of a process may take, in bytes.
const DefaultHeads = 256 << 20

// NewHeads makes a bound of so many bytes.
func NewHeads(max int64) *Heads { return &Heads{max: max, of: make(map[*History]weight)} }

// note says what h's heads take now, and gives the history that is to freeze
// its newest, nil if none is. A head of less than a 32nd of the bound is not
// worth it.
func (b *Heads) note(h *History, w weight) (urge *History) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of[h] = w
	if w == (weight{}) {
		delete(b.of, h)
	}
	sum, most := int64(0), b.max/32
	for h, w := range b.of {
		if sum += w.all; w.newest > most {
			urge, most = h, w.newest
		}
	}
	if sum <= b.max {
		return nil
	}
	return urge
}

// weigh tells the bound that is shared of what has come or gone. The caller
// holds none of h's locks but busy and own.
func (h *History) weigh() {
	if h.o.Heads == nil {
		return
	}
	h.mu.Lock()
	var w weight
	for i := range h.view.heads {
		w.newest = h.view.heads[i].bytes
		w.all += w.newest
	}
	if h.closed {
		w = weight{}
	}
	h.mu.Unlock()
	if other := h.o.Heads.note(h, w); other != nil {
		other.mu.Lock()
		defer other.mu.Unlock()
		other.urged = true
		other.changed.Broadcast()
	}
}

// begin has the newest head frozen, at the next Committed if rows are in it
// that are not committed yet.
func (h *History) begin() (upTo uint64) {
	h.own.Lock()
	defer h.own.Unlock()
	upTo = h.head.gen
	switch {
	case h.appended:
		h.wanted = true
	case h.head.rows > 0:
		h.turn()
	default:
		upTo--
	}
	return upTo
}
