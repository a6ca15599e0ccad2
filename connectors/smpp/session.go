package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// session is one bound connection to the message centre. Requests of both
// sides overlap; the window bounds ours.
//
// Failure rules: what was queued and not yet written when a session ends was
// not sent; what was written and not answered is unknown. A centre that sends
// nothing at all while something is owed is given up after the response time.
type session struct {
	nc      net.Conn
	timeout time.Duration // for an answer
	enquire time.Duration // of silence, before it is asked whether it is there
	deliver func(*session, pdu)
	sends   bool // bound for sending; else for receiving only

	mu       sync.Mutex
	out      []byte              // what is to be written
	queued   []*request          // whose bytes are in out
	pending  map[uint32]*request // what was asked, by sequence
	oldest   []*request          // the same in the order of their time, some answered
	sequence uint32
	heard    time.Time // when the last unit came
	closing  bool      // the centre unbinds, or we do: nothing new
	err      error     // why it ended

	wake chan struct{} // there is something to write
	gone chan struct{} // closed when it has ended
	wg   sync.WaitGroup
}

// request is one unit that was asked.
type request struct {
	sequence uint32
	began    time.Time
	written  bool // its bytes were given to the network, some at least
	over     bool // it was answered or given up
	answer   chan answer
	// late is called with an answer also if nobody waits any more. It is called
	// by the reader, before anything that came after the answer is looked at.
	late func(pdu)
}

// answer is how a request ended: by a unit, or by err.
type answer struct {
	pdu  pdu
	err  error
	sent bool // with err: the centre may have got it
}

var (
	errClosed  = errors.New("the session has ended")
	errTimeout = errors.New("no answer in time")
	errUnbound = errors.New("the message centre ended the session")
)

// bindError is a bind that was refused.
type bindError struct{ status uint32 }

func (e *bindError) Error() string {
	return fmt.Sprintf("the message centre refuses the bind: %s", statusText(e.status))
}

// bindAs says as what a session is bound.
type bindAs uint32

// bind binds on a fresh connection, and runs the session until its end. On an
// error the connection is closed. deliver gets what the centre asks for, from
// the reader; it must not block.
func (c *config) bind(ctx context.Context, nc net.Conn, as bindAs, deliver func(*session, pdu)) (*session, error) {
	s := &session{
		nc: nc, timeout: c.timeout, enquire: c.enquire, deliver: deliver, sends: as != bindReceiver,
		pending: map[uint32]*request{}, sequence: 1, heard: time.Now(),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	nc.SetDeadline(time.Now().Add(c.timeout))
	b := appendText(nil, c.systemID)
	b = appendText(b, c.password)
	b = appendText(b, c.systemType)
	b = append(b, c.version, 0, 0) // addr_ton, addr_npi
	b = appendText(b, "")          // address_range
	_, err := nc.Write(appendPDU(nil, pdu{command: uint32(as), sequence: 1, body: b}))
	r := bufio.NewReaderSize(nc, 32<<10)
	var p pdu
	for err == nil {
		if p, err = readPDU(r); err != nil || p.sequence == 1 && (p.command == uint32(as)|response || p.command == genericNack) {
			break
		}
		// Some send an enquire_link or a first receipt at once; neither counts yet.
	}
	if err == nil && (p.status != 0 || p.command == genericNack) {
		err = &bindError{p.status}
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		var refused *bindError
		if errors.As(err, &refused) {
			return nil, err
		}
		return nil, fmt.Errorf("binding: %w", err)
	}
	nc.SetDeadline(time.Time{})
	s.wg.Go(func() { s.read(r) })
	s.wg.Go(s.write)
	s.wg.Go(s.watch)
	return s, nil
}

// ask sends a request and waits for its answer, at most the response time and
// until ctx ends. late may be nil.
func (s *session) ask(ctx context.Context, command uint32, body []byte, late func(pdu)) answer {
	q := &request{began: time.Now(), answer: make(chan answer, 1), late: late}
	s.mu.Lock()
	if s.err != nil || s.closing {
		s.mu.Unlock()
		return answer{err: errClosed}
	}
	s.sequence = s.sequence%0x7fffffff + 1
	q.sequence = s.sequence
	s.pending[q.sequence] = q
	s.oldest = append(s.oldest, q)
	s.out = appendPDU(s.out, pdu{command: command, sequence: q.sequence, body: body})
	s.queued = append(s.queued, q)
	s.mu.Unlock()
	s.poke()
	select {
	case a := <-q.answer:
		return a
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case a := <-q.answer: // it came just now
			return a
		default:
		}
		return answer{err: ctx.Err(), sent: true} // queued at least: it goes out
	}
}

// respond answers what the centre asked.
func (s *session) respond(p pdu) {
	s.mu.Lock()
	if s.err == nil {
		s.out = appendPDU(s.out, p)
	}
	s.mu.Unlock()
	s.poke()
}

