package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// smpp hands SMS to a message centre.
//
// Failure rules: a message counts as accepted when the centre has taken each of
// its parts. The first part goes ahead alone, so that a message that is refused
// or put off has left nothing there; what is put off afterwards is tried again
// here, and if time runs out the message is unknown, as it is when an answer is
// lost. What was not written when a session ended comes again.
type smpp struct {
	c     config
	links *links
	inbox *inbox
	pace  *pace

	reference atomic.Uint32 // of long messages

	once sync.Once
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Describe implements connector.Connector.
func (s *smpp) Describe() connector.Description {
	return connector.Description{
		Name:     "smpp",
		Version:  "0.1.0",
		Summary:  "Sends SMS through a message centre by SMPP 3.4 or 5.0.",
		Channels: []string{"sms"},
		Batch:    500,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (s *smpp) Configure(_ context.Context, settings connector.Settings) ([]connector.Problem, error) {
	c, problems := read(settings)
	s.use(c)
	return problems, nil
}

func (s *smpp) use(c config) {
	s.c = c
	s.inbox = newInbox(&s.c, time.Now)
	s.pace = newPace(c.perSecond, time.Now)
	s.links = newLinks(&s.c, s.arrived)
	s.reference.Store(rand.Uint32())
}

// start lets go of what waits too long, and binds; the first call that needs
// the centre begins both.
func (s *smpp) start() {
	s.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		s.stop = cancel
		s.wg.Go(func() {
			t := time.NewTicker(min(s.c.timeout/4, time.Second))
			defer t.Stop()
			for {
				select {
				case <-t.C:
					s.inbox.expire()
				case <-ctx.Done():
					return
				}
			}
		})
		s.links.start()
	})
}

// Check implements connector.Connector: it makes sure that the sessions are
// bound and that the centre answers.
func (s *smpp) Check(ctx context.Context) error {
	s.start()
	return s.links.check(ctx)
}

// Collect implements connector.Collector.
func (s *smpp) Collect(ctx context.Context, ack string) ([]connector.Receipt, string, error) {
	s.start()
	receipts, token := s.inbox.collect(ctx, ack)
	return receipts, token, nil
}

// Drain implements connector.Connector.
func (s *smpp) Drain(context.Context) error {
	s.once.Do(func() {}) // nothing begins any more
	s.links.close()
	if s.stop != nil {
		s.stop()
	}
	s.wg.Wait()
	return nil
}

// Send implements connector.Connector.
func (s *smpp) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	s.start()
	outs := make([]connector.Outcome, len(batch))
	// What is begun late would end as unknown: an answer may take its time.
	begin := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		begin, cancel = context.WithDeadline(ctx, end.Add(-min(s.c.timeout, time.Until(end)/2)))
		defer cancel()
	}
	var wg sync.WaitGroup
	var stopped error // why nothing more is begun
	for i, m := range batch {
		bodies, r := s.c.compose(m, uint16(s.reference.Add(1)), time.Now())
		if r != nil {
			outs[i] = refused(m.ID, r.class, r.reason)
			continue
		}
		var place *session
		if stopped == nil {
			stopped = s.pace.wait(begin)
		}
		if stopped == nil {
			place, stopped = s.links.take(begin)
		}
		if stopped != nil {
			outs[i] = unsent(m.ID, stopped)
			continue
		}
		wg.Go(func() { outs[i] = s.hand(ctx, place, m.ID, bodies) })
	}
	wg.Wait()
	return outs, nil
}

