package query

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Budget is what all questions of a process may use together: memory, and how
// many partitions are read at the same time. It is safe for concurrent use.
//
// Who reads partitions holds a slot meanwhile, and lets go of it between two
// stretches of rows if another has a better right to it: of the publishers that
// wait, the one whose questions held slots for the shortest time since they
// began to ask, and of its questions again that one. So a light question passes
// the heavy ones, its own publisher's too, and waits for a stretch.
type Budget struct {
	memory int64
	slots  int

	held    atomic.Int64 // bytes
	refused atomic.Int64
	stir    atomic.Bool // somebody waits for a slot, or more are held than there are

	mu         sync.Mutex
	publishers map[string]*account
	waiting    []*waiter // in the order in which they came
	taken      map[*slot]struct{}
	behind     int // appliers
	running    int // questions
}

// maxTogether is how many questions of one publisher are worked on at the same
// time. Others wait.
const maxTogether = 8

// ahead is how much longer one must have held slots than another to let it have
// the slot, so that two like ones do not take turns at every stretch. Until a
// question held slots for so long it waits for none, if not as many are held
// beyond those there are: a quick one would wait longer than it takes.
const ahead = 5 * time.Millisecond

// NewBudget makes a budget of so many bytes and so many slots, at least one.
func NewBudget(memory int64, slots int) *Budget {
	return &Budget{memory: memory, slots: max(slots, 1), publishers: make(map[string]*account), taken: make(map[*slot]struct{})}
}

// BudgetStats tells how a budget is used now.
type BudgetStats struct {
	Memory, Held     int64 // bytes
	Slots, Taken     int
	Running, Waiting int   // questions; those that wait for others of their publisher
	Refused          int64 // questions since the start, for the memory of all together
}

// Stats tells how the budget is used now.
func (b *Budget) Stats() BudgetStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BudgetStats{Memory: b.memory, Held: b.held.Load(), Slots: b.slots, Taken: len(b.taken), Running: b.running, Refused: b.refused.Load()}
	for _, a := range b.publishers {
		s.Waiting += a.shares
	}
	s.Waiting -= b.running
	return s
}

// Behind says that an applier has more to do than it gets done, or, with false,
// no more. While there is one, questions leave a core to it where there are two.
func (b *Budget) Behind(is bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 1
	if !is {
		n = -1
	}
	b.behind += n
	b.grant()
	b.stirred()
}

// account is a publisher with questions.
type account struct {
	name   string
	shares int           // that were begun, also those that wait for room
	room   chan struct{} // of those that are worked on
	used   time.Duration // of slots
	active int           // slots, and workers that wait for one
	asking map[*Share]struct{}
}

// Share is one question's part of a budget. End it. A nil one is of no budget
// and bounds nothing.
type Share struct {
	b       *Budget
	of      *account
	within  time.Duration
	until   time.Time // zero = for ever
	refused atomic.Bool

	// Under b.mu.
	used   time.Duration // of slots, from what others had when it began
	own    time.Duration // of slots
	active int
}

