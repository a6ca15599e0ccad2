package history

import "github.com/cloisterhq/cloister/appliance/event"

// view is what a snapshot sees. It never changes.
type view struct {
	version uint64
	names   []string
	keys    []string
	codes   *codes     // of names and keys
	heads   []headView // oldest first
	list    *blockList
}

// codes finds names' and keys' numbers. It never changes.
type codes struct {
	names, keys map[string]uint16
}

func newCodes(names, keys []string) *codes {
	c := &codes{names: make(map[string]uint16, len(names)), keys: make(map[string]uint16, len(keys))}
	for i, s := range names {
		c.names[s] = uint16(i)
	}
	for i, s := range keys {
		c.keys[s] = uint16(i)
	}
	return c
}

// headView is a head as of one moment: how much of each of its lists is there.
type headView struct {
	head        *head
	counts      [event.Partitions]uint32
	rows        int
	bytes       int64 // about
	first, last int64
	seen, days  int
}

// view counts in what was added. The applier calls it.
func (h *head) view() headView {
	v := headView{head: h, rows: h.rows, bytes: h.bytes, first: h.first, last: h.last, seen: len(h.seen.list), days: len(h.days.list)}
	for p := range h.parts {
		v.counts[p] = uint32(len(h.parts[p].persons))
	}
	return v
}

// seenPairs are the pairs of name and key as of the view.
func (v *headView) seenPairs() []uint64 {
	v.head.mu.RLock()
	defer v.head.mu.RUnlock()
	return v.head.seen.list[:v.seen]
}

// dayPairs are the pairs of name and day as of the view.
func (v *headView) dayPairs() []uint64 {
	v.head.mu.RLock()
	defer v.head.mu.RUnlock()
	return v.head.days.list[:v.days]
}

// rowsOf gives the base columns of a partition as of the view.
func (v *headView) rowsOf(part int) (persons []uint32, times []int64, events []uint16, ties []uint32) {
	p, n := &v.head.parts[part], v.counts[part]
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.persons[:n:n], p.times[:n:n], p.events[:n:n], p.ties[:n:n]
}
