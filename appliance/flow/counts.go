package flow

import (
	"maps"
	"sync"
	"time"
)

// counts are written by the applier's goroutine and read by any.
type counts struct {
	mu sync.Mutex
	s  Stats
}

func (c *counts) add(r *run, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Facts += int64(r.facts)
	c.s.Rows += int64(len(r.rows))
	c.s.Repeats += int64(r.repeats)
	c.s.Messages += int64(r.messages)
	c.s.Busy += took
	c.s.Runs++
	if c.s.Refused == nil {
		c.s.Refused = make(map[string]int64)
	}
	for why, n := range r.refused {
		c.s.Refused[why] += n
	}
}

func (c *counts) read() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Refused = maps.Clone(s.Refused)
	return s
}
