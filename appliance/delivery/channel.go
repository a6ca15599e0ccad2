package delivery

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

const (
	// longestWait is how long an idle worker sleeps at most, so that a clock
	// that was set does not keep it asleep.
	longestWait = 30 * time.Second
	// maxTxn bounds what one batch writes at once, in bytes; the rest of the
	// batch stays in the queue.
	maxTxn = 1 << 20
)

// channel hands out the queue of one channel to its workers.
type channel struct {
	d    *Delivery
	n    int // in event.Channels
	name string
	wake chan struct{} // one token: there may be work

	mu     sync.Mutex
	paused bool
	taken  map[id]bool // by a worker, not given back yet
}

func newChannel(d *Delivery, n int, name string) *channel {
	return &channel{d: d, n: n, name: name, wake: make(chan struct{}, 1), taken: map[id]bool{}}
}

func (c *channel) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take gives the next messages whose time has come, transactional ones first,
// and when to look again if there are none.
func (c *channel) take(now time.Time) (batch []id, next time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = now.Add(longestWait)
	if c.paused {
		return nil, next, nil
	}
	err = c.d.db.View(func(t *kv.Txn) error {
		for class := byte(0); class < 2; class++ {
			prefix := []byte{queueKey, byte(c.n), class}
			err := t.Scan(kv.Delivery, prefix, nil, func(key, _ []byte) error {
				at := micros(int64(binary.BigEndian.Uint64(key[len(prefix):])))
				if at.After(now) {
					if at.Before(next) {
						next = at
					}
					return kv.ErrStop
				}
				if i := id(key[len(prefix)+8:]); !c.taken[i] {
					batch = append(batch, i)
				}
				if len(batch) == c.d.o.Batch {
					return kv.ErrStop
				}
				return nil
			})
			if err != nil || len(batch) == c.d.o.Batch {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, next, fmt.Errorf("looking into the outbox for %s: %w", c.name, err)
	}
	for _, i := range batch {
		c.taken[i] = true
	}
	if len(batch) == c.d.o.Batch {
		c.wakeUp() // for another worker
	}
	return batch, next, nil
}

func (c *channel) giveBack(batch []id) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range batch {
		delete(c.taken, i)
	}
}

// run is one worker's life.
func (c *channel) run() {
	defer c.d.wg.Done()
	wait := c.d.o.Backoff
	for c.d.ctx.Err() == nil {
		batch, next, err := c.take(c.d.o.Now())
		if err == nil && len(batch) > 0 {
			err = c.d.handle(c.name, batch)
			c.giveBack(batch)
		}
		switch {
		case err != nil && c.d.ctx.Err() == nil:
			// The messages are still in the outbox, or among the attempts that
			// Start settles: nothing is lost by waiting.
			c.d.o.Logger.Error("sending stopped, will go on", "channel", c.name, "in", wait, "error", err)
			c.d.pause(wait, nil)
			wait = min(2*wait, time.Hour)
		case len(batch) == 0:
			c.d.pause(next.Sub(c.d.o.Now()), c.wake)
		default:
			wait = c.d.o.Backoff
		}
	}
}

// pause waits for d, a token, or the end.
func (d *Delivery) pause(wait time.Duration, wake <-chan struct{}) {
	if wait <= 0 {
		return
	}
	tick, stop := d.o.Timer(min(wait, longestWait))
	defer stop()
	select {
	case <-tick:
	case <-wake:
	case <-d.ctx.Done():
	}
}