func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write writes what there is, all at once.
func (s *session) write() {
	var spare []byte
	for {
		select {
		case <-s.wake:
		case <-s.gone:
			return
		}
		s.mu.Lock()
		out := s.out
		if len(out) == 0 { // and spare stays a buffer of its own
			s.mu.Unlock()
			continue
		}
		for _, q := range s.queued {
			q.written = true
		}
		s.out, s.queued = spare[:0], s.queued[:0]
		s.mu.Unlock()
		s.nc.SetWriteDeadline(time.Now().Add(s.timeout))
		if _, err := s.nc.Write(out); err != nil {
			s.end(fmt.Errorf("writing: %w", err))
			return
		}
		if spare = out; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

// read takes what the centre sends, until the session ends.
func (s *session) read(r *bufio.Reader) {
	for {
		p, err := readPDU(r)
		if err != nil {
			s.end(fmt.Errorf("reading: %w", err))
			return
		}
		s.mu.Lock()
		s.heard = time.Now()
		s.mu.Unlock()
		switch {
		case p.command&response != 0:
			s.answered(p)
		case p.command == enquireLink:
			s.respond(pdu{command: enquireLink | response, sequence: p.sequence})
		case p.command == unbind:
			s.wg.Go(func() { s.unbound(p.sequence) })
		case p.command == deliverSM || p.command == dataSM:
			s.deliver(s, p)
		case p.command == 0x0102: // alert_notification, which wants no answer
		default:
			s.respond(pdu{command: genericNack, status: statusUnknownCommand, sequence: p.sequence})
		}
	}
}

// answered brings an answer to who asked.
func (s *session) answered(p pdu) {
	s.mu.Lock()
	q := s.pending[p.sequence]
	delete(s.pending, p.sequence)
	over := q == nil || q.over
	if q != nil {
		q.over = true
	}
	s.mu.Unlock()
	if q == nil {
		return // to nothing that was asked
	}
	if q.late != nil {
		q.late(p)
	}
	if !over {
		q.answer <- answer{pdu: p}
	}
}

// watch gives up what is not answered in time, asks a silent centre whether it
// is there, and ends the session if it is not.
func (s *session) watch() {
	step := min(max(s.timeout/10, time.Millisecond), s.enquire/2, 500*time.Millisecond)
	t := time.NewTicker(step)
	defer t.Stop()
	asked := time.Now()
	for {
		select {
		case <-s.gone:
			return
		case now := <-t.C:
			s.mu.Lock()
			frozen := false
			for len(s.oldest) > 0 && (s.oldest[0].over || now.Sub(s.oldest[0].began) >= s.timeout) {
				q := s.oldest[0]
				s.oldest = s.oldest[1:]
				if q.over {
					continue
				}
				q.over = true // but pending: its answer may still come
				frozen = frozen || now.Sub(s.heard) >= s.timeout
				q.answer <- answer{err: errTimeout, sent: true} // what is still queued may yet go out
			}
			// Answers that never come must not pile up.
			frozen = frozen || len(s.pending) > maxLate
			silent := now.Sub(s.heard) >= s.enquire && now.Sub(asked) >= s.enquire
			s.mu.Unlock()
			if frozen {
				s.end(errTimeout)
				return
			}
			if silent {
				asked = now
				s.wg.Go(func() {
					if a := s.ask(context.Background(), enquireLink, nil, nil); a.err != nil && !errors.Is(a.err, errClosed) {
						s.end(fmt.Errorf("enquire_link: %w", a.err))
					}
				})
			}
		}
	}
}

// maxLate is how many answers may be owed on one session.
const maxLate = 5000

// unbound is the centre's wish to end: what was asked is waited for, and then
// it is let go.
func (s *session) unbound(sequence uint32) {
	s.quiet(s.timeout)
	s.respond(pdu{command: unbind | response, sequence: sequence})
	// The centre closes, once it has that.
	select {
	case <-s.gone:
	case <-time.After(min(s.timeout, time.Second)):
	}
	s.end(errUnbound)
}

// quiet begins nothing more and waits until everything is answered.
func (s *session) quiet(most time.Duration) {
	end := time.After(most)
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		s.mu.Lock()
		s.closing = true
		owed := 0
		for _, q := range s.pending {
			if !q.over {
				owed++
			}
		}
		s.mu.Unlock()
		if owed == 0 {
			return
		}
		select {
		case <-t.C:
		case <-end:
			return
		case <-s.gone:
			return
		}
	}
}

// close unbinds, waits a little for the answer, and ends the session.
func (s *session) close() {
	s.quiet(time.Second)
	s.mu.Lock()
	if s.err == nil {
		s.sequence++
		s.pending[s.sequence] = &request{sequence: s.sequence, answer: make(chan answer, 1), late: func(pdu) { s.end(errClosed) }}
		s.out = appendPDU(s.out, pdu{command: unbind, sequence: s.sequence})
	}
	s.mu.Unlock()
	s.poke()
	select {
	case <-s.gone:
	case <-time.After(min(s.timeout, time.Second)):
		s.end(errClosed)
	}
	s.wg.Wait()
}

// end ends the session for a reason, once. What was asked is answered with it.
func (s *session) end(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	for _, q := range s.pending {
		if !q.over {
			q.over = true
			q.answer <- answer{err: err, sent: q.written}
		}
	}
	s.pending, s.oldest, s.queued = nil, nil, nil
	s.mu.Unlock()
	close(s.gone)
	s.nc.Close()
}

// ended says why the session has ended; nil = it has not.
func (s *session) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.closing {
		return errUnbound
	}
	return s.err
}

// congestion is the centre's load in percent as a 5.0 answer tells it, -1 if
// it does not.
func congestion(ts tlvs) int {
	if v := ts.get(tagCongestion); len(v) == 1 {
		return int(v[0])
	}
	return -1
}
