package history

import (
	"cmp"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// frozen is a block.
type frozen struct {
	id    uint64
	info  *block.Info
	names []string // of info.Names
}

func (b *frozen) has(key uint16) bool {
	_, ok := slices.BinarySearch(b.info.Columns, key)
	return ok
}

// place is one partition's share of a block.
type place struct {
	block *frozen
	slice *block.Slice
	from  int // its first row
}

// blockList is the blocks and parts there are. It never changes; snapshots hold it
// by counting, since what it names must not be deleted under them.
type blockList struct {
	blocks []*frozen // in the order of their generations, then of Info.Order
	parts  []*part
	places [event.Partitions][]place
	names  map[uint16]*NameInfo
	rows   int64
	first  int64
	last   int64

	// Guarded by History.mu.
	refs int
}

func newList(blocks []*frozen, parts []*part) *blockList {
	l := &blockList{blocks: blocks, parts: parts, names: make(map[uint16]*NameInfo), first: math.MaxInt64, last: math.MinInt64}
	slices.SortFunc(l.blocks, func(a, b *frozen) int {
		return cmp.Or(cmp.Compare(a.info.Generation, b.info.Generation), cmp.Compare(a.info.Order, b.info.Order))
	})
	for _, b := range l.blocks {
		row := 0
		for i := range b.info.Slices {
			s := &b.info.Slices[i]
			l.places[s.Partition] = append(l.places[s.Partition], place{b, s, row})
			row += s.Rows
		}
		l.rows += int64(b.info.Rows)
		l.first, l.last = min(l.first, b.info.First), max(l.last, b.info.Last)
		for i, n := range b.info.Names {
			info := l.names[n.Code]
			if info == nil {
				info = &NameInfo{Name: b.names[i], First: n.First, Last: n.Last}
				l.names[n.Code] = info
			}
			info.Rows += int64(n.Rows)
			info.First, info.Last = min(info.First, n.First), max(info.Last, n.Last)
		}
	}
	return l
}

// uses says whether anything that is listed lies on a shelf.
func (l *blockList) uses(shelf uint32) bool {
	return slices.ContainsFunc(l.blocks, func(b *frozen) bool { return b.info.Shelf == shelf }) ||
		slices.ContainsFunc(l.parts, func(p *part) bool { return p.shelf == shelf })
}
