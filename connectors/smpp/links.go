package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// links keeps sessions to the message centre: as many as the settings say,
// bound again whenever one ends. A place in the window of one of them is what
// a message needs to be sent.
type links struct {
	c       *config
	deliver func(*session, pdu)

	ctx  context.Context // ends with close
	stop context.CancelFunc
	wg   sync.WaitGroup

	free chan *session // one for each place that nobody has, of ended sessions too

	mu       sync.Mutex
	started  bool
	bound    map[*session]bool
	trying   int           // sessions being bound
	failed   error         // why the last attempt failed, nil after a success
	again    time.Time     // when the next attempt will be
	changed  chan struct{} // closed at each change of the above
	earlier  chan struct{} // closed to try at once
	attempts int           // that have ended
}

func newLinks(c *config, deliver func(*session, pdu)) *links {
	l := &links{
		c: c, deliver: deliver, bound: map[*session]bool{}, changed: make(chan struct{}), earlier: make(chan struct{}),
	}
	// Places of a session that has just ended may lie beside those of the next.
	l.free = make(chan *session, 2*c.sessions*c.window)
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

// start makes the sessions, in the background.
func (l *links) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.ctx.Err() != nil {
		return
	}
	l.started = true
	for range l.c.sessions {
		for _, as := range l.c.binds {
			l.wg.Go(func() { l.keep(as) })
		}
		l.trying += len(l.c.binds)
	}
}

// keep binds one session again and again.
func (l *links) keep(as bindAs) {
	failures := 0
	for {
		began := time.Now()
		s, err := l.open(as)
		if err == nil {
			l.change(func() { l.trying--; l.attempts++; l.failed = nil; l.bound[s] = true })
			slog.Info("bound to the message centre", "as", as.String())
			if s.sends {
				for range l.c.window {
					l.put(s)
				}
			}
			select {
			case <-s.gone:
			case <-l.ctx.Done():
				s.close()
			}
			s.wg.Wait()
			l.change(func() { delete(l.bound, s); l.failed = s.ended() })
			l.sweep()
			if l.ctx.Err() != nil {
				return
			}
			slog.Warn("the session with the message centre ended", "as", as.String(), "error", s.ended())
			if time.Since(began) > l.c.retry.most {
				failures = 0
			}
		}
		wait := l.c.retry.after(failures, err)
		failures++
		if l.ctx.Err() != nil {
			return
		}
		if err != nil {
			slog.Warn("no session with the message centre", "as", as.String(), "error", err, "again_in", wait)
		}
		var earlier chan struct{}
		l.change(func() {
			if err != nil {
				l.trying--
				l.attempts++
				l.failed = err
			}
			l.again, earlier = time.Now().Add(wait), l.earlier
		})
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-earlier:
		case <-l.ctx.Done():
		}
		t.Stop()
		if l.ctx.Err() != nil {
			return
		}
		l.change(func() { l.trying++ })
	}
}

// backoff is how long it is waited before binding again.
type backoff struct {
	first, most time.Duration
	refused     time.Duration // after a refusal that only an operator mends
}

// after says how long, after that many failures in a row. A centre that
// refuses our name or password is not hammered: it would lock the account.
func (b backoff) after(failures int, err error) time.Duration {
	d := b.first
	for range min(failures, 10) {
		d = min(2*d, b.most)
	}
	var refused *bindError
	if errors.As(err, &refused) {
		switch refused.status {
		case statusThrottled, statusQueueFull, statusSystemError, statusBound, statusTemporary:
			// Such as the session that we lost and that it still believes in.
			d = max(d, min(10*b.first, b.most))
		default:
			d = b.refused
		}
	}
	return d + time.Duration(rand.Int64N(int64(d/5)+1))
}

// open connects and binds once.
func (l *links) open(as bindAs) (*session, error) {
	ctx, cancel := context.WithTimeout(l.ctx, 2*l.c.timeout)
	defer cancel()
	d := net.Dialer{Timeout: l.c.timeout}
	nc, err := d.DialContext(ctx, "tcp", l.c.address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if l.c.tls != nil {
		t := tls.Client(nc, l.c.tls)
		if err := t.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("encrypting: %w", err)
		}
		nc = t
	}
	return l.c.bind(ctx, nc, as, l.deliver)
}

// change changes the state and tells who waits for it.
func (l *links) change(f func()) {
	l.mu.Lock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
}

// downError says that there is no session, and when there may be one.
type downError struct {
	err   error
	again time.Duration
}

func (e *downError) Error() string {
	return fmt.Sprintf("no session with the message centre: %v", e.err)
}
func (e *downError) Unwrap() error { return e.err }

// senders counts the sessions that can send.
func (l *links) senders() int {
	n := 0
	for s := range l.bound {
		if s.sends {
			n++
		}
	}
	return n
}

// take takes a place in a session's window, which goes back with put. It waits
// for one, and for a session while one is being bound; a *downError says that
// none is.
func (l *links) take(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		changed := l.changed
		down := l.senders() == 0 && l.trying == 0
		err, again := l.failed, time.Until(l.again)
		l.mu.Unlock()
		if down {
			return nil, &downError{err, max(again, 0)}
		}
		select {
		case s := <-l.free:
			if s.ended() == nil {
				return s, nil
			}
			continue
		default:
		}
		select {
		case s := <-l.free:
			if s.ended() == nil {
				return s, nil
			}
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// put gives a place back.
func (l *links) put(s *session) {
	if s.ended() == nil {
		select {
		case l.free <- s:
		default:
		}
	}
}

// check makes sure that every session is there, and that the centre answers.
func (l *links) check(ctx context.Context) error {
	l.start()
	l.mu.Lock()
	if l.trying == 0 && len(l.bound) < l.wanted() { // an operator asks: now, not at the next attempt
		close(l.earlier)
		l.earlier = make(chan struct{})
	}
	before := l.attempts
	l.mu.Unlock()
	for {
		l.mu.Lock()
		changed, err := l.changed, l.failed
		var one *session
		for s := range l.bound {
			one = s
		}
		all, tried := len(l.bound) == l.wanted(), l.attempts > before && l.trying == 0
		l.mu.Unlock()
		switch {
		case all:
			if a := one.ask(ctx, enquireLink, nil, nil); a.err != nil {
				return fmt.Errorf("asking whether the message centre is there: %w", a.err)
			}
			return nil
		case tried && err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no session with the message centre: %w", errors.Join(err, ctx.Err()))
		}
	}
}

func (l *links) wanted() int { return l.c.sessions * len(l.c.binds) }

// sweep takes the places of ended sessions out.
func (l *links) sweep() {
	for range len(l.free) {
		select {
		case s := <-l.free:
			l.put(s)
		default:
		}
	}
}

// close unbinds all, and waits for it.
func (l *links) close() {
	l.mu.Lock()
	l.stop() // under the lock, so that start does not begin anything afterwards
	l.mu.Unlock()
	l.wg.Wait()
}

func (a bindAs) String() string {
	switch a {
	case bindTransceiver:
		return "transceiver"
	case bindTransmitter:
		return "transmitter"
	}
	return "receiver"
}
