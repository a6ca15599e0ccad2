package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// leastTime is what there must be left for a message to be begun.
const leastTime = 500 * time.Millisecond

// batch is one Send. When nothing can be sent at all, why is told for each of
// the messages that were not begun, and Apple is not asked for each.
type batch struct {
	messages []connector.Message
	outs     []connector.Outcome
	next     atomic.Int64
	stopped  atomic.Pointer[connector.Outcome]
}

// Send implements connector.Connector.
func (a *apns) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	b := &batch{messages: messages, outs: make([]connector.Outcome, len(messages))}
	for i := range b.outs {
		b.outs[i] = again("out of time", 5*time.Second)
	}
	var wg sync.WaitGroup
	for range min(cap(a.slots), len(messages)) {
		wg.Go(func() { a.work(ctx, b) })
	}
	wg.Wait()
	for i := range b.outs {
		b.outs[i].ID = messages[i].ID
	}
	return b.outs, nil
}

// work takes one message after the other.
func (a *apns) work(ctx context.Context, b *batch) {
	for {
		select {
		case a.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		i := int(b.next.Add(1)) - 1
		switch end, bounded := ctx.Deadline(); {
		case i >= len(b.messages):
		case b.stopped.Load() != nil:
			b.outs[i] = *b.stopped.Load()
		case ctx.Err() == nil && (!bounded || time.Until(end) > leastTime):
			b.outs[i] = a.one(ctx, b, &b.messages[i])
		}
		<-a.slots
		if i >= len(b.messages) {
			return
		}
	}
}

// stop has nothing more of a batch begun, unless it was only this message's
// time that was over.
func (b *batch) stop(ctx context.Context, why connector.Outcome) connector.Outcome {
	if ctx.Err() == nil {
		b.stopped.Store(&why)
	}
	return why
}
