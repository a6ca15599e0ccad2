package query

import (
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/history"
)

// attempt is one way of a person through the steps.
type attempt struct {
	start  int // the hit that began it
	depth  int // steps served
	served [maxSteps]int32
	times  [maxSteps]int64 // of the 1st, 2nd, .. step served
}

// walker finds the attempts of one person after another. Its slices are kept
// from person to person.
type walker struct {
	fu     *funnel
	cal    calendar
	hits   []hit // of one person, in order
	s      *store
	lists  [][]int32 // per step or exclusion: which hits match, rising
	any    []int32   // which hits match any step, rising
	groups []int32   // hits that have all hold values, by these, then rising
	attempt
}

func newWalker(fu *funnel, cal calendar) *walker {
	return &walker{fu: fu, cal: cal, lists: make([][]int32, len(fu.steps)+len(fu.exclude))}
}

// walk calls fn for every attempt that is not void, in the order of their
// starts within one set of hold values; fn returns false to see no more. The
// attempt is only valid during the call.
func (w *walker) walk(hits []hit, s *store, fn func(a *attempt) bool) {
	w.hits, w.s = hits, s
	only := -1
	if w.fu.first {
		if only = w.firstStart(); only < 0 || !w.fu.within.has(hits[only].time) {
			return
		}
	}
	w.list(w.lists[len(w.fu.steps):], len(w.fu.steps), nil)
	if len(w.fu.hold) == 0 {
		w.list(w.lists[:len(w.fu.steps)], 0, nil)
		w.starts(only, fn)
		return
	}
	// One set of hold values after another, each as if the others did not exist.
	w.groups = w.groups[:0]
	for i := range hits {
		if !slices.Contains(s.idsOf(&hits[i])[:len(w.fu.hold)], 0) {
			w.groups = append(w.groups, int32(i))
		}
	}
	same := func(a, b int32) int { return slices.Compare(w.held(a), w.held(b)) }
	slices.SortStableFunc(w.groups, same)
	for rest := w.groups; len(rest) > 0; {
		n := 1
		for n < len(rest) && same(rest[0], rest[n]) == 0 {
			n++
		}
		w.list(w.lists[:len(w.fu.steps)], 0, rest[:n])
		if !w.starts(only, fn) {
			return
		}
		rest = rest[n:]
	}
}

func (w *walker) held(i int32) []uint32 { return w.s.idsOf(&w.hits[i])[:len(w.fu.hold)] }

// firstStart is the person's first ever event that may start an attempt.
func (w *walker) firstStart() int {
	mask := uint64(1)
	if w.fu.order == anyOrder {
		mask = 1<<len(w.fu.steps) - 1
	}
	for i := range w.hits {
		if w.hits[i].mask&mask != 0 {
			return i
		}
	}
	return -1
}

// list fills lists with the hits in the range that match, bit by bit; of a
// group only, or of all.
func (w *walker) list(lists [][]int32, bit int, group []int32) {
	for k := range lists {
		lists[k] = lists[k][:0]
	}
	if bit == 0 {
		w.any = w.any[:0]
	}
	if len(lists) == 0 {
		return
	}
	n := len(w.hits)
	if group != nil {
		n = len(group)
	}
	wanted := allSteps(len(lists))
	for j := range n {
		i := int32(j)
		if group != nil {
			i = group[j]
		}
		h := &w.hits[i]
		mask := h.mask >> bit & wanted
		if mask == 0 || !w.fu.within.has(h.time) {
			continue
		}
		if bit == 0 && w.fu.order == anyOrder {
			w.any = append(w.any, i)
		}
		for ; mask != 0; mask &= mask - 1 {
			k := bits.TrailingZeros64(mask)
			lists[k] = append(lists[k], i)
		}
	}
}

// starts runs an attempt from every event that may start one.
func (w *walker) starts(only int, fn func(*attempt) bool) bool {
	try := func(i int32) bool {
		if only >= 0 && int(i) != only {
			return true
		}
		w.run(int(i))
		return w.void() || fn(&w.attempt)
	}
	if w.fu.order != anyOrder {
		for _, i := range w.lists[0] {
			if !try(i) {
				return false
			}
		}
		return true
	}
	for _, i := range w.any {
		if !try(i) {
			return false
		}
	}
	return true
}

func allSteps(n int) uint64 { return 1<<n - 1 }

// end is the last instant of the window of an attempt that starts with hit i;
// before everything where its property says no window, so that nothing follows.
func (w *walker) end(i int) int64 {
	win := w.fu.window
	if w.fu.windowOf != "" {
		f := w.s.floatsOf(&w.hits[i])[0]
		if math.IsNaN(f) || f < 0 {
			return math.MinInt64
		}
		win.n = f
	}
	return w.cal.add(w.hits[i].time, win, 1)
}

func (w *walker) run(start int) {
	a := &w.attempt
	a.start, a.depth = start, 1
	a.served = [maxSteps]int32{}
	for k := range w.fu.steps {
		a.served[k] = -1
	}
	a.times[0] = w.hits[start].time
	end := w.end(start)
	if w.fu.order == anyOrder {
		w.runAny(end)
		return
	}
	a.served[0] = int32(start)
	for k := 1; k < len(w.fu.steps); k++ {
		i := w.next(k, int(a.served[k-1]))
		if i < 0 || w.hits[i].time > end {
			return
		}
		a.served[k], a.times[k] = i, w.hits[i].time
		a.depth++
	}
}