// Begin waits until another question of a publisher may be worked on; waiting
// and answering together may take as long as within says, 0 = for ever. The
// error is an *Error if that is over, else ctx's.
func (b *Budget) Begin(ctx context.Context, publisher string, within time.Duration) (*Share, error) {
	s := &Share{b: b, of: b.enter(publisher), within: within}
	own, cancel := ctx, func() {}
	if within > 0 {
		s.until = time.Now().Add(within)
		own, cancel = context.WithDeadline(ctx, s.until)
	}
	defer cancel()
	select {
	case s.of.room <- struct{}{}:
	case <-own.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		b.leave(s.of)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, tooLong(within)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.of.asking[s] = struct{}{}
	b.running++
	return s, nil
}

func (b *Budget) enter(publisher string) *account {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.publishers[publisher]
	if a == nil {
		a = &account{name: publisher, room: make(chan struct{}, maxTogether), asking: make(map[*Share]struct{})}
		b.publishers[publisher] = a
	}
	a.shares++
	return a
}

// leave is enter's opposite. The caller holds mu.
func (b *Budget) leave(a *account) {
	if a.shares--; a.shares == 0 {
		delete(b.publishers, a.name)
	}
}

// End lets the next question begin. Ending twice is harmless.
func (s *Share) End() {
	if s == nil {
		return
	}
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := s.of.asking[s]; !there {
		return
	}
	delete(s.of.asking, s)
	<-s.of.room
	b.running--
	b.leave(s.of)
}

// reserve counts bytes held against what all questions may hold; negative to
// give back.
func (s *Share) reserve(n int64) error {
	if s == nil {
		return nil
	}
	if held := s.b.held.Add(n); n <= 0 || held <= s.b.memory {
		return nil
	}
	if !s.refused.Swap(true) {
		s.b.refused.Add(1)
	}
	return fail(CodeBudget, "", "the questions that run now would hold more than the %d bytes of memory they may use together: ask again when fewer run", s.b.memory)
}

// slot is a worker's right to read. That of a question without a budget has no
// share.
type slot struct {
	s     *Share
	since time.Time // charged up to; under b.mu
}

// waiter is a worker that waits for a slot.
type waiter struct {
	slot  *slot
	given chan struct{} // closed when it has it
}

// take waits for a slot. Give it back.
func (s *Share) take(ctx context.Context) (*slot, error) {
	p := &slot{s: s}
	if s == nil {
		return p, nil
	}
	s.b.mu.Lock()
	s.b.activate(s)
	return p, p.line(ctx)
}

// activate counts in another who wants to read. Whoever did not read for a
// while has nothing to make up for: they begin with those who read now.
func (b *Budget) activate(s *Share) {
	now := time.Now()
	for p := range b.taken {
		p.charge(now)
	}
	if a := s.of; a.active == 0 {
		least := time.Duration(math.MaxInt64)
		for _, o := range b.publishers {
			if o.active > 0 {
				least = min(least, o.used)
			}
		}
		if least != math.MaxInt64 {
			a.used = max(a.used, least)
		}
	}
	if s.active == 0 {
		least := time.Duration(math.MaxInt64)
		for o := range s.of.asking {
			if o.active > 0 {
				least = min(least, o.used)
			}
		}
		if least != math.MaxInt64 {
			s.used = max(s.used, least)
		}
	}
	s.active++
	s.of.active++
}

// line waits for a slot, which is taken if there is no error. The caller holds
// mu, which is let go of.
func (p *slot) line(ctx context.Context) error {
	b := p.s.b
	w := &waiter{p, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.grant()
	b.stirred()
	b.mu.Unlock()
	select {
	case <-w.given:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, w); i >= 0 {
		b.serve(i)
	}
	p.free() // it may have been given meanwhile
	return ctx.Err()
}

// stirred tells those who hold slots whether they have to look.
func (b *Budget) stirred() { b.stir.Store(len(b.waiting) > 0 || len(b.taken) > b.open()) }

// serve takes a waiter out of the line.
func (b *Budget) serve(i int) *waiter {
	w := b.waiting[i]
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return w
}

// grant gives free slots to those with the best right to them. The caller
// holds mu, as of all below.
func (b *Budget) grant() {
	for len(b.waiting) > 0 && len(b.taken) < b.open() {
		b.hand(b.best())
	}
	for i := 0; i < len(b.waiting) && len(b.taken) < 2*b.slots; {
		if b.waiting[i].slot.s.own < ahead {
			b.hand(i)
		} else {
			i++
		}
	}
}

// hand gives a slot to one of the line.
func (b *Budget) hand(i int) {
	w := b.serve(i)
	w.slot.since = time.Now()
	b.taken[w.slot] = struct{}{}
	close(w.given)
}

// open is how many slots there are.
func (b *Budget) open() int {
	if b.behind > 0 && b.slots > 1 {
		return b.slots - 1
	}
	return b.slots
}

// best is where in the line the one with the best right is.
func (b *Budget) best() int {
	best := 0
	for i, w := range b.waiting {
		if w.slot.s.before(b.waiting[best].slot.s, 0) {
			best = i
		}
	}
	return best
}

// before says whether s held slots for so much less time than o.
func (s *Share) before(o *Share, by time.Duration) bool {
	if s.of == o.of {
		return s.used+by < o.used
	}
	return s.of.used+by < o.of.used
}

func (p *slot) charge(now time.Time) {
	d := now.Sub(p.since)
	p.s.used += d
	p.s.own += d
	p.s.of.used += d
	p.since = now
}

// free gives the slot back for good.
func (p *slot) free() {
	b := p.s.b
	if _, had := b.taken[p]; had {
		p.charge(time.Now())
		delete(b.taken, p)
	}
	p.s.active--
	p.s.of.active--
	p.s = nil
	b.grant()
	b.stirred()
}

// give gives the slot back. After an error of take or pass it is harmless.
func (p *slot) give() {
	if p.s == nil {
		return
	}
	b := p.s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	p.free()
}

// pass lets whoever has a better right to the slot have it, and waits for
// another. After an error there is none.
func (p *slot) pass(ctx context.Context) error {
	if p.s == nil || !p.s.b.stir.Load() {
		return nil
	}
	b := p.s.b
	b.mu.Lock()
	if !p.yields() {
		b.mu.Unlock()
		return nil
	}
	delete(b.taken, p)
	b.grant()
	return p.line(ctx)
}

// yields says whether another is to have the slot: one that waits, or, where
// more are held than there are, those who have a better right.
func (p *slot) yields() bool {
	b := p.s.b
	now := time.Now()
	for o := range b.taken {
		o.charge(now)
	}
	if p.s.own < ahead {
		return false
	}
	if len(b.taken) > b.open() {
		for o := range b.taken {
			if p.s.before(o.s, 0) {
				return false
			}
		}
		return true
	}
	return len(b.waiting) > 0 && b.waiting[b.best()].slot.s.before(p.s, ahead)
}
