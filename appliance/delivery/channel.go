package delivery

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
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
	// firstBatch and leastBatch bound how a channel's batches grow and shrink
	// with how fast its connectors answer, so that a hand-off takes about
	// aim: what it leaves unanswered in a crash is so much work of theirs.
	firstBatch = 20
	leastBatch = 10
	aim        = 100 * time.Millisecond
)

// lane is the queue of one class of one channel, of those that have a turn or of
// those that have none.
type lane struct {
	prefix []byte
	class  string
	turn   bool
	ready  [][]byte  // keys that were read and not taken yet, in order
	from   []byte    // where to read on; nil = at the beginning
	next   time.Time // when the next is due, if all before it was read
}

// channel hands out the queue of one channel to its workers.
type channel struct {
	d    *Delivery
	n    int // in event.Channels
	name string
	// wake holds one token: there may be work. Of the second only the worker
	// that takes nothing but transactional messages hears.
	wake, express chan struct{}

	mu      sync.Mutex
	size    int             // of a batch, now
	taken   map[id][]byte   // by a worker, not given back yet, with their keys
	skipped [][]byte        // keys of these that were met while reading
	lanes   [2 * lanes]lane // in the order in which they are taken
}

func newChannel(d *Delivery, n int, name string) *channel {
	c := &channel{d: d, n: n, name: name, wake: make(chan struct{}, 1), express: make(chan struct{}, 1), size: min(firstBatch, d.o.Batch), taken: map[id][]byte{}}
	for l, class := range []string{laneTransactional: Transactional, laneMarketing: Marketing} {
		c.lanes[2*l] = lane{prefix: queuePrefix(n, l, true), class: class, turn: true}
		c.lanes[2*l+1] = lane{prefix: queuePrefix(n, l, false), class: class}
	}
	return c
}

// wakeUp is called when something was put into the queue, or may go now.
func (c *channel) wakeUp() {
	token(c.wake)
	token(c.express)
}

// joined is called when a key of the queue is on disk: it may lie behind what
// was read.
func (c *channel) joined(key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.back(key)
}

// back has the queue read again from key. Not from its beginning, where all that
// has gone lies for the engine to step over. The caller holds mu.
func (c *channel) back(key []byte) {
	for l := range c.lanes {
		q := &c.lanes[l]
		if !bytes.HasPrefix(key, q.prefix) || bytes.Compare(key, q.from) >= 0 {
			continue
		}
		n, _ := slices.BinarySearchFunc(q.ready, key, bytes.Compare)
		q.ready, q.from = q.ready[:n], bytes.Clone(key)
	}
}

func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take gives the next messages of one class whose time has come and that the
// channel's connectors have room for, transactional ones first, of each class
// first those whose turn it is, and when to look again if there are none.
func (c *channel) take(now time.Time, classes int) (batch []id, next time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = now.Add(longestWait)
	for l := range c.lanes[:2*classes] {
		q := &c.lanes[l]
		room, when := c.d.routes.room(c.name, q.class, q.turn, c.size, now)
		if room == 0 {
			next = earlier(next, when)
			continue
		}
		if len(q.ready) == 0 {
			if err := c.read(q, now); err != nil {
				return nil, next, fmt.Errorf("looking into the outbox for %s: %w", c.name, err)
			}
		}
		keys := q.ready[:min(room, len(q.ready))]
		q.ready = q.ready[len(keys):]
		for _, key := range keys {
			i := idOf(key)
			batch, c.taken[i] = append(batch, i), key
		}
		if len(batch) == 0 {
			next = earlier(next, q.next)
			continue
		}
		if len(q.ready) > 0 || len(batch) == room {
			token(c.wake) // for another worker
		}
		return batch, now, nil
	}
	return nil, next, nil
}

// read reads on in the queue of a class: what is deleted before stays there for
// the engine to step over until it is compacted, so that it is not read at its
// beginning for each batch. The caller holds mu.
func (c *channel) read(q *lane, now time.Time) error {
	q.next, q.ready = now.Add(longestWait), nil
	return c.d.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Delivery, q.prefix, bytes.Clone(q.from), func(key, _ []byte) error {
			if at := micros(int64(binary.BigEndian.Uint64(key[len(q.prefix):]))); at.After(now) {
				q.next = earlier(q.next, at)
				return kv.ErrStop
			}
			q.from = append(append(q.from[:0], key...), 0)
			if _, ok := c.taken[idOf(key)]; ok {
				c.skipped = append(c.skipped, bytes.Clone(key))
			} else {
				q.ready = append(q.ready, bytes.Clone(key))
			}
			if len(q.ready) == 2*c.d.o.Batch {
				return kv.ErrStop
			}
			return nil
		})
	})
}

// giveBack ends a worker's work on a batch; whole says that all of it left its
// place in the queue.
func (c *channel) giveBack(batch []id, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range batch {
		if !whole {
			c.back(c.taken[i])
		}
		delete(c.taken, i)
	}
	for _, key := range c.skipped {
		c.back(key)
	}
	c.skipped = nil
}

// answered adapts the size of batches to how long a hand-off of n messages took.
func (c *channel) answered(n int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := 2 * c.size
	if took > 0 {
		want = min(want, int(float64(n)*float64(aim)/float64(took)))
	}
	if n < c.size {
		want = min(want, max(c.size, n)) // too few to say that more would do
	}
	c.size = min(max(want, leastBatch), c.d.o.Batch)
}

// run is one worker's life. classes is how many it takes, transactional ones
// first.
func (c *channel) run(classes int) {
	defer c.d.wg.Done()
	wake := c.wake
	if classes == 1 {
		wake = c.express
	}
	wait := c.d.o.Backoff
	for c.d.ctx.Err() == nil {
		batch, next, err := c.take(c.d.o.Now(), classes)
		if err == nil && len(batch) > 0 {
			var whole bool
			whole, err = c.d.handle(c, batch)
			c.giveBack(batch, whole && err == nil)
		}
		switch {
		case err != nil && c.d.ctx.Err() == nil:
			// The messages are still in the outbox, or among the attempts that
			// Start settles: nothing is lost by waiting.
			c.d.o.Logger.Error("sending stopped, will go on", "channel", c.name, "in", wait, "error", err)
			c.d.pause(wait, nil)
			wait = min(2*wait, time.Hour)
		case len(batch) == 0:
			if err := c.d.letGo(nil); err != nil && c.d.ctx.Err() == nil {
				c.d.o.Logger.Error("letting go of settled messages failed, will go on", "channel", c.name, "error", err)
			}
			c.d.pause(next.Sub(c.d.o.Now()), wake)
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
