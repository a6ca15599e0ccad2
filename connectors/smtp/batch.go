package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// batch is one Send. Messages are composed and signed by as many goroutines as
// there are processors, ahead of the connections, so that none of these waits for
// a signature; what is ready waits in a queue that holds the batch and no more.
type batch struct {
	messages []connector.Message
	outs     []connector.Outcome // each is one goroutine's at a time
	next     atomic.Int64        // to be composed
	ready    chan *job
}

// job is a message that is ready to go.
type job struct {
	at int // in the batch
	id string
	e  *envelope
}

// leastTime is what there must be left for a message to be begun.
const leastTime = 500 * time.Millisecond

func late(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(d) < leastTime
}

// Send implements connector.Connector.
func (s *smtp) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	b := &batch{messages: messages, outs: make([]connector.Outcome, len(messages)), ready: make(chan *job, len(messages))}
	for i, m := range messages {
		b.outs[i] = connector.Outcome{ID: m.ID, Result: connector.Again, Reason: "out of time", RetryAfter: 5 * time.Second}
	}
	var composing, sending sync.WaitGroup
	for range min(cap(s.cores), len(messages)) {
		composing.Go(func() { s.compose(ctx, b) })
	}
	lost := make([]error, min(s.c.conns, len(messages)))
	for w := range lost {
		sending.Go(func() { lost[w] = s.work(ctx, b) })
	}
	composing.Wait()
	close(b.ready)
	sending.Wait()
	// What nobody began, because nobody had a connection any more.
	err := errors.Join(lost...)
	for j := range b.ready {
		if err != nil {
			b.outs[j.at] = failed(j.id, err)
		}
	}
	return b.outs, nil
}

// compose makes messages ready until all of a batch are, or its time is over.
func (s *smtp) compose(ctx context.Context, b *batch) {
	for {
		select {
		case s.cores <- struct{}{}:
		case <-ctx.Done():
			return
		}
		i := int(b.next.Add(1)) - 1
		if i >= len(b.messages) || late(ctx) {
			<-s.cores
			return
		}
		m := b.messages[i]
		var e *envelope
		var err error = &refusal{connector.ClassConfig, "this connector sends e-mail only"}
		if m.Channel == "email" {
			e, err = s.c.compose(m, s.time())
		}
		<-s.cores
		if r := (*refusal)(nil); errors.As(err, &r) {
			b.outs[i] = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: r.class, Reason: r.reason}
			continue
		}
		b.ready <- &job{at: i, id: m.ID, e: e}
	}
}

// work takes one message after the other, on one connection after the other.
// It ends early when it can have no connection; others may go on.
func (s *smtp) work(ctx context.Context, b *batch) error {
	var k *conn
	broken := false
	defer func() {
		if k != nil {
			s.pool.put(k, broken)
		}
	}()
	var j *job
	opened := false // on k already
	// What is ready, if this connection may have another one.
	next := func() *job {
		if k.sent >= s.c.perConn || late(ctx) {
			return nil
		}
		select {
		case j := <-b.ready: // nil when there are no more
			if j != nil && k.tooLarge(j.e) != nil {
				b.outs[j.at] = k.tooLarge(j.e).outcome(j.id)
				return nil
			}
			return j
		default:
			return nil
		}
	}
	for {
		if j == nil {
			if j, opened = <-b.ready, false; j == nil {
				return nil
			}
		}
		if late(ctx) {
			broken = opened // the relay waits for the rest of it
			return nil
		}
		fresh := false
		if k == nil {
			var err error
			if k, fresh, err = s.pool.get(ctx); err != nil {
				b.outs[j.at] = failed(j.id, err)
				return err
			}
		}
		idle := !opened && k.sent > 0 && !fresh && time.Since(k.used) > time.Second
		e, after := k.carry(ctx, j.e, opened, next)
		broken = e.err != nil || e.reply.code == 421
		if broken || k.sent >= s.c.perConn {
			s.pool.put(k, broken)
			k, broken = nil, false
		}
		// The relay had closed a kept connection meanwhile: once more, on a new one.
		if idle && e.err != nil && e.stage == beforeData && ctx.Err() == nil {
			continue
		}
		b.outs[j.at] = e.outcome(j.id)
		j, opened = after, k != nil
	}
}
