package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Bounds of one reading: bytes as stored, and bytes of encoded facts. Beyond
// either it gives fewer records.
const (
	readSealed = 2 << 20
	readPlain  = 4 << 20
)

// readTries is how often an engine may fail to answer before it is opened again.
const readTries = 3

// Begin is the cursor before the first record that is still there.
func (j *Journal) Begin() Cursor {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Cursor{j.mark.incarnation, j.mark.trimmed}
}

// Read gives the records after a cursor in order, at least one and at most
// max; it waits until there is one, through any trouble with the engine, or
// until ctx ends. What it gives is the caller's. It answers ErrTrimmed for a cursor before the first record that is
// still there, ErrDamaged for a record that is missing or altered, or a cursor
// that this journal never gave.
func (j *Journal) Read(ctx context.Context, after Cursor, max int) ([]Record, error) {
	for tries := 0; ; {
		j.mu.Lock()
		m, l, closing, changed := j.mark, j.link, j.closing, j.changed
		j.mu.Unlock()
		if after == (Cursor{}) {
			after.Incarnation = m.incarnation
		}
		switch {
		case closing:
			return nil, ErrClosed
		case after.Incarnation != m.incarnation:
			return nil, &DamageError{Publisher: j.publisher, Incarnation: m.incarnation, Reason: fmt.Sprintf("the cursor is of incarnation %x", after.Incarnation)}
		case after.Sequence > m.last:
			return nil, &DamageError{Publisher: j.publisher, Incarnation: m.incarnation, Missing: []Range{{m.last + 1, after.Sequence}}, Reason: fmt.Sprintf("the cursor is at %d, and the last record is %d", after.Sequence, m.last)}
		case after.Sequence < m.trimmed:
			return nil, fmt.Errorf("%w: the first record of %s is %d", ErrTrimmed, j.publisher, m.trimmed+1)
		}
		if after.Sequence == m.last || l == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		records, err := j.fetch(ctx, l, m, after.Sequence+1, max)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return records, err
		}
		// The engine may just be being opened again; if not, it has to be.
		if tries++; tries%readTries == 0 {
			j.s.o.Logger.Error("the journal cannot be read", "publisher", j.publisher, "error", err)
			if err := j.s.reopen(l.engine.number); err != nil {
				j.s.o.Logger.Error("opening the journal's engine again", "error", err)
			}
		}
		j.pause(100 * time.Millisecond)
	}
}

// batchGet asks for messages from a sequence on.
type batchGet struct {
	Sequence uint64 `json:"seq"`
	Batch    int    `json:"batch"`
	MaxBytes int    `json:"max_bytes"`
}

// fetch reads records from first on, of those up to m.last.
func (j *Journal) fetch(ctx context.Context, l *link, m mark, first uint64, most int) ([]Record, error) {
	most = int(min(uint64(max(most, 1)), m.last-first+1))
	ask, err := json.Marshal(batchGet{Sequence: first, Batch: most, MaxBytes: readSealed})
	if err != nil {
		return nil, err
	}
	inbox := l.nc.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("%w: reading: %w", ErrUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is gone otherwise
	if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+streamName, inbox, ask); err != nil {
		return nil, fmt.Errorf("%w: reading: %w", ErrUnavailable, err)
	}
	var out []Record
	plain := 0
	for next := first; ; next++ {
		msg, err := nextMsg(ctx, sub)
		if err != nil {
			return nil, err
		}
		if status := msg.Header.Get("Status"); status != "" {
			if len(out) == 0 {
				// It is there by all we know, and is not given.
				return nil, j.damaged(m.incarnation, []Range{{next, next}}, fmt.Sprintf("record %d cannot be read (status %s)", next, status))
			}
			return out, nil
		}
		seq, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: an answer without a sequence: %w", ErrUnavailable, err)
		}
		if seq != next {
			if len(out) > 0 {
				return out, nil // what is missing comes first next time
			}
			return nil, j.damaged(m.incarnation, []Range{{next, seq - 1}}, fmt.Sprintf("record %d is followed by %d", next-1, seq))
		}
		at := Cursor{m.incarnation, seq}
		facts, err := openRecord(j.keys, j.publisher, at, msg.Data)
		var decoded []event.Fact
		if err == nil {
			decoded, err = event.DecodeFacts(facts)
		}
		if err != nil {
			if len(out) > 0 {
				return out, nil
			}
			return nil, errors.Join(j.damaged(m.incarnation, []Range{{seq, seq}}, "a record cannot be opened"), err)
		}
		out = append(out, Record{at, decoded})
		if plain += len(facts); len(out) == most || plain >= readPlain {
			return out, nil
		}
	}
}

// nextMsg waits a little for the next message of an answer.
func nextMsg(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	tctx, cancel := context.WithTimeout(ctx, 2*callTime)
	defer cancel()
	msg, err := sub.NextMsgWithContext(tctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: reading: %w", ErrUnavailable, err)
	}
	return msg, nil
}

// Trim lets the records up to and including upTo go, but for the very last
// one of the journal, which keeps the count of sequences. From then on reading
// them answers ErrTrimmed; if it fails, call it again.
func (j *Journal) Trim(ctx context.Context, upTo Cursor) error {
	j.trim.Lock()
	defer j.trim.Unlock()
	j.mu.Lock()
	m, l := j.mark, j.link
	switch {
	case j.closing:
		j.mu.Unlock()
		return ErrClosed
	case upTo.Incarnation != m.incarnation || upTo.Sequence > m.last:
		j.mu.Unlock()
		return fmt.Errorf("trimming the journal of %s: it never gave the cursor %v", j.publisher, upTo)
	case l == nil:
		j.mu.Unlock()
		return ErrUnavailable
	}
	to := min(upTo.Sequence, m.last-min(m.last, 1))
	j.mark.trimmed = max(m.trimmed, to)
	m = j.mark
	j.mu.Unlock()
	if to == 0 {
		return nil
	}
	// First the mark: a crash in between must not look like damage.
	if err := j.writeMark(m); err != nil {
		return fmt.Errorf("trimming the journal of %s: %w", j.publisher, err)
	}
	var state jetstream.StreamState
	err := j.call(func(tctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := l.js.Stream(tctx, streamName)
		if err == nil {
			err = s.Purge(tctx, jetstream.WithPurgeSequence(m.trimmed+1))
		}
		if err == nil {
			var info *jetstream.StreamInfo
			if info, err = s.Info(tctx); err == nil {
				state = info.State
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("trimming the journal of %s: %w", j.publisher, err)
	}
	j.mu.Lock()
	j.bytes = int64(state.Bytes)
	j.mu.Unlock()
	return nil
}
