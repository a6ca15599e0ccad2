package query

import (
	"cmp"
	"context"
	"slices"
	"unsafe"

	"github.com/cloisterhq/cloister/appliance/event"
)

// hit is a row that at least one reference of a pass matches.
type hit struct {
	time int64
	mask uint64 // bit i: reference i matches
	who  uint32 // the person's number after merges
	at   uint32 // where its values lie in the store
}

const hitBytes = int64(unsafe.Sizeof(hit{}))

// arrival is a row's place among those of one person and instant, where these
// lie under several numbers. Rows of one number are read in that order.
type arrival struct {
	gen uint64 // generation of the rows: later arrival is higher
	tie uint32 // among equal instants of one generation
}

// store keeps what hits carry: a number of the dictionary per dimension, and a
// float per numeric property.
type store struct {
	hits   []hit
	ids    []uint32
	floats []float64
	nid    int
	nfloat int
	// arrivals, one a hit, are kept of people with merged numbers only.
	arrivals []arrival
}

func (s *store) idsOf(h *hit) []uint32     { return s.ids[int(h.at)*s.nid:][:s.nid] }
func (s *store) floatsOf(h *hit) []float64 { return s.floats[int(h.at)*s.nfloat:][:s.nfloat] }
func (s *store) reset()                    { s.hits, s.ids, s.floats = s.hits[:0], s.ids[:0], s.floats[:0] }

// before is the order of merged people's hits: by person, and of one person by
// time and arrival. Equal ones stay as they were read.
func (s *store) before(a, b hit) int {
	x, y := s.arrivals[a.at], s.arrivals[b.at]
	return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.time, b.time), cmp.Compare(x.gen, y.gen), cmp.Compare(x.tie, y.tie))
}

func (s *store) bytes() int64 {
	return int64(cap(s.hits))*hitBytes + int64(cap(s.ids))*4 + int64(cap(s.floats))*8 + int64(cap(s.arrivals))*16
}

func newStore(nid, nfloat int) *store { return &store{nid: nid, nfloat: nfloat} }

func (s *store) copyFrom(o *store, h hit) {
	at := uint32(len(s.hits))
	s.ids = append(s.ids, o.idsOf(&h)...)
	s.floats = append(s.floats, o.floatsOf(&h)...)
	s.arrivals = append(s.arrivals, o.arrivals[h.at])
	h.at = at
	s.hits = append(s.hits, h)
}

// byPerson orders the partition's hits by person, keeping for each the order
// in which they were read: a counting sort, since a partition's people are
// every 64th number.
func (w *worker) byPerson() {
	hits := w.store.hits
	high, last, inOrder := uint32(0), uint32(0), true
	for i := range hits {
		who := hits[i].who
		inOrder = inOrder && who >= last
		last = who
		high = max(high, who)
	}
	if inOrder {
		return
	}
	w.starts = cleared(w.starts, int(high/event.Partitions)+2)
	for i := range hits {
		w.starts[hits[i].who/event.Partitions+1]++
	}
	for i := 1; i < len(w.starts); i++ {
		w.starts[i] += w.starts[i-1]
	}
	if cap(w.sorted) < len(hits) {
		w.sorted = make([]hit, len(hits), cap(hits))
	}
	w.sorted = w.sorted[:len(hits)]
	for i := range hits {
		p := &w.starts[hits[i].who/event.Partitions]
		w.sorted[*p] = hits[i]
		*p++
	}
	w.store.hits, w.sorted = w.sorted, hits
}

// takePeople hands over one person after another, their hits in order; those
// of a person lie together, those of an instant in order of arrival.
func takePeople(ctx context.Context, s *store, to consumer) error {
	hits := s.hits
	for people := 0; len(hits) > 0; people++ {
		if people&0xff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		n := 1
		inOrder := true
		for who := hits[0].who; n < len(hits) && hits[n].who == who; n++ {
			inOrder = inOrder && hits[n-1].time <= hits[n].time
		}
		if !inOrder {
			slices.SortStableFunc(hits[:n], func(a, b hit) int { return cmp.Compare(a.time, b.time) })
		}
		if err := to.take(hits[:n], s); err != nil {
			return err
		}
		hits = hits[n:]
	}
	return nil
}
