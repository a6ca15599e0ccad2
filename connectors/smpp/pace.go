package main

import (
	"context"
	"sync"
	"time"
)

// pace spreads what is sent evenly, at most ceiling a second, and goes slower
// where the message centre says that it is too much: half of what went, a
// tenth more with each second that passes without a complaint.
type pace struct {
	ceiling float64 // a second; 0 = none
	now     func() time.Time

	mu   sync.Mutex
	rate float64   // what holds now; 0 = no bound
	next time.Time // when the next may go
	cut  time.Time // when the rate was last lowered or raised

	second   time.Time // since when sent counts
	sent     float64
	measured float64 // what went in the second before
}

// slowest is what a centre's complaints can bring the pace down to.
const slowest = 1.0

func newPace(ceiling float64, now func() time.Time) *pace {
	return &pace{ceiling: ceiling, rate: ceiling, now: now}
}

// wait waits for a turn.
func (p *pace) wait(ctx context.Context) error {
	d := p.turn()
	if d <= 0 {
		return ctx.Err()
	}
	if end, ok := ctx.Deadline(); ok && p.now().Add(d).After(end) {
		return context.DeadlineExceeded
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn takes the next turn, and says how long it is until then.
func (p *pace) turn() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if now.Sub(p.second) >= time.Second {
		p.measured, p.sent, p.second = p.sent, 0, now
	}
	p.sent++
	if p.rate == 0 {
		return 0
	}
	if p.rate != p.ceiling && now.Sub(p.cut) >= time.Second {
		p.cut = now
		p.rate += max(p.rate/10, 1)
		switch {
		case p.ceiling > 0:
			p.rate = min(p.rate, p.ceiling)
		case p.rate > 4*max(p.measured, p.sent) && p.rate > 1000:
			p.rate = 0 // what holds it back is no longer this
			return 0
		}
	}
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(time.Duration(float64(time.Second) / p.rate))
	return at.Sub(now)
}

// slow is the centre's complaint. Many of one moment are one.
func (p *pace) slow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if !p.cut.IsZero() && now.Sub(p.cut) < time.Second && p.rate > 0 && p.rate != p.ceiling {
		return
	}
	was := max(p.measured, p.sent)
	if p.rate > 0 {
		was = min(was, p.rate)
	}
	p.rate, p.cut = max(was/2, slowest), now
}

// hold keeps the pace from going up for a second: the centre is nearly full.
func (p *pace) hold() {
	p.mu.Lock()
	p.cut = p.now()
	p.mu.Unlock()
}
