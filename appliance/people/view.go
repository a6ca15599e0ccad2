package people

import (
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// view is what readers see: everything of one commit, never changed after. It
// shares with the next whatever that commit left alone.
type view struct {
	max       uint32
	winners   pages[uint32]
	merged    *roaring.Bitmap
	losers    *losers
	exists    *roaring.Bitmap
	erased    *roaring.Bitmap
	lost      *roaring.Bitmap
	columns   map[string]*columnView
	reachable map[string]*roaring.Bitmap
	granted   map[consentKey]*roaring.Bitmap
	denied    map[consentKey]*roaring.Bitmap
	lists     map[string]*listView
}

// losers are the merged numbers by partition and winner, put together when the
// first question asks.
type losers struct {
	once sync.Once
	by   [event.Partitions]map[uint32][]uint32
}

// Committed publishes what was applied since the last call. The applier calls
// it after its transaction committed.
func (p *People) Committed() {
	v := &view{
		max:    p.count.max,
		merged: p.merged.view(), exists: p.exists.view(), erased: p.erased.view(), lost: p.lost.view(),
		columns:   make(map[string]*columnView, len(p.columns)),
		reachable: make(map[string]*roaring.Bitmap, len(p.reachable)),
		granted:   make(map[consentKey]*roaring.Bitmap, len(p.consent)),
		denied:    make(map[consentKey]*roaring.Bitmap, len(p.consent)),
	}
	if old := p.view.Load(); old != nil && !p.mergesChanged {
		v.winners, v.losers = old.winners, old.losers
	} else {
		v.winners, v.losers = p.winners.snapshot(), new(losers)
		p.mergesChanged = false
	}
	for key, c := range p.columns {
		v.columns[key] = c.view()
	}
	for channel, s := range p.reachable {
		v.reachable[channel] = s.view()
	}
	for k, a := range p.consent {
		v.granted[k], v.denied[k] = a.granted.view(), a.denied.view()
	}
	if old := p.view.Load(); old != nil && !p.listsChanged {
		v.lists = old.lists
	} else {
		v.lists, p.listsChanged = p.viewLists(), false
	}
	p.mu.Lock()
	p.index.publish()
	p.suppress.publish()
	p.soft.publish()
	p.view.Store(v)
	p.mu.Unlock()
	clear(p.cache)
}

func (v *view) winner(n uint32) uint32 {
	if w := v.winners.get(n); w != 0 {
		return w
	}
	return n
}

func (v *view) hidden(n uint32) bool { return v.erased.Contains(n) || v.lost.Contains(n) }

// losersOf gives a partition's losers by winner.
func (v *view) losersOf(partition int) map[uint32][]uint32 {
	v.losers.once.Do(func() {
		for it := v.merged.Iterator(); it.HasNext(); {
			n := it.Next()
			w := v.winners.get(n)
			by := &v.losers.by[w%event.Partitions]
			if *by == nil {
				*by = make(map[uint32][]uint32)
			}
			(*by)[w] = append((*by)[w], n)
		}
	})
	return v.losers.by[partition]
}

// numbers are a winner and all that were merged into it.
func (v *view) numbers(w uint32) []uint32 {
	return append([]uint32{w}, v.losersOf(int(w % event.Partitions))[w]...)
}
