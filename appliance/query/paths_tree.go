package query

import "unsafe"

// pathTree counts paths: each is a place in a tree, below that of the path
// that is one node shorter. Place 0 is the path of no nodes. A person's paths
// must be added one after another, without another person's in between, so
// that people are counted once with no more than the last one's number.
type pathTree struct {
	q       *run
	bySteps bool
	places  []pathPlace
	slots   []uint32 // places by hash of parent and node, at most half full; 0 = free
	edges   []pathEdge
	known   map[edgeKey]uint32 // in edges
	held    int64
}

// pathPlace is a path.
type pathPlace struct {
	parent uint32
	node   uint32 // the last of the path, a number of the dictionary
	edge   uint32 // that led here, where the path has two nodes or more
	kids   uint32 // for pathGroups
	last   uint32 // the last person whose path ended here
	people uint32 // those whose path ended here
	count  int64  // how often one did
}

// edgeKey is an edge: step is 0 where steps are added up.
type edgeKey struct{ step, from, to uint32 }

type pathEdge struct {
	edgeKey
	last   uint32 // the last person with it
	people uint32
	count  int64 // once tree.total was called
}

// maxPlaces bounds a tree, so that places fit their numbers.
const maxPlaces = 1 << 30

func newPathTree(q *run, bySteps bool) *pathTree {
	return &pathTree{q: q, bySteps: bySteps, places: make([]pathPlace, 1, 64), slots: make([]uint32, 128), known: map[edgeKey]uint32{}}
}

// child is the place of the path that goes on from another one to a node.
func (t *pathTree) child(parent, node uint32) uint32 {
	mask := uint32(len(t.slots) - 1)
	i := pathHash(parent, node)
	for ; t.slots[i&mask] != 0; i++ {
		at := t.slots[i&mask]
		if p := &t.places[at]; p.parent == parent && p.node == node {
			return at
		}
	}
	at := uint32(len(t.places))
	t.slots[i&mask] = at
	p := pathPlace{parent: parent, node: node}
	if parent != 0 {
		key := edgeKey{from: t.places[parent].node, to: node}
		if t.bySteps {
			key.step = uint32(t.steps(parent))
		}
		p.edge = t.edge(key)
	}
	t.places = append(t.places, p)
	if 2*len(t.places) > len(t.slots) {
		t.grow()
	}
	return at
}

func pathHash(parent, node uint32) uint32 {
	return uint32((uint64(parent)<<32 | uint64(node)) * 0x9e3779b97f4a7c15 >> 32)
}

func (t *pathTree) grow() {
	t.slots = make([]uint32, 2*len(t.slots))
	mask := uint32(len(t.slots) - 1)
	for at := 1; at < len(t.places); at++ {
		i := pathHash(t.places[at].parent, t.places[at].node)
		for t.slots[i&mask] != 0 {
			i++
		}
		t.slots[i&mask] = uint32(at)
	}
}

func (t *pathTree) edge(key edgeKey) uint32 {
	at, ok := t.known[key]
	if !ok {
		at = uint32(len(t.edges))
		t.known[key] = at
		t.edges = append(t.edges, pathEdge{edgeKey: key})
	}
	return at
}

// add counts a path of a person.
func (t *pathTree) add(at, who uint32) {
	if at == 0 {
		return
	}
	p := &t.places[at]
	p.count++
	p.people += other(p.last, who)
	p.last = who
	// All of the way, each time: to see whether they came by here before would
	// be a branch that nobody can foretell.
	for p.parent != 0 {
		e := &t.edges[p.edge]
		e.people += other(e.last, who)
		e.last = who
		p = &t.places[p.parent]
	}
}

// other is 1 where a and b differ, without a branch.
func other(a, b uint32) (n uint32) {
	if a != b {
		n = 1
	}
	return n
}

// merge adds another tree, of other people.
func (t *pathTree) merge(o *pathTree) error {
	as := make([]uint32, len(o.places))
	for i := 1; i < len(o.places); i++ { // a path comes after what it goes on from
		p := &o.places[i]
		as[i] = t.child(as[p.parent], p.node)
		to := &t.places[as[i]]
		to.people += p.people
		to.count += p.count
		if i&0xffff == 0 {
			if err := t.reserve(); err != nil {
				return err
			}
		}
	}
	for i := range o.edges {
		t.edges[t.edge(o.edges[i].edgeKey)].people += o.edges[i].people
	}
	return t.reserve()
}

// total counts the edges, from the paths that go over them.
func (t *pathTree) total() {
	over := make([]int64, len(t.places))
	for i := len(t.places) - 1; i > 0; i-- {
		p := &t.places[i]
		over[i] += p.count
		over[p.parent] += over[i]
		if p.parent != 0 {
			t.edges[p.edge].count += over[i]
		}
	}
}

// reserve counts what the tree came to hold against the budget.
func (t *pathTree) reserve() error {
	if len(t.places) > maxPlaces {
		return fail(CodeBudget, "depth", "there are more than %d different paths: ask for fewer nodes, or name the events", maxPlaces)
	}
	// An edge has an entry in a map too. Where paths are added up there is a
	// number for each beside.
	now := int64(cap(t.places))*int64(unsafe.Sizeof(pathPlace{})+8) + int64(len(t.slots))*4 + int64(cap(t.edges))*int64(2*unsafe.Sizeof(pathEdge{}))
	more := now - t.held
	if more <= 0 {
		return nil
	}
	t.held = now
	return t.q.reserve(more)
}

// steps is how many nodes a path has.
func (t *pathTree) steps(at uint32) int {
	n := 0
	for ; at != 0; at = t.places[at].parent {
		n++
	}
	return n
}

// nodes gives the nodes of a path.
func (t *pathTree) nodes(at uint32) []uint32 {
	out := make([]uint32, t.steps(at))
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = t.places[at].node
		at = t.places[at].parent
	}
	return out
}
