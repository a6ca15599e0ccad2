package query

import "github.com/cloisterhq/cloister/appliance/event"

// codes is what was found out about the values of a dictionary, by code - 1.
// Stretches of one block share its dictionary, and dictionaries of a head only
// grow; a worker comes back to the same ones with every partition, so that a
// value is looked at once and not 64 times.
type codes[T any] struct {
	dict  []event.Value
	known []T // the zero T: nothing yet
	all   map[*event.Value][]T
	held  int // entries in all
}

const (
	maxKept    = 4096    // values of a dictionary that is worth coming back to
	maxKeptAll = 1 << 20 // of all that one worker comes back to
)

// turn makes known about another dictionary.
func (c *codes[T]) turn(dict []event.Value) {
	if len(dict) == 0 {
		c.dict, c.known = nil, nil
		return
	}
	if len(c.dict) == 0 || &c.dict[0] != &dict[0] {
		if kept, ok := c.all[&dict[0]]; ok {
			c.known = kept
		} else if len(dict) > maxKept {
			c.known = make([]T, 0, len(dict))
		} else {
			c.known = nil
		}
	}
	c.dict = dict
	if len(c.known) >= len(dict) {
		c.known = c.known[:len(dict)]
		return
	}
	c.known = append(c.known, make([]T, len(dict)-len(c.known))...)
	if len(dict) <= maxKept && c.held+len(dict) <= maxKeptAll {
		if c.all == nil {
			c.all = map[*event.Value][]T{}
		}
		c.held += len(dict) - len(c.all[&dict[0]])
		c.all[&dict[0]] = c.known
	}
}