// hand hands over one message, one part after the other, and gives its place
// back.
func (s *smpp) hand(ctx context.Context, place *session, id string, bodies [][]byte) connector.Outcome {
	defer func() { s.links.put(place) }()
	m := &sent{message: id, total: len(bodies), arrived: map[int]bool{}}
	for n := 0; n < len(bodies); {
		if n > 0 {
			if err := s.next(ctx, &place); err != nil {
				return connector.Outcome{ID: id, Result: connector.Unknown, Reason: "out of time with some of its parts sent"}
			}
		}
		a := s.submit(ctx, place, m, n, bodies[n])
		switch {
		case a.err != nil && a.sent:
			return connector.Outcome{ID: id, Result: connector.Unknown, Reason: "the answer was lost"}
		case a.err != nil && n == 0:
			return again(id, "the session ended before the message was sent", 5*time.Second)
		case a.err != nil:
			// The rest goes by another session.
		case a.pdu.status == 0 && a.pdu.command != genericNack:
			n++
		case n == 0:
			return s.c.answered(id, a.pdu.status)
		default:
			switch s.c.means(a.pdu.status) {
			case meansAgain, meansSlow:
				// It is half there: putting it off would begin it again.
				if !sleep(ctx, 500*time.Millisecond) {
					return connector.Outcome{ID: id, Result: connector.Unknown, Reason: "put off with some of its parts sent: " + statusText(a.pdu.status)}
				}
			default:
				s.inbox.abandon(m)
				o := s.c.answered(id, a.pdu.status)
				o.Reason += ", after some of its parts"
				return o
			}
		}
	}
	s.inbox.mu.Lock()
	defer s.inbox.mu.Unlock()
	return connector.Outcome{ID: id, Result: connector.Accepted, ProviderID: m.provider}
}

// next waits for the turn of a further part, by another session if that of
// the parts before has ended.
func (s *smpp) next(ctx context.Context, place **session) error {
	if err := s.pace.wait(ctx); err != nil {
		return err
	}
	for (*place).ended() != nil {
		other, err := s.links.take(ctx)
		if err == nil {
			*place = other
			return nil
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return err
		}
	}
	return nil
}

// submit hands over part n of a message.
func (s *smpp) submit(ctx context.Context, place *session, m *sent, n int, body []byte) answer {
	flight := s.inbox.begin()
	a := place.ask(ctx, submitSM, body, func(p pdu) {
		if p.status != 0 || p.command == genericNack {
			s.inbox.settled(flight)
			if s.c.means(p.status) == meansSlow {
				s.pace.slow()
			}
			return
		}
		id, options := parseID(p.body)
		s.inbox.taken(flight, m, n, id)
		switch load := congestion(options); {
		case load >= 100:
			s.pace.slow()
		case load >= 80: // at its best, and no more
			s.pace.hold()
		}
	})
	if a.err != nil {
		s.inbox.settled(flight)
	}
	return a
}

// sleep waits, and says whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// What the esm_class of a message that comes in says of its kind (5.2.12).
const (
	esmKind         = 0x3c
	esmReceipt      = 0x04
	esmIntermediate = 0x20
)

// arrived takes what the centre delivers.
func (s *smpp) arrived(from *session, p pdu) {
	o := owed{s: from, p: pdu{command: p.command | response, sequence: p.sequence, body: []byte{0}}}
	m, err := parseMessage(p.command, p.body)
	if err != nil {
		slog.Warn("a message that is not understood came from the message centre", "error", err)
		o.pay(statusPermanent)
		return
	}
	kind := m.esm & esmKind
	switch {
	case kind == esmReceipt || kind == 0 && m.options.get(tagReceiptedID) != nil:
		if r, ok := s.c.readReceipt(m); ok {
			s.inbox.receipt(r, o)
			return
		}
	case kind == 0:
		if r, ok := s.c.readReply(m); ok {
			r.At = time.Now()
			s.inbox.reply(r, o)
			return
		}
	}
	o.pay(0)
}

// readReply reads what a person sent. Of a long text the first part counts.
func (c *config) readReply(m shortMessage) (connector.Receipt, bool) {
	r := connector.Receipt{Address: person(m.from, c.country)}
	octets := m.text
	if m.esm&esmUDH != 0 {
		if len(octets) == 0 || int(octets[0]) >= len(octets) {
			return r, false
		}
		head := octets[1 : 1+int(octets[0])]
		octets = octets[1+len(head):]
		for len(head) >= 2 && len(head) >= 2+int(head[1]) {
			if e := head[2 : 2+head[1]]; head[0] == 0 && len(e) == 3 && e[2] > 1 || head[0] == 8 && len(e) == 4 && e[3] > 1 {
				return r, false
			}
			head = head[2+int(head[1]):]
		}
	}
	if n := m.options.get(tagSARNumber); len(n) == 1 && n[0] > 1 {
		return r, false
	}
	text, _ := decodeText(m.coding, octets)
	r.Kind = c.optOut.Asks(text)
	return r, r.Address != ""
}
