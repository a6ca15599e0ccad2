package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// smtp hands e-mail to a relay.
//
// Failure rules: a message counts as accepted when the relay has said so after
// its last byte. A connection that is lost before that byte sent nothing; one
// that is lost between it and the answer leaves that message, and no other,
// unknown. When the time of a batch is over, what was not begun comes again.
type smtp struct {
	c    config
	pool *pool
	now  func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (s *smtp) Describe() connector.Description {
	return connector.Description{
		Name:     "smtp",
		Version:  "0.1.0",
		Summary:  "Sends e-mail through an SMTP relay.",
		Channels: []string{"email"},
		Batch:    200,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (s *smtp) Configure(_ context.Context, settings connector.Settings) ([]connector.Problem, error) {
	c, problems := read(settings)
	s.c = c
	s.pool = newPool(&s.c)
	return problems, nil
}

// Check implements connector.Connector: it connects, encrypts, signs in, and
// sends nothing.
func (s *smtp) Check(ctx context.Context) error {
	k, err := s.c.dial(ctx)
	if err != nil {
		return err
	}
	k.quit()
	return nil
}

// leastTime is what there must be left for a message to be begun.
const leastTime = 500 * time.Millisecond

// Send implements connector.Connector.
func (s *smtp) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	outs := make([]connector.Outcome, len(batch))
	for i, m := range batch {
		outs[i] = connector.Outcome{ID: m.ID, Result: connector.Again, Reason: "out of time", RetryAfter: 5 * time.Second}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	lost := make([]error, min(s.c.conns, len(batch)))
	for w := range lost {
		wg.Go(func() { lost[w] = s.work(ctx, batch, outs, &next) })
	}
	wg.Wait()
	// What nobody began, because nobody had a connection any more.
	for _, err := range lost {
		for i := int(next.Load()); err != nil && i < len(batch); i++ {
			outs[i] = failed(batch[i].ID, err)
		}
	}
	return outs, nil
}

// work takes one message after the other, on one connection after the other.
// It ends early when it can have no connection; others may go on.
func (s *smtp) work(ctx context.Context, batch []connector.Message, outs []connector.Outcome, next *atomic.Int64) error {
	var k *conn
	broken := false
	defer func() {
		if k != nil {
			s.pool.put(k, broken)
		}
	}()
	now := time.Now
	if s.now != nil {
		now = s.now
	}
	for {
		i := int(next.Add(1)) - 1
		if i >= len(batch) || ctx.Err() != nil {
			return nil
		}
		if d, ok := ctx.Deadline(); ok && time.Until(d) < leastTime {
			return nil
		}
		m := batch[i]
		if m.Channel != "email" {
			outs[i] = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassConfig, Reason: "this connector sends e-mail only"}
			continue
		}
		e, err := s.c.compose(m, now())
		if err != nil {
			var r *refusal
			errors.As(err, &r)
			outs[i] = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: r.class, Reason: r.reason}
			continue
		}
		for {
			fresh := false
			if k == nil {
				if k, fresh, err = s.pool.get(ctx); err != nil {
					outs[i] = failed(m.ID, err)
					return err
				}
			}
			idle := k.sent > 0 && !fresh && time.Since(k.used) > time.Second
			end := k.send(ctx, s.c.returnPath, e)
			outs[i] = end.outcome(m.ID)
			broken = end.err != nil || end.reply.code == 421
			if broken || k.sent >= s.c.perConn {
				s.pool.put(k, broken)
				k, broken = nil, false
			}
			// The relay had closed a kept connection meanwhile: once more, on a new one.
			if idle && end.err != nil && end.stage == beforeData && ctx.Err() == nil {
				continue
			}
			break
		}
	}
}

// Drain implements connector.Connector.
func (s *smtp) Drain(context.Context) error {
	s.pool.close()
	return nil
}
