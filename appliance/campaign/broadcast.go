package campaign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

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
	b := newBroadcasts(c)
	for c.ctx.Err() == nil {
		worked, next, err := b.turn()
		switch {
		case err != nil && c.ctx.Err() == nil:
			c.o.Logger.Error("broadcasts cannot be read, will try again", "in", firstRetry, "error", err)
			c.pause(firstRetry, nil)
		case !worked:
			c.pause(next, c.broadcast)
		}
	}
}

// broadcasts is the worker's memory.
type broadcasts struct {
	c      *Campaigns
	frozen map[string]*roaring.Bitmap
	stuck  map[string]trouble // by campaign
}

// trouble is a run that failed: it is left alone for a while, so that it keeps
// no other waiting.
type trouble struct {
	until time.Time
	wait  time.Duration
}

func newBroadcasts(c *Campaigns) *broadcasts {
	return &broadcasts{c: c, frozen: map[string]*roaring.Bitmap{}, stuck: map[string]trouble{}}
}

// turn takes every run one step further. It says whether any went, and how long
// until there may be something to do of itself.
func (b *broadcasts) turn() (worked bool, next time.Duration, err error) {
	c := b.c
	next = longestWait
	active, err := c.activeRuns()
	if err != nil {
		return false, next, err
	}
	for id, r := range active {
		if c.ctx.Err() != nil {
			return false, next, nil
		}
		one := c.find(id)
		if one == nil || one.State != Running {
			continue
		}
		if left := b.stuck[id].until.Sub(c.o.Now()); left > 0 {
			next = min(next, left)
			continue
		}
		if r.State == RunBegun {
			err = c.freeze(one, b.frozen)
		} else {
			err = c.enqueueChunk(one, r, b.frozen)
		}
		switch {
		case err == nil:
			worked = true
			delete(b.stuck, id)
		case !errors.Is(err, errIdle) && c.ctx.Err() == nil:
			wait := min(max(2*b.stuck[id].wait, firstRetry), lastRetry)
			b.stuck[id] = trouble{c.o.Now().Add(wait), wait}
			next = min(next, wait)
			c.o.Logger.Error("a broadcast stands still, will try again", "campaign", id, "in", wait, "error", err)
		}
	}
	for id := range b.frozen {
		if _, ok := active[id]; !ok || len(b.frozen) > maxFrozen {
			delete(b.frozen, id)
		}
	}
	for id := range b.stuck {
		if _, ok := active[id]; !ok {
			delete(b.stuck, id)
		}
	}
	return worked, next, nil
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
