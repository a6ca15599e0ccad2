package query

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// maxRefs bounds the event references of one pass: a hit has a bit for each.
const maxRefs = 63

// pass is one reading of the rows: what to look for and what hits carry.
type pass struct {
	refs    []*ref
	other   bool // rows that any reference names, whether or not its filter holds, and any event of the apps get otherBit
	within  period
	dims    []dimension
	numbers []string
	people  *roaring.Bitmap // winners; nil = everyone
	// single: hits are taken as they come, in no order and not by person.
	single bool
	// direct: the consumers are rowTakers. Rows of people without merged numbers
	// go to them as they lie; of the others hits are made.
	direct bool
	// grouped: the consumers are groupTakers.
	grouped bool
}

// otherBit marks a row that is some event of the person, for strict funnels.
const otherBit = uint64(1) << 63

// consumer takes the hits of a pass: all of one person in their order or, for a
// single pass, any of anyone. Each worker has its own; nothing is kept of hits
// after the call.
type consumer interface {
	take(hits []hit, s *store) error
}

// read runs a pass over the 64 partitions on the question's workers and gives
// the consumers that took it.
func (q *run) read(p *pass, newConsumer func() consumer) ([]consumer, error) {
	if len(p.refs) > maxRefs {
		return nil, fail(CodeBudget, "", "the question looks for more than %d events at once", maxRefs)
	}
	if p.within.from >= p.within.to || len(p.refs) == 0 || p.people != nil && p.people.IsEmpty() {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(q.ctx)
	defer cancel()
	more, enough := context.WithCancel(ctx) // ends when no partition is left to wait for
	defer enough()
	var (
		rota   = newRota(q.env.Workers)
		wait   sync.WaitGroup
		mu     sync.Mutex
		out    []consumer
		failed error
		held   atomic.Int64
		merged [event.Partitions]*store // hits of people with merged numbers
	)
	q.pause()
	for number := range q.env.Workers {
		w := q.newWorker(p, newConsumer())
		out = append(out, w.to)
		wait.Go(func() {
			defer func() { held.Add(w.held) }()
			var err error
			w.slot, err = q.env.Share.take(more)
			defer w.slot.give()
			for {
				partition, ok := rota.take(number)
				if !ok {
					enough()
					return
				}
				if err == nil {
					err = w.partition(ctx, partition)
				}
				if err != nil {
					mu.Lock()
					// The first to fail says why; the others are only cancelled.
					if failed == nil {
						failed = err
					}
					mu.Unlock()
					cancel()
					return
				}
				if len(w.merged.hits) > 0 {
					merged[partition], w.merged = w.merged, newStore(len(p.dims), len(p.numbers))
					w.kept += merged[partition].bytes()
				}
			}
		})
	}
	wait.Wait()
	if err := q.resume(); err != nil && failed == nil {
		failed = err
	}
	if err := q.reserve(-held.Load()); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, q.explain(failed)
	}
	to, err := q.takeMerged(p, &merged, newConsumer)
	if to != nil {
		out = append(out, to)
	}
	return out, err
}

// takeMerged hands over the people whose rows lie in several partitions, once
// all of them are read. nil if there are none.
func (q *run) takeMerged(p *pass, merged *[event.Partitions]*store, newConsumer func() consumer) (consumer, error) {
	all := newStore(len(p.dims), len(p.numbers))
	for _, s := range merged {
		if s == nil {
			continue
		}
		for _, h := range s.hits {
			all.copyFrom(s, h)
		}
	}
	if len(all.hits) == 0 {
		return nil, nil
	}
	if err := q.reserve(all.bytes()); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all.hits, all.before)
	to := newConsumer()
	err := takePeople(q.ctx, all, to)
	if err != nil {
		return nil, q.explain(err)
	}
	return to, q.reserve(-all.bytes())
}

// explain turns a deadline of the question's own into the error for it.
func (q *run) explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && q.own() {
		return tooLong(q.env.Deadline)
	}
	return err
}

func tooLong(within time.Duration) error {
	return fail(CodeBudget, "", "the question took longer than the %s it may take: ask a shorter range or fewer steps", within)
}
