package campaign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/kv"
)

const (
	chunk      = 1000      // persons enqueued in one transaction
	pieceBytes = 512 << 10 // of a frozen audience in one value
	maxFrozen  = 8         // audiences kept in memory
)

// errIdle: a run cannot go on just now; Committed will say when.
var errIdle = errors.New("campaign: the run waits")

// runBroadcasts carries the runs that have begun, a chunk of each in turn, so
// that a large one does not keep a small one waiting.
func (c *Campaigns) runBroadcasts() {
	defer c.wg.Done()
	frozen := map[string]*roaring.Bitmap{}
	retry := firstRetry
	for c.ctx.Err() == nil {
		worked, err := c.broadcastTurn(frozen)
		switch {
		case err != nil && c.ctx.Err() == nil:
			c.o.Logger.Error("a broadcast stands still, will try again", "in", retry, "error", err)
			c.pause(retry, nil)
			retry = min(2*retry, lastRetry)
		case !worked:
			c.pause(longestWait, c.broadcast)
		default:
			retry = firstRetry
		}
	}
}

// broadcastTurn takes every run one step further; worked says that some went.
func (c *Campaigns) broadcastTurn(frozen map[string]*roaring.Bitmap) (worked bool, err error) {
	active, err := c.activeRuns()
	if err != nil {
		return false, err
	}
	var errs []error
	for id, r := range active {
		if c.ctx.Err() != nil {
			return false, nil
		}
		one := c.find(id)
		if one == nil || one.State != Running {
			continue
		}
		if r.State == RunBegun {
			err = c.freeze(one, frozen)
		} else {
			err = c.enqueueChunk(one, r, frozen)
		}
		switch {
		case err == nil:
			worked = true
		case !errors.Is(err, errIdle):
			errs = append(errs, fmt.Errorf("campaign %q: %w", id, err))
		}
	}
	for id := range frozen {
		if _, ok := active[id]; !ok || len(frozen) > maxFrozen {
			delete(frozen, id)
		}
	}
	return worked, errors.Join(errs...)
}

func (c *Campaigns) activeRuns() (map[string]*run, error) {
	active := map[string]*run{}
	err := c.db.View(func(t *kv.Txn) error {
		var ids []string
		err := t.Scan(kv.Campaign, []byte{runKey}, nil, func(key, _ []byte) error {
			ids = append(ids, string(key[1:]))
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := loadRun(t, id)
			if err != nil {
				return err
			}
			if r.State == RunBegun || r.State == RunSending {
				active[id] = r
			}
		}
		return nil
	})
	return active, err
}

// freeze asks who is meant and keeps the answer: from here on nobody joins or
// leaves, however often this starts again.
func (c *Campaigns) freeze(one *compiled, frozen map[string]*roaring.Bitmap) error {
	who, err := c.o.Audience.People(c.ctx, one.Trigger.Audience)
	if err != nil {
		return fmt.Errorf("who is meant: %w", err)
	}
	who.RunOptimize()
	b, err := who.ToBytes()
	if err != nil {
		return fmt.Errorf("freezing the audience: %w", err)
	}
	// A piece a transaction, since all may be too much for one; they count once
	// the last transaction says how many there are.
	pieces := 0
	for rest := b; len(rest) > 0; pieces++ {
		n := min(len(rest), pieceBytes)
		err := c.db.Update(func(t *kv.Txn) error {
			if _, err := c.stillRuns(t, one.ID, RunBegun); err != nil {
				return err
			}
			return t.Set(kv.Campaign, pieceOf(one.ID, pieces), rest[:n])
		})
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	err = c.db.Update(func(t *kv.Txn) error {
		r, err := c.stillRuns(t, one.ID, RunBegun)
		if err != nil {
			return err
		}
		r.State, r.Audience, r.Pieces = RunSending, who.GetCardinality(), pieces
		return saveRun(t, one.ID, r)
	})
	if err == nil {
		frozen[one.ID] = who
	}
	return err
}

// stillRuns reads a run, if it is in that state and its campaign is running.
func (c *Campaigns) stillRuns(t *kv.Txn, id, state string) (*run, error) {
	r, err := loadRun(t, id)
	if err != nil {
		return nil, err
	}
	one := c.find(id)
	if r == nil || one == nil || r.State != state || one.State != Running {
		return nil, errIdle
	}
	return r, nil
}

// enqueueChunk puts the next persons' messages into the outbox and moves the
// cursor, in one transaction: after a crash it goes on where it was.
func (c *Campaigns) enqueueChunk(one *compiled, r *run, frozen map[string]*roaring.Bitmap) error {
	who, err := c.thaw(one.ID, r, frozen)
	if err != nil {
		return err
	}
	now := c.o.Now().UnixMicro()
	err = c.db.Update(func(t *kv.Txn) error {
		r, err := c.stillRuns(t, one.ID, RunSending)
		if err != nil {
			return err
		}
		it := who.Iterator()
		it.AdvanceIfNeeded(r.Cursor + 1)
		for n := 0; n < chunk && it.HasNext(); n++ {
			person := it.Next()
			if c.o.Keys.Destroyed(person) {
				r.Cursor = person
				continue
			}
			// The run is the cause: whoever decides this again, after
			// whatever happened, makes the same message.
			in := c.intend(one, person, "run:"+r.Run, now, nil)
			in.Revision = one.Revision
			if err := c.o.Outbox.Enqueue(t, in); err != nil {
				return err
			}
			r.Cursor = person
			r.Enqueued++
		}
		if !it.HasNext() {
			r.stop(RunDone, now)
			for n := range r.Pieces {
				if err := t.Delete(kv.Campaign, pieceOf(one.ID, n)); err != nil {
					return err
				}
			}
		}
		return saveRun(t, one.ID, r)
	})
	if err == nil {
		c.o.Outbox.Committed()
	}
	return err
}

// thaw gives a run's frozen audience.
func (c *Campaigns) thaw(id string, r *run, frozen map[string]*roaring.Bitmap) (*roaring.Bitmap, error) {
	if who := frozen[id]; who != nil {
		return who, nil
	}
	var b bytes.Buffer
	err := c.db.View(func(t *kv.Txn) error {
		for n := range r.Pieces {
			piece, err := t.Get(kv.Campaign, pieceOf(id, n))
			if err != nil {
				return err
			}
			b.Write(piece)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the frozen audience: %w", err)
	}
	who := roaring.New()
	if _, err := who.ReadFrom(&b); err != nil {
		return nil, fmt.Errorf("the frozen audience is damaged: %w", err)
	}
	frozen[id] = who
	return who, nil
}

func pieceOf(id string, n int) []byte {
	k := append([]byte{audienceKey}, id...)
	return binary.BigEndian.AppendUint32(append(k, 0), uint32(n))
}
