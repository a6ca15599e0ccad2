package query

import (
	"cmp"
	"slices"
)

// result gives the most frequent edges and paths.
func (p *paths) result(q *run, t *pathTree) (*PathsResult, error) {
	t.total()
	values := q.values.values
	// What nobody went has the count 0 and comes last: a path that only others
	// go on from, or what was begun with people whose rows were read again.
	out := &PathsResult{Edges: []PathEdge{}, Paths: []Path{}}
	edges, err := best(q, len(t.edges), p.limit, func(a, b uint32) int {
		x, y := &t.edges[a], &t.edges[b]
		if c := cmp.Compare(y.count, x.count); c != 0 || x.count == 0 {
			return c
		}
		return cmp.Or(byText(values[x.from], values[y.from]), byText(values[x.to], values[y.to]), cmp.Compare(x.step, y.step))
	})
	if err != nil {
		return nil, err
	}
	for _, i := range edges {
		e := &t.edges[i]
		if e.count == 0 {
			break
		}
		out.Edges = append(out.Edges, PathEdge{int(e.step), values[e.from], values[e.to], e.count, int64(e.people)})
	}
	paths, err := best(q, len(t.places), p.limit, func(a, b uint32) int {
		if c := cmp.Compare(t.places[b].count, t.places[a].count); c != 0 || t.places[a].count == 0 {
			return c
		}
		return slices.CompareFunc(t.nodes(a), t.nodes(b), func(x, y uint32) int { return byText(values[x], values[y]) })
	})
	if err != nil {
		return nil, err
	}
	for _, i := range paths {
		at := &t.places[i]
		if at.count == 0 {
			break
		}
		one := Path{Count: at.count, People: int64(at.people)}
		for _, node := range t.nodes(i) {
			one.Nodes = append(one.Nodes, values[node])
		}
		out.Paths = append(out.Paths, one)
	}
	return out, nil
}

// best gives the first of n things in an order, at most limit, without sorting
// all of them: most have nothing to do with the answer.
func best(q *run, n, limit int, order func(a, b uint32) int) ([]uint32, error) {
	var kept []uint32
	for i := range n {
		if i&0xffff == 0 && q.ctx.Err() != nil {
			return nil, q.ctx.Err()
		}
		// From limit on, the first of kept are in order.
		if len(kept) >= limit && order(kept[limit-1], uint32(i)) <= 0 {
			continue
		}
		kept = append(kept, uint32(i))
		if len(kept) == limit || len(kept) == 2*limit {
			slices.SortFunc(kept, order)
			kept = kept[:limit]
		}
	}
	slices.SortFunc(kept, order)
	return kept[:min(limit, len(kept))], nil
}
