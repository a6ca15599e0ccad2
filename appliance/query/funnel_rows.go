package query

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// plain says whether a funnel needs no more of a row than its instant and which
// steps it fits, and of a person no more than the earliest of the deepest
// attempts. Such a funnel is walked by plainWalker.
func (fu *funnel) plain() bool {
	return fu.order == ordered && !fu.first && !fu.attempts && len(fu.exclude) == 0 && len(fu.hold) == 0 && fu.windowOf == ""
}

// stepHit is a row of a plain funnel.
type stepHit struct {
	time  int64
	local uint32 // the person's number within the partition
	mask  uint32 // bit k: fits step k
}

// plainWalker collects a partition's rows and then walks the people through
// the steps, one after another. It gives attempt.depth and attempt.times only.
type plainWalker struct {
	q         *run
	fu        *funnel
	length    int64 // of the window; 0 where it depends on the start
	hits      []stepHit
	sorted    []stepHit
	counts    []uint32 // by local number; later where the person's hits begin
	times     []int64
	partition int
	next      [maxSteps]int // by step: the first hit that may serve it for the start at hand
	best      attempt
	try       [maxSteps]int64
	held      int64
}

func newPlainWalker(q *run, fu *funnel) *plainWalker {
	w := &plainWalker{q: q, fu: fu}
	if fu.window.unit <= unitWeek {
		w.length = q.cal.add(0, fu.window, 1)
	}
	return w
}

// takeRows implements rowTaker.
func (w *plainWalker) takeRows(by *worker, r *history.Rows, p *picked, _ dayRange) error {
	w.partition = r.Partition
	if err := r.LoadGroups(); err != nil {
		return err
	}
	n := p.len()
	times, err := r.Times()
	if err != nil {
		return err
	}
	base := len(w.hits)
	w.hits = slices.Grow(w.hits, n)[:base+n]
	hits := w.hits[base:]
	masks := by.masks
	if p.span {
		w.times = sized(w.times, n)
		times.In(p.from, p.to, w.times)
		n = 0
		for group, row := r.GroupAt(p.from), p.from; row < p.to; group++ {
			local := r.Persons[group] / event.Partitions
			end := min(int(r.Starts[group+1])-r.Base, p.to)
			first, last := n, uint32(0)
			for ; row < end; row++ {
				mask := uint32(masks[r.Events[row]])
				// Of hits that fit the same later step alone and follow each other
				// no attempt takes any but the first.
				if mask == last {
					continue
				}
				if mask&1 == 0 && mask&(mask-1) == 0 && !w.fu.later {
					last = mask
				} else {
					last = 0
				}
				hits[n] = stepHit{w.times[row-p.from], local, mask}
				n++
			}
			w.count(local, n-first)
		}
		w.hits = w.hits[:base+n]
		return w.hold()
	}
	w.times = sized(w.times, n)
	times.Of(p.rows, w.times)
	for k, row := range p.rows {
		local := r.Person(int(row)) / event.Partitions
		hits[k] = stepHit{w.times[k], local, uint32(masks[r.Events[row]])}
		w.count(local, 1)
	}
	if p.masks != nil {
		for k, m := range p.masks {
			hits[k].mask = uint32(m)
		}
	}
	return w.hold()
}

func (w *plainWalker) count(local uint32, n int) {
	if int(local) >= len(w.counts) {
		w.counts = append(w.counts, make([]uint32, int(local)+1-len(w.counts))...)
	}
	w.counts[local] += uint32(n)
}

// hold reserves what the walker has come to hold.
func (w *plainWalker) hold() error {
	now := int64(cap(w.hits)+cap(w.sorted))*int64(unsafe.Sizeof(stepHit{})) + int64(cap(w.counts))*4
	delta := now - w.held
	w.held = now
	return w.q.reserve(delta)
}

// walk calls fn with each person of the partition and the earliest of their
// deepest attempts, which is valid during the call.
func (w *plainWalker) walk(fn func(who uint32, best *attempt)) error {
	w.sorted = sized(w.sorted, len(w.hits))
	if err := w.hold(); err != nil {
		return err
	}
	sum := uint32(0)
	for i, n := range w.counts {
		w.counts[i] = sum
		sum += n
	}
	for _, h := range w.hits {
		at := &w.counts[h.local]
		w.sorted[*at] = h
		*at++
	}
	from := uint32(0)
	for local, end := range w.counts { // where a person's hits end, by now
		if end > from {
			if w.person(w.sorted[from:end]); w.best.depth > 0 {
				fn(uint32(local*event.Partitions+w.partition), &w.best)
			}
			from = end
		}
	}
	clear(w.counts)
	w.hits = w.hits[:0]
	return nil
}

// person finds the attempt of one person. Starts come in order, and what a
// later start looks for never lies before what an earlier one found: so every
// step's hit only moves on.
func (w *plainWalker) person(hits []stepHit) {
	for i := 1; i < len(hits); i++ {
		if hits[i].time < hits[i-1].time {
			slices.SortStableFunc(hits, func(a, b stepHit) int { return cmp.Compare(a.time, b.time) })
			break
		}
	}
	steps := len(w.fu.steps)
	clear(w.next[:steps])
	w.best.depth = 0
	later := w.fu.later
	chain := 0 // how deep the start before came: with the hits next[1] to next[chain-1]
	for i := range hits {
		if hits[i].mask&1 == 0 {
			continue
		}
		start := hits[i].time
		end := start + w.length
		if w.length == 0 {
			end = w.q.cal.add(start, w.fu.window, 1)
		}
		w.try[0] = start
		depth, prev := 1, i
		if chain > 1 && !later && w.next[1] > i {
			// The same hits follow; the window now ends later.
			depth, prev = chain, w.next[chain-1]
		}
		for ; depth < steps; depth++ {
			at := max(w.next[depth], prev+1)
			for at < len(hits) && (hits[at].mask>>depth&1 == 0 || later && hits[at].time <= hits[prev].time) {
				at++
			}
			w.next[depth] = at
			if at == len(hits) || hits[at].time > end {
				break
			}
			w.try[depth] = hits[at].time
			prev = at
		}
		chain = depth
		if depth > w.best.depth {
			w.best.depth = depth
			copy(w.best.times[:depth], w.try[:depth])
			if depth == steps {
				return
			}
		}
	}
}
