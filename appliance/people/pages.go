package people

// pageLen is how many entries one page holds.
const pageLen = 256

// pages is a long array of which snapshots can be taken cheaply: a page that a
// snapshot shares is copied before it is written to. The zero entry costs
// nothing. Only the applier writes; a snapshot is read-only and never changes.
type pages[T comparable] struct {
	root []*page[T]
	gen  uint64 // pages of an older generation are shared
}

type page[T comparable] struct {
	gen uint64
	v   [pageLen]T
}

func (p *pages[T]) get(i uint32) T {
	if n := int(i / pageLen); n < len(p.root) && p.root[n] != nil {
		return p.root[n].v[i%pageLen]
	}
	var zero T
	return zero
}

func (p *pages[T]) set(i uint32, v T) {
	n := int(i / pageLen)
	var zero T
	if n >= len(p.root) {
		if v == zero {
			return
		}
		p.root = append(p.root, make([]*page[T], n+1-len(p.root))...)
	}
	switch pg := p.root[n]; {
	case pg == nil:
		if v == zero {
			return
		}
		p.root[n] = &page[T]{gen: p.gen}
	case pg.gen != p.gen:
		if pg.v[i%pageLen] == v {
			return
		}
		own := *pg
		own.gen = p.gen
		p.root[n] = &own
	}
	p.root[n].v[i%pageLen] = v
}

// snapshot gives the array as it is now; what is written later leaves it alone.
func (p *pages[T]) snapshot() pages[T] {
	s := pages[T]{root: append([]*page[T](nil), p.root...), gen: p.gen}
	p.gen++
	return s
}

// flat gives the array in one piece, n entries long.
func (p *pages[T]) flat(n int) []T {
	out := make([]T, n)
	for i, pg := range p.root {
		if pg != nil && i*pageLen < n {
			copy(out[i*pageLen:], pg.v[:])
		}
	}
	return out
}
