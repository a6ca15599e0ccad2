package host

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// NotSent is Send's error when it is certain that nothing of the batch went out.
type NotSent struct{ Err error }

func (n *NotSent) Error() string { return "nothing was sent: " + n.Err.Error() }
func (n *NotSent) Unwrap() error { return n.Err }

// leastTime is what there must be left of a caller's time for a batch to be
// begun: less would only make its end unknown.
const leastTime = time.Second

// Send sends messages, in batches as the connector takes them, and gives one
// outcome each, in order. An error says that
// nothing is known of any of them, unless it is a *NotSent. When part of the
// batch is known there is no error: what was handed over without an answer is
// Unknown, what was not handed over any more Again. It returns soon after ctx ends.
func (c *Connector) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	if c.draining || c.closed {
		c.mu.Unlock()
		return nil, &NotSent{fmt.Errorf("connector %s: %w", c.i.subject(), ErrClosed)}
	}
	c.flights.Add(1)
	c.mu.Unlock()
	defer c.flights.Done()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, &NotSent{fmt.Errorf("connector %s: waiting for its turn: %w", c.i.subject(), ctx.Err())}
	}
	outs := make([]connector.Outcome, 0, len(batch))
	handed := false // something was
	for len(outs) < len(batch) {
		rest := batch[len(outs):]
		chunk, wire := c.cut(rest)
		if len(chunk) == 0 {
			outs = append(outs, connector.Outcome{
				ID: rest[0].ID, Result: connector.Refused, Class: connector.ClassContent,
				Reason: fmt.Sprintf("larger than %d MiB", connectorpb.MaxBatchBytes>>20),
			})
			continue
		}
		got, sent, err := c.sendChunk(ctx, chunk, wire)
		if err != nil && !handed && (!sent || len(chunk) == len(batch)) {
			c.count(!sent, len(batch))
			if sent {
				return nil, fmt.Errorf("connector %s: %w", c.i.subject(), err)
			}
			return nil, &NotSent{fmt.Errorf("connector %s: %w", c.i.subject(), err)}
		}
		handed = handed || sent
		if err == nil {
			outs = append(outs, got...)
			continue
		}
		if sent {
			c.h.o.Logger.Error("part of a batch was not answered", "connector", c.i.subject(), "messages", len(chunk), "error", err)
			for _, m := range chunk {
				outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Unknown})
			}
		}
		// Whatever went wrong, the rest waits for better times.
		for _, m := range batch[len(outs):] {
			outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Again, Reason: "not handed over"})
		}
	}
	for _, o := range outs {
		c.sent[o.Result].Add(1)
	}
	return outs, nil
}

// count counts a whole batch that ended in an error.
func (c *Connector) count(again bool, n int) {
	r := connector.Unknown
	if again {
		r = connector.Again
	}
	c.sent[r].Add(uint64(n))
}

// cut takes as many messages as fit one call. None means that the first is too
// large for any.
func (c *Connector) cut(batch []connector.Message) ([]connector.Message, []*connectorpb.Message) {
	most := connectorpb.MaxBatch
	if a := c.knows(); a != nil {
		most = a.description.Batch
	}
	var wire []*connectorpb.Message
	size := 0
	for _, m := range batch[:min(most, len(batch))] {
		w := connectorpb.FromMessage(m)
		if size += proto.Size(w) + 8; size > connectorpb.MaxBatchBytes {
			break
		}
		wire = append(wire, w)
	}
	return batch[:len(wire)], wire
}

// sendChunk makes one call. sent is false if it is certain that it was not
// made; err then says why.
func (c *Connector) sendChunk(ctx context.Context, chunk []connector.Message, wire []*connectorpb.Message) (outs []connector.Outcome, sent bool, err error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < leastTime {
		return nil, false, fmt.Errorf("too little time is left: %w", context.DeadlineExceeded)
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	p, err := c.live()
	if err != nil {
		return nil, false, err
	}
	if s := p.conn.GetState(); s == connectivity.TransientFailure || s == connectivity.Shutdown || s == connectivity.Connecting {
		return nil, false, fmt.Errorf("%w: its connection is %s", ErrNotRunning, s)
	}
	began := time.Now()
	r, err := call(ctx, c.h.o.timing.send, func(ctx context.Context) (*connectorpb.SendReply, error) {
		return p.rpc.Send(ctx, &connectorpb.SendRequest{Messages: wire})
	})
	if err != nil {
		if status.Code(err) == codes.FailedPrecondition {
			return nil, false, rpcError(err)
		}
		if status.Code(err) == codes.DeadlineExceeded && time.Since(began) >= c.h.o.timing.patience {
			select {
			case c.hung <- p:
			default:
			}
		}
		return nil, true, rpcError(err)
	}
	return c.match(chunk, r.GetOutcomes()), true, nil
}

// match puts a reply's outcomes to the messages that were sent. What is said of
// other messages does not count.
func (c *Connector) match(chunk []connector.Message, reply []*connectorpb.Outcome) []connector.Outcome {
	mine := make(map[string]int, len(chunk))
	outs := make([]connector.Outcome, len(chunk))
	for i, m := range chunk {
		mine[m.ID] = i
		outs[i] = connector.Outcome{ID: m.ID, Result: connector.Unknown, Reason: "the connector said nothing of it"}
	}
	strays := 0
	for _, q := range reply {
		i, ok := mine[q.GetId()]
		if !ok {
			strays++
			continue
		}
		delete(mine, q.GetId())
		outs[i] = connectorpb.ToOutcome(q)
	}
	if strays > 0 || len(mine) > 0 {
		c.h.o.Logger.Error("a connector's answer does not fit what was sent", "connector", c.i.subject(), "strays", strays, "unanswered", len(mine))
	}
	return outs
}