// runAny lets every event serve the first step, as written, not yet served.
func (w *walker) runAny(end int64) {
	a := &w.attempt
	left := allSteps(len(w.fu.steps))
	a.depth = 0
	for i := int32(a.start); i >= 0 && (a.depth == 0 || w.hits[i].time <= end); i = w.nextOf(i, left) {
		for k := range w.fu.steps {
			if left>>k&1 != 0 && w.hits[i].mask>>k&1 != 0 {
				a.served[k], a.times[a.depth] = i, w.hits[i].time
				left &^= 1 << k
				a.depth++
				break
			}
		}
		if left == 0 {
			return
		}
	}
}

// next is the first hit after hit i that fits step k, -1 if there is none.
func (w *walker) next(k, i int) int32 {
	if w.fu.order == strict {
		return w.nextStrict(k, i)
	}
	list := w.lists[k]
	at := sort.Search(len(list), func(j int) bool { return w.after(list[j], int32(i)) })
	if at == len(list) {
		return -1
	}
	return list[at]
}

// after says whether hit j comes after hit i, as ties will have it.
func (w *walker) after(j, i int32) bool {
	if w.fu.later {
		return w.hits[j].time > w.hits[i].time
	}
	return j > i
}

// nextStrict is the person's very next event, if it fits step k.
func (w *walker) nextStrict(k, i int) int32 {
	for j := i + 1; j < len(w.hits); j++ {
		if w.hits[j].mask&otherBit == 0 {
			continue
		}
		at := sort.Search(len(w.lists[k]), func(x int) bool { return w.lists[k][x] >= int32(j) })
		if at < len(w.lists[k]) && w.lists[k][at] == int32(j) && w.after(int32(j), int32(i)) {
			return int32(j)
		}
		return -1
	}
	return -1
}

// nextOf is the first hit after hit i that fits any of some steps, -1 if there
// is none.
func (w *walker) nextOf(i int32, steps uint64) int32 {
	best := int32(-1)
	for k := range w.fu.steps {
		if steps>>k&1 == 0 {
			continue
		}
		list := w.lists[k]
		at := sort.Search(len(list), func(j int) bool { return w.after(list[j], i) })
		if at < len(list) && (best < 0 || list[at] < best) {
			best = list[at]
		}
	}
	return best
}

// void says whether an excluded event lies where it must not.
func (w *walker) void() bool {
	a := &w.attempt
	for x, ex := range w.fu.exclude {
		from := a.served[ex.after-1]
		if from < 0 {
			continue
		}
		list := w.lists[len(w.fu.steps)+x]
		at := sort.Search(len(list), func(j int) bool { return list[j] > from })
		if at == len(list) {
			continue
		}
		if to := a.served[ex.before-1]; to >= 0 {
			if list[at] < to {
				return true
			}
		} else if w.hits[list[at]].time <= w.end(a.start) {
			return true
		}
	}
	return false
}

// deepest is how many steps a person's deepest attempt served, 0 without one.
func (w *walker) deepest(hits []hit, s *store) int {
	depth := 0
	w.walk(hits, s, func(a *attempt) bool {
		depth = max(depth, a.depth)
		return depth < len(w.fu.steps)
	})
	return depth
}

// depths are people by how deep they went: reachedBy[k] reached step k+1.
type depths struct{ reachedBy []*roaring.Bitmap }

// reached are those who reached step k (from 1) or, dropped, the step before
// and not k.
func (d *depths) reached(k int, dropped bool) *roaring.Bitmap {
	if dropped {
		return roaring.AndNot(d.reachedBy[k-2], d.reachedBy[k-1])
	}
	return d.reachedBy[k-1].Clone()
}

// depthFinder is the consumer behind funnelPeople.
type depthFinder struct {
	w      *walker
	plain  *plainWalker // where it walks those without merged numbers
	people [][]uint32   // by depth - 1
}

// takeRows implements rowTaker.
func (f *depthFinder) takeRows(by *worker, rows *history.Rows, p *picked, day dayRange) error {
	return f.plain.takeRows(by, rows, p, day)
}

// endPartition implements rowTaker.
func (f *depthFinder) endPartition() error {
	return f.plain.walk(func(who uint32, best *attempt) {
		f.people[best.depth-1] = append(f.people[best.depth-1], who)
	})
}

func (f *depthFinder) take(hits []hit, s *store) error {
	if depth := f.w.deepest(hits, s); depth > 0 {
		f.people[depth-1] = append(f.people[depth-1], hits[0].who)
	}
	return nil
}

// funnelPeople finds how deep each person went.
func (q *run) funnelPeople(fu *funnel, people *roaring.Bitmap) (*depths, error) {
	p := fu.pass()
	p.people = people
	p.direct = fu.plain()
	took, err := q.read(p, func() consumer {
		return &depthFinder{w: newWalker(fu, q.cal), plain: newPlainWalker(q, fu), people: make([][]uint32, len(fu.steps))}
	})
	if err != nil {
		return nil, err
	}
	d := &depths{reachedBy: make([]*roaring.Bitmap, len(fu.steps))}
	deeper := roaring.New()
	for k := len(fu.steps) - 1; k >= 0; k-- {
		for _, c := range took {
			deeper.AddMany(c.(*depthFinder).people[k])
		}
		d.reachedBy[k] = deeper.Clone()
	}
	return d, nil
}
