package query

import "github.com/cloisterhq/cloister/appliance/event"

// nameCodes are the event names of a stretch as numbers of the dictionary.
type nameCodes struct {
	names []string
	ids   []uint32
}

// turn makes ids about other names; of one block they are the same, and those
// of a head only grow.
func (c *nameCodes) turn(names []string, d *dictionary) {
	if len(names) > 0 && len(names) == len(c.names) && &names[0] == &c.names[0] {
		return
	}
	c.names, c.ids = names, c.ids[:0]
	for _, name := range names {
		c.ids = append(c.ids, d.id(event.OfText(name)))
	}
}

// named reads the event names of some rows, into every nth place of out.
func (s *stretch) named(r *reading, p *picked, out []uint32, n int) {
	r.names.turn(s.rows.Names, s.memo.d)
	for k, row := range p.rows {
		out[k*n] = r.names.ids[s.rows.Events[row]]
	}
}
