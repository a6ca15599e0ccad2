package history

import (
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
)

// content is what a block holds, or what it holds of some event names: rows
// that a question does not ask about are not even passed over. What is made of
// a block for one question stays in the cache for the next.
type content struct {
	h      *History
	block  *frozen
	set    string   // the places of the names in the block's, two bytes each; "" = all
	rows   []uint16 // which of the block's rows these are; nil = all
	whole  *block.People
	runs   []block.Run // of whole, with as many rows as are here
	events []uint16
}

// nameSet is what a block has of some names: their places in the block's, two
// bytes each, and how many rows. The zero one stands for all.
type nameSet struct {
	places string
	rows   int
}

func (b *frozen) set(names []string) nameSet {
	var set nameSet
	var places []byte
	for place, name := range b.names {
		if slices.Contains(names, name) {
			places = append(places, byte(place), byte(place>>8))
			set.rows += b.info.Names[place].Rows
		}
	}
	set.places = string(places)
	return set
}

// content gives what a block holds of a set. Where that is most of it, all is
// given.
func (h *History) content(b *frozen, set nameSet) (*content, error) {
	if set.rows == 0 || set.rows > b.info.Rows/2 {
		return h.whole(b)
	}
	v, err := h.cache.get(cacheKey{chunkID{b.id, cachedContent}, set.places}, func() (any, int64, error) {
		all, err := h.whole(b)
		if err != nil {
			return nil, 0, err
		}
		c := all.only(set)
		return c, int64(len(c.rows))*4 + int64(len(c.runs))*24, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*content), nil
}

func (h *History) whole(b *frozen) (*content, error) {
	people, err := h.people(b)
	if err != nil {
		return nil, err
	}
	events, err := h.events(b)
	if err != nil {
		return nil, err
	}
	return &content{h: h, block: b, whole: people, runs: people.Runs, events: events}, nil
}

// only makes the content of the rows with the events of a set.
func (c *content) only(set nameSet) *content {
	places, n := set.places, set.rows
	wanted := make([]uint8, len(c.block.names))
	for i := 0; i < len(places); i += 2 {
		wanted[int(places[i])|int(places[i+1])<<8] = 1
	}
	rows := make([]uint16, n+1) // the last is written to and left out
	at := 0
	for row, e := range c.events {
		rows[at] = uint16(row)
		at += int(wanted[e])
	}
	out := &content{h: c.h, block: c.block, set: places, rows: rows[:n:n], whole: c.whole, runs: make([]block.Run, len(c.runs)), events: make([]uint16, n)}
	for i, row := range out.rows {
		out.events[i] = c.events[row]
	}
	end, first := 0, 0
	for i, run := range c.runs {
		end += run.Rows
		next, _ := slices.BinarySearch(out.rows, uint16(min(end, math.MaxUint16)))
		if end > math.MaxUint16 {
			next = n
		}
		out.runs[i] = block.Run{Partition: run.Partition, Day: run.Day, Rows: next - first}
		first = next
	}
	return out
}

// get gives what is made of these rows once: of a chunk, for all rows; or of
// that, for some.
func get[T any](c *content, chunk uint32, all func() (T, error), some func(T) (T, int64)) (T, error) {
	if c.rows == nil {
		return all()
	}
	v, err := c.h.cache.get(cacheKey{chunkID{c.block.id, chunk}, c.set}, func() (any, int64, error) {
		v, err := all()
		if err != nil {
			return nil, 0, err
		}
		v, bytes := some(v)
		return v, bytes, nil
	})
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}

// No chunks: in the cache, whose a content's rows are, and their groups.
const (
	cachedPeople = 9
	cachedGroups = 10
)

func (c *content) people() (*block.People, error) {
	return get(c, cachedPeople, func() (*block.People, error) { return c.whole, nil }, func(p *block.People) (*block.People, int64) {
		p = p.Only(c.rows)
		return p, p.Bytes()
	})
}

func (c *content) groups() ([]uint16, error) {
	v, err := c.h.cache.get(cacheKey{chunkID{c.block.id, cachedGroups}, c.set}, func() (any, int64, error) {
		people, err := c.people()
		if err != nil {
			return nil, 0, err
		}
		groups := people.Groups()
		return groups, int64(len(groups)) * 2, nil
	})
	if err != nil {
		return nil, err
	}
	return v.([]uint16), nil
}

func (c *content) times() (block.Times, error) {
	return get(c, chunkTimes, func() (block.Times, error) { return c.h.times(c.block, c.whole) }, func(t block.Times) (block.Times, int64) {
		t = t.Only(c.rows)
		return t, t.Bytes()
	})
}

func (c *content) ties() ([]uint32, error) {
	return get(c, chunkTies, func() ([]uint32, error) { return c.h.ties(c.block) }, func(t []uint32) ([]uint32, int64) {
		if t == nil {
			return nil, 0
		}
		out := make([]uint32, len(c.rows))
		for i, row := range c.rows {
			out[i] = t[row]
		}
		return out, int64(len(out)) * 4
	})
}

func (c *content) property(key uint16) (*block.Column, error) {
	if !c.block.has(key) {
		return nil, nil
	}
	return get(c, chunkColumns+uint32(key), func() (*block.Column, error) { return c.h.property(c.block, key) },
		func(col *block.Column) (*block.Column, int64) {
			col = col.Only(c.rows)
			return col, col.OwnBytes()
		})
}

// piece is the rows from to to of a content, as the source of Rows.
type piece struct {
	*content
	codes    *codes
	from, to int
}

// People implements Source.
func (p *piece) People() (*block.People, error) { return p.people() }

// Groups implements Source.
func (p *piece) Groups() ([]uint16, error) {
	groups, err := p.groups()
	if err != nil {
		return nil, err
	}
	return groups[p.from:p.to:p.to], nil
}

// Times implements Source.
func (p *piece) Times() (block.Times, error) {
	t, err := p.times()
	if err != nil {
		return t, err
	}
	return t.Slice(p.from, p.to), nil
}

// Ties implements Source.
func (p *piece) Ties() ([]uint32, error) {
	t, err := p.ties()
	if t == nil || err != nil {
		return nil, err
	}
	return t[p.from:p.to:p.to], nil
}

// Column implements Source.
func (p *piece) Column(key string) (*block.Column, error) {
	code, ok := p.codes.keys[key]
	if !ok {
		return nil, nil
	}
	col, err := p.property(code)
	if col == nil || err != nil {
		return nil, err
	}
	return col.Slice(p.from, p.to), nil
}

func (p *piece) keys() []uint16 { return p.block.info.Columns }

// headPiece is a partition's first rows in a head, as the source of Rows.
type headPiece struct {
	head      *head
	codes     *codes
	partition int
	times     []int64
	ties      []uint32
	columns   map[string]*block.Column
}

// People implements Source.
func (p *headPiece) People() (*block.People, error) { return nil, nil }

// Groups implements Source.
func (p *headPiece) Groups() ([]uint16, error) { return nil, nil }

// Times implements Source.
func (p *headPiece) Times() (block.Times, error) { return block.TimesOf(p.times), nil }

// Ties implements Source.
func (p *headPiece) Ties() ([]uint32, error) { return p.ties, nil }

// Column implements Source.
func (p *headPiece) Column(key string) (*block.Column, error) {
	col, ok := p.columns[key]
	if !ok {
		if code, ok := p.codes.keys[key]; ok {
			col = p.head.column(p.partition, int(code), len(p.times))
		}
		p.columns[key] = col
	}
	return col, nil
}

func (p *headPiece) keys() []uint16 { return p.head.keys(p.partition, len(p.codes.keys)) }
