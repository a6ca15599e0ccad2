package campaign

import (
	"bytes"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

const (
	duePage   = 500    // timers told in one append
	maxUntold = 10_000 // timers told and not applied yet
)

// watchTimers tells the journal of timers whose time has come. It sleeps until
// the next one, or until Committed says that something may have changed.
func (c *Campaigns) watchTimers() {
	defer c.wg.Done()
	told := map[string]bool{} // and not applied yet: they are still there
	retry := firstRetry
	for c.ctx.Err() == nil {
		now := c.o.Now()
		facts, still, next, err := c.dueTimers(now, told)
		if err == nil {
			told = still
			if len(facts) > 0 {
				err = c.o.Journal.Append(c.ctx, facts)
			}
		}
		if err != nil {
			if c.ctx.Err() == nil {
				c.o.Logger.Error("timers that fell due could not be told, will try again", "in", retry, "error", err)
				c.pause(retry, nil)
				retry = min(2*retry, lastRetry)
			}
			continue
		}
		retry = firstRetry
		for i := range facts {
			told[string(facts[i].Body)] = true
		}
		if len(facts) == 0 {
			c.pause(next.Sub(now), c.due)
		}
	}
}

// dueTimers gives the facts for the next timers that are due and not told yet,
// those of told that are still there, and when the next one falls due.
func (c *Campaigns) dueTimers(now time.Time, told map[string]bool) (facts []event.Fact, still map[string]bool, next time.Time, err error) {
	still = map[string]bool{}
	next = now.Add(longestWait)
	us := now.UnixMicro()
	err = c.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Campaign, []byte{timerKey}, nil, func(key, val []byte) error {
			due, in, ok := parseTimer(key)
			if !ok {
				return fmt.Errorf("a timer's key has %d bytes", len(key))
			}
			if due > us {
				next = time.UnixMicro(due)
				return kv.ErrStop
			}
			if told[string(key)] {
				still[string(key)] = true
				return nil
			}
			if len(facts) == duePage || len(still) >= maxUntold {
				return kv.ErrStop
			}
			facts = append(facts, dueFact(bytes.Clone(key), val, in, due, us))
			return nil
		})
	})
	if err != nil {
		return nil, nil, next, fmt.Errorf("reading timers: %w", err)
	}
	return facts, still, next, nil
}

// dueFact says that a timer's time has come. It has no id: told twice, Apply
// finds no timer the second time, while an id would be taken for a repeat if
// the same timer is set again within a week, and it would never fire.
func dueFact(key, val []byte, in instance, due, now int64) event.Fact {
	f := event.Fact{Kind: event.Due, Time: due, Received: now, Person: in.person(), Body: key}
	if in.person() == 0 {
		f.Kind, f.Ref = event.Run, string(val)
	}
	return f
}
