package query

import (
	"context"
	"math"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// groupTaker is a consumer that takes rows as they lie, a person's after
// another's within a day, and keeps something of each person from day to day.
type groupTaker interface {
	consumer
	begin(w *worker, partition int) error
	// takeGroups takes the rows of a stretch whose event a reference names and
	// which lie in the range. It leaves people with merged numbers to w.many.
	takeGroups(w *worker, r *history.Rows, runs []history.Run) error
	// endGroups follows the last stretch of a partition.
	endGroups(ctx context.Context, w *worker, partition int) error
}

// pathState is a person who is on their way through a partition's rows.
type pathState struct {
	last    int64  // the last event of the session at hand
	at      uint32 // their path so far
	ended   uint32 // the latest of their paths in pathGroups.ended, 0 = none
	steps   uint16 // of the path so far
	started bool   // what starts paths has come, if there is such
	odd     bool   // not to be taken from rows as they lie: nobody asked for, merged, or late
	late    bool   // their rows do not come in order
}

// never is before everything, and far enough from the end of time for a
// difference to fit.
const never = math.MinInt64 / 2

// endedPath is a path of a person, and the one of theirs before it.
type endedPath struct{ at, before uint32 }

// names are the event names of a stretch.
type names struct {
	roles  []nameRole
	always bool // all are inSession
}

// nameRole is what an event of a name is to paths.
type nameRole struct {
	node  uint32 // a number of the dictionary
	place uint16 // of the name in a list of kids
	flags uint8
}

const (
	inSession uint8 = 1 << iota // is there at all
	isAnchor
	isNode
)

// pathGroups counts paths without hits: what is needed of a person from row to
// row is little, as long as their rows come in order. Whose do not is read
// again, in the way of all others.
type pathGroups struct {
	*pathReport
	mine  holding
	gap   int64
	of    *history.Rows // the stretch at hand
	times block.Times   // its
	names
	known  map[*string]names // by the first name of a block, since one comes back with every partition
	placed map[uint32]uint16 // of nodes: their place in a list of kids
	width  int               // of such a list
	kids   []uint32          // lists of places in the tree, 0 = not looked up; the first list is nobody's
	people []pathState
	ended  []endedPath // from 1 on
	late   bool        // somebody is
}

// grouped says whether paths can be taken from rows as they lie: nodes by
// name, forward, sessions by a gap of fixed length, no filters.
func (p *paths) grouped() bool {
	plain := p.any.filter == nil && (p.anchor == nil || p.anchor.filter == nil)
	for _, r := range p.events {
		plain = plain && r.filter == nil
	}
	return plain && p.by == "" && !p.backward && p.rule.property == "" && p.rule.gap.unit <= unitWeek
}

func newPathGroups(q *run, p *paths) *pathGroups {
	return &pathGroups{pathReport: newPathReport(q, p), mine: holding{q: q}, known: map[*string]names{}, placed: map[uint32]uint16{}, gap: q.cal.add(0, p.rule.gap, 1)}
}

// begin turns to another partition.
func (g *pathGroups) begin(w *worker, partition int) error {
	g.people = cleared(g.people, (len(w.plain)*64+event.Partitions-1)/event.Partitions)
	g.ended, g.late = append(g.ended[:0], endedPath{}), false
	for i := range g.people {
		g.people[i].last = never
		g.people[i].odd = !w.plain.has(uint32(i*event.Partitions + partition))
	}
	return g.reserve()
}

func (g *pathGroups) reserve() error {
	err := g.mine.upTo(int64(cap(g.people))*int64(unsafe.Sizeof(pathState{})) + int64(cap(g.ended))*int64(unsafe.Sizeof(endedPath{})) + int64(cap(g.kids))*4)
	if err != nil {
		return err
	}
	return g.tree.reserve()
}

// turn looks at the names of a stretch.
func (g *pathGroups) turn(w *worker, r *history.Rows) {
	first := &r.Names[0]
	if known := g.known[first]; len(known.roles) == len(r.Names) {
		g.names = known
		return
	}
	g.names = names{roles: make([]nameRole, len(r.Names)), always: w.every}
	for code, mask := range w.masks {
		if mask == 0 {
			continue
		}
		role := nameRole{node: w.q.values.id(event.OfText(r.Names[code])), flags: inSession}
		if mask&g.anchor != 0 {
			role.flags |= isAnchor
		}
		if mask&g.nodes != 0 {
			role.flags |= isNode
			role.place = g.placeOf(role.node)
		}
		g.roles[code] = role
	}
	if len(g.known) < maxKnown {
		g.known[first] = g.names
	}
}

// maxKnown bounds the blocks whose names a worker comes back to.
const maxKnown = 4096

// placeOf gives a node its place in lists of kids.
func (g *pathGroups) placeOf(node uint32) uint16 {
	place, ok := g.placed[node]
	if !ok {
		place = uint16(len(g.placed)) // there are at most 65,536 names
		g.placed[node] = place
	}
	if int(place) >= g.width {
		for g.width = max(g.width, 16); g.width <= int(place); g.width *= 2 {
		}
		g.kids = g.kids[:0]
		for at := range g.tree.places {
			g.tree.places[at].kids = 0
		}
		g.kids = cleared(g.kids, g.width)
	}
	return place
}

// maxKids bounds the lists of kids: they are to stay in the cache.
const maxKids = 1 << 18

// child is the tree's, remembered where paths are few: most go the same ways.
func (g *pathGroups) child(at uint32, role *nameRole) uint32 {
	list := g.tree.places[at].kids
	if list == 0 {
		if len(g.kids)+g.width > maxKids {
			return g.tree.child(at, role.node)
		}
		list = uint32(len(g.kids))
		g.tree.places[at].kids = list
		g.kids = append(g.kids, make([]uint32, g.width)...)
	}
	kid := &g.kids[list+uint32(role.place)]
	if *kid == 0 {
		*kid = g.tree.child(at, role.node)
	}
	return *kid
}

func (g *pathGroups) takeGroups(w *worker, r *history.Rows, runs []history.Run) error {
	if g.of != r {
		g.turn(w, r)
		if err := r.LoadGroups(); err != nil {
			return err
		}
		times, err := r.Times()
		if err != nil {
			return err
		}
		g.of, g.times = r, times
	}
	w.many.reset()
	err := w.pieces(r, runs, func(p piece) error {
		if r.Starts == nil || !p.within {
			if err := r.LoadPersons(); err != nil {
				return err
			}
			g.rows(w, r, p.from, p.to)
			return nil
		}
		people, row := g.people, p.from
		first := r.GroupAt(row)
		starts := r.Starts[first+1:]
		for k := 0; row < p.to; k++ {
			end := min(int(starts[k])-r.Base, p.to)
			who := r.Persons[first+k]
			if i := int(who / event.Partitions); i >= len(people) || people[i].odd {
				g.rows(w, r, row, end)
			} else {
				g.group(w, r, &people[i], row, end)
			}
			row = end
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(w.many.rows) > 0 {
		if err := w.extend(w.merged, r, &w.many); err != nil {
			return err
		}
		w.many.reset()
	}
	return g.reserve()
}

// rows takes rows one by one, of anybody and any time.
func (g *pathGroups) rows(w *worker, r *history.Rows, from, to int) {
	for row := from; row < to; row++ {
		e := r.Events[row]
		if g.roles[e].flags == 0 {
			continue
		}
		t, who := g.times.At(row), r.Person(row)
		if !w.p.within.has(t) {
			continue
		}
		if i := int(who / event.Partitions); i < len(g.people) && !g.people[i].odd {
			if st := &g.people[i]; g.enter(st, t) {
				st.last = t
				g.walk(st, r.Events[row:row+1])
			}
		} else if i >= len(g.people) || !g.people[i].late {
			w.pickOdd(r, int32(row))
		}
	}
}

// group takes rows that are all of one person, in the range and in order.
func (g *pathGroups) group(w *worker, r *history.Rows, st *pathState, from, to int) {
	if !g.always {
		for from < to && g.roles[r.Events[from]].flags == 0 {
			from++
		}
		for from < to && g.roles[r.Events[to-1]].flags == 0 {
			to--
		}
		if from == to {
			return
		}
	}
	first, last := g.times.At(from), g.times.At(to-1)
	if last-first <= g.gap { // as a rule: one session's
		if g.enter(st, first) {
			st.last = last
			g.walk(st, r.Events[from:to])
		}
		return
	}
	if !g.always {
		g.rows(w, r, from, to)
		return
	}
	for from < to && g.enter(st, first) {
		end := from + 1
		for st.last = first; end < to; end++ {
			if first = g.times.At(end); first-st.last > g.gap {
				break
			}
			st.last = first
		}
		g.walk(st, r.Events[from:end])
		from = end
	}
}

// enter says whether an event is to be taken, and begins a session with it if
// the one before is over.
func (g *pathGroups) enter(st *pathState, t int64) bool {
	switch {
	case t < st.last:
		st.odd, st.late, g.late = true, true, true
		return false
	case t-st.last > g.gap:
		g.end(st)
		st.at, st.steps, st.started = 0, 0, g.anchor == 0
	}
	return true
}

// end keeps the path of a session that is over.
func (g *pathGroups) end(st *pathState) {
	if st.at != 0 {
		g.ended = append(g.ended, endedPath{st.at, st.ended})
		st.ended = uint32(len(g.ended) - 1)
	}
}

// walk goes on over events of the session at hand.
func (g *pathGroups) walk(st *pathState, events []uint16) {
	steps, depth := int(st.steps), g.p.depth
	if steps == depth {
		return
	}
	roles := g.roles
	if !st.started {
		for len(events) > 0 && roles[events[0]].flags&isAnchor == 0 {
			events = events[1:]
		}
		st.started = len(events) > 0
	}
	at, collapse := st.at, g.p.collapse
	for _, e := range events {
		role := &roles[e]
		if role.flags&isNode == 0 || collapse && at != 0 && g.tree.places[at].node == role.node {
			continue
		}
		at = g.child(at, role)
		if steps++; steps == depth {
			break
		}
	}
	st.at, st.steps = at, uint16(steps)
}

// endGroups counts the partition's paths, person by person.
func (g *pathGroups) endGroups(ctx context.Context, w *worker, partition int) error {
	late := roaring.New()
	for i := range g.people {
		st := &g.people[i]
		who := uint32(i*event.Partitions + partition)
		if st.late {
			late.Add(who)
			continue
		}
		if st.odd {
			continue
		}
		g.end(st)
		for n := st.ended; n != 0; n = g.ended[n].before {
			g.tree.add(g.ended[n].at, who)
		}
	}
	if err := g.reserve(); err != nil || !g.late {
		return err
	}
	p := *w.p
	p.people, p.grouped = late, false
	again := w.q.newWorker(&p, g.pathReport)
	again.slot = w.slot
	err := again.partition(ctx, partition)
	if err != nil {
		return err
	}
	return w.q.reserve(-again.held)
}
