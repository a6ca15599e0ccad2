package main

import (
	"context"
	"sync"
	"time"
)

// pool keeps connections to the relay, no more than it may.
type pool struct {
	c *config

	slots chan struct{} // one for each connection that is open or being opened

	mu     sync.Mutex
	free   []*conn // the last used last
	closed bool
	timer  *time.Timer // closes what is idle
}

func newPool(c *config) *pool { return &pool{c: c, slots: make(chan struct{}, c.conns)} }

// get gives a connection that was idle, or makes one. fresh says which: an idle
// one may have been closed by the relay meanwhile.
func (p *pool) get(ctx context.Context) (k *conn, fresh bool, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, &stepError{step: "waiting for a connection", err: ctx.Err()}
	}
	p.mu.Lock()
	for len(p.free) > 0 {
		k := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		if time.Since(k.used) < p.c.idle {
			p.mu.Unlock()
			return k, false, nil
		}
		k.nc.Close()
	}
	p.mu.Unlock()
	if k, err = p.c.dial(ctx); err != nil {
		<-p.slots
		return nil, true, err
	}
	return k, true, nil
}

// put takes a connection back; broken ones are closed.
func (p *pool) put(k *conn, broken bool) {
	defer func() { <-p.slots }()
	if broken {
		k.nc.Close()
		return
	}
	p.mu.Lock()
	if p.closed || k.sent >= p.c.perConn {
		p.mu.Unlock()
		k.quit()
		return
	}
	k.used = time.Now()
	p.free = append(p.free, k)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.c.idle, p.sweep)
	}
	p.mu.Unlock()
}

// sweep closes what was idle for too long.
func (p *pool) sweep() {
	p.mu.Lock()
	var old []*conn
	for len(p.free) > 0 && time.Since(p.free[0].used) >= p.c.idle {
		old, p.free = append(old, p.free[0]), p.free[1:]
	}
	p.timer = nil
	if len(p.free) > 0 && !p.closed {
		p.timer = time.AfterFunc(p.c.idle, p.sweep)
	}
	p.mu.Unlock()
	for _, k := range old {
		k.quit()
	}
}

// close lets go of the idle connections; those in use follow as they come back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	free := p.free
	p.free = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	for _, k := range free {
		k.quit()
	}
}
