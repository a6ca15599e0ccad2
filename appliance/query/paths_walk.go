package query

import "slices"

// pathReport is the consumer of paths.
type pathReport struct {
	p             *paths
	anchor, nodes uint64
	cut           *cutter
	tree          *pathTree
	way           []uint32
	hold          holding
}

func newPathReport(q *run, p *paths) *pathReport {
	r := &pathReport{p: p, cut: newCutter(p.rule, q.cal, 1), tree: newPathTree(q, p.bySteps), hold: holding{q: q}}
	r.anchor, r.nodes = p.bits()
	return r
}

func (r *pathReport) take(hits []hit, s *store) error {
	r.cut.begin(hits, s)
	for places := r.cut.next(); places != nil; places = r.cut.next() {
		r.walk(hits, places, s)
		at := uint32(0)
		for _, node := range r.way {
			at = r.tree.child(at, node)
		}
		r.tree.add(at, hits[0].who)
	}
	if err := r.hold.upTo(r.cut.bytes()); err != nil {
		return err
	}
	return r.tree.reserve()
}

// walk finds the nodes of a session's path.
func (r *pathReport) walk(hits []hit, places []int32, s *store) {
	r.way = r.way[:0]
	isAnchor := func(i int32) bool { return hits[i].mask&r.anchor != 0 }
	if r.anchor != 0 {
		i := slices.IndexFunc(places, isAnchor)
		if i < 0 {
			return
		}
		if !r.p.backward {
			places = places[i:]
		}
	}
	if !r.p.backward {
		for _, i := range places {
			if !r.step(&hits[i], s) {
				return
			}
		}
		return
	}
	to := len(places) - 1
	for !isAnchor(places[to]) {
		to--
	}
	for ; to >= 0 && r.step(&hits[places[to]], s); to-- {
	}
	slices.Reverse(r.way)
}

// step adds a hit's node to the way; false if there is room for no more.
func (r *pathReport) step(h *hit, s *store) bool {
	if h.mask&r.nodes == 0 {
		return true
	}
	node, n := s.idsOf(h)[0], len(r.way)
	if r.p.collapse && n > 0 && r.way[n-1] == node {
		return true
	}
	if n == r.p.depth {
		return false
	}
	r.way = append(r.way, node)
	return true
}

// pathCounter is a consumer of paths.
type pathCounter interface {
	consumer
	// counted gives what was counted, which the consumer then has no more.
	counted() *pathTree
}

func (r *pathReport) counted() *pathTree {
	t := r.tree
	r.tree = nil
	return t
}
