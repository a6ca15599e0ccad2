package history

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
)

// part is what belongs to the blocks of one freeze together: the people by
// event and day. Its chunks are numbered from 0; wholeChunk holds its
// description where that is too large for kv.
type part struct {
	id    uint64
	shelf uint32
	info  *block.Part
	whole bool  // there is a chunkWhole
	first int32 // day of its sets
	last  int32
}

// setBytes is how much a chunk of sets holds before the next one begins: a
// small set is read with its neighbours.
const setBytes = 32 << 10

// find gives the place of a name and day among the sets.
func (p *part) find(name uint16, day int32) (int, bool) {
	return slices.BinarySearchFunc(p.info.Sets, block.Set{Name: name, Day: day}, func(a, b block.Set) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Day, b.Day))
	})
}

// setCached marks, in the cache, sets apart from chunks.
const setCached = 1 << 31

// set reads one set of people. It is shared.
func (h *History) set(p *part, at int) (*roaring.Bitmap, error) {
	v, err := h.cache.get(cacheKey{chunkID: chunkID{p.id, setCached | uint32(at)}}, func() (any, int64, error) {
		s := p.info.Sets[at]
		plain, err := h.openChunk(p.shelf, chunkID{p.id, uint32(s.Chunk)})
		var set *roaring.Bitmap
		if err == nil {
			set, err = p.setIn(plain, s)
		}
		if err != nil {
			h.noticed(err)
			return nil, 0, err
		}
		return set, int64(set.GetSizeInBytes()) + 64, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*roaring.Bitmap), nil
}

// anyCached marks, in the cache, what anySet made.
const anyCached = 1 << 30

// anySet gives the people with any event of the apps on a day, nil where there
// is nobody. It is shared. The names' sets are joined once.
func (h *History) anySet(p *part, day int32, own func(name uint16) bool) (*roaring.Bitmap, error) {
	if day < p.first || day > p.last {
		return nil, nil
	}
	v, err := h.cache.get(cacheKey{chunkID: chunkID{p.id, anyCached | uint32(day-p.first)}}, func() (any, int64, error) {
		var sets []*roaring.Bitmap
		for at := 0; at < len(p.info.Sets); {
			name := p.info.Sets[at].Name
			if found, ok := p.find(name, day); ok && !own(name) {
				set, err := h.set(p, found)
				if err != nil {
					return nil, 0, err
				}
				sets = append(sets, set)
			}
			at, _ = p.find(name+1, math.MinInt32) // names are fewer than uint16 can hold
		}
		if len(sets) == 0 {
			return (*roaring.Bitmap)(nil), 0, nil
		}
		set := union(sets)
		return set, int64(set.GetSizeInBytes()) + 64, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*roaring.Bitmap), nil
}

func newPart(id uint64, info *block.Part) *part {
	p := &part{id: id, info: info, first: math.MaxInt32, last: math.MinInt32}
	for i := range info.Sets {
		p.first, p.last = min(p.first, info.Sets[i].Day), max(p.last, info.Sets[i].Day)
	}
	return p
}

// setIn decodes a set of a chunk.
func (p *part) setIn(chunk []byte, s block.Set) (*roaring.Bitmap, error) {
	if s.Offset+s.Length > len(chunk) {
		return nil, fmt.Errorf("%w: chunk %d of part %d is shorter than its sets", ErrDamaged, s.Chunk, p.id)
	}
	set, err := block.ReadSet(chunk[s.Offset:s.Offset+s.Length], s.People)
	if err != nil {
		return nil, fmt.Errorf("%w: a set of part %d: %w", ErrDamaged, p.id, err)
	}
	return set, nil
}

// setsBuilder collects who did what on which day.
type setsBuilder struct {
	by map[uint64][]uint32 // pair of name and day -> persons, with repeats
}

func (b *setsBuilder) add(name uint16, day int32, person uint32) {
	if b.by == nil {
		b.by = make(map[uint64][]uint32)
	}
	key := pair(name, day)
	list := b.by[key]
	if n := len(list); n > 0 && list[n-1] == person {
		return
	}
	b.by[key] = append(list, person)
}

// write makes sets of them.
func (b *setsBuilder) write() (*setsWriter, error) {
	keys := slices.SortedFunc(maps.Keys(b.by), func(a, b uint64) int {
		an, ad := unpair(a)
		bn, bd := unpair(b)
		return cmp.Or(cmp.Compare(an, bn), cmp.Compare(ad, bd))
	})
	w := &setsWriter{}
	for _, k := range keys {
		persons := b.by[k]
		slices.Sort(persons)
		set := roaring.New()
		set.AddMany(persons)
		name, day := unpair(k)
		if err := w.add(name, day, set); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// setsWriter makes the chunks of a part, unsealed, and the directory of its
// sets.
type setsWriter struct {
	chunks [][]byte
	chunk  []byte
	dir    []block.Set
}

// add takes the next set, in the order of names and days.
func (w *setsWriter) add(name uint16, day int32, set *roaring.Bitmap) (err error) {
	if len(w.chunk) >= setBytes {
		w.chunks, w.chunk = append(w.chunks, w.chunk), nil
	}
	set.RunOptimize()
	s := block.Set{Name: name, Day: day, Chunk: len(w.chunks), Offset: len(w.chunk), People: int(set.GetCardinality())}
	if w.chunk, err = block.AppendSet(w.chunk, set); err != nil {
		return err
	}
	s.Length = len(w.chunk) - s.Offset
	w.dir = append(w.dir, s)
	return nil
}

// done gives the chunks.
func (w *setsWriter) done() [][]byte {
	if len(w.chunk) > 0 {
		w.chunks, w.chunk = append(w.chunks, w.chunk), nil
	}
	return w.chunks
}
