package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// inbox has what the message centre told and the appliance has not yet: each
// is answered to the centre only when the appliance has acknowledged it. It
// also has the ledger, since what a receipt means depends on it.
//
// Failure rules: what the appliance does not fetch in time, and what there is
// no room for, is answered with a status that makes the centre tell it again.
// What dies with the process was not answered, and is told again too; only
// receipts of parts that came more than patience before those of the message's
// other parts were.
type inbox struct {
	ids      func(response string) string // the centre's id as the ledger has it
	patience time.Duration                // how long the centre is kept waiting
	limit    int                          // of what is not answered
	now      func() time.Time

	mu         sync.Mutex
	ledger     ledger
	unanswered int
	waiting    []*arrival
	given      []*arrival // the last Collect's
	token      string
	nonce      string
	collected  uint64
	more       chan struct{} // closed when there is something to give
	partial    []*sent       // some of whose parts are delivered, in the order of time
	// What is in flight, and receipts that came before the answer that would
	// say whose they are.
	issued   uint64
	inFlight map[uint64]bool
	early    []early
}

// arrival is one receipt for the appliance.
type arrival struct {
	receipt connector.Receipt
	answers []owed
	since   time.Time
	of      *sent // nil = not of the ledger
}

// owed is an answer that the message centre waits for.
type owed struct {
	s    *session
	p    pdu
	part int // whose receipt it is
}

func (o owed) pay(status uint32) {
	o.p.status = status
	o.s.respond(o.p)
}

// early is a receipt of an id that is not known yet.
type early struct {
	r    receipt
	o    owed
	upTo uint64 // what was in flight then; of none later can it be
}

func newInbox(c *config, now func() time.Time) *inbox {
	return &inbox{
		ids: c.ids.fromResponse, patience: c.timeout, limit: 5000, now: now,
		ledger: ledger{ids: c.ids, limit: 200_000, parts: map[string]part{}},
		nonce:  rand.Text()[:8], more: make(chan struct{}), inFlight: map[uint64]bool{},
	}
}

// begin says that a part is being handed over; taken or settled follow.
func (b *inbox) begin() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.issued++
	b.inFlight[b.issued] = true
	return b.issued
}

// taken says that the centre took part n of m under an id.
func (b *inbox) taken(flight uint64, m *sent, n int, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id = b.ids(id); id != "" {
		if m.provider == "" {
			m.provider = id
		}
		b.ledger.add(id, part{m, n})
	}
	b.settle(flight)
}

// settled says that nothing more is to be expected of what begin began.
func (b *inbox) settled(flight uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(flight)
}

// settle also decides about receipts that came early.
func (b *inbox) settle(flight uint64) {
	delete(b.inFlight, flight)
	if len(b.early) == 0 {
		return
	}
	oldest := b.issued + 1
	for f := range b.inFlight {
		oldest = min(oldest, f)
	}
	waiting := b.early
	b.early = nil
	for _, e := range waiting {
		if _, _, known := b.ledger.find(e.r.id); !known && e.upTo >= oldest {
			b.early = append(b.early, e)
			continue
		}
		b.file(e.r, e.o)
	}
}

// receipt takes a receipt.
func (b *inbox) receipt(r receipt, o owed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full(o) {
		return
	}
	b.unanswered++
	if _, _, known := b.ledger.find(r.id); !known && len(b.inFlight) > 0 {
		b.early = append(b.early, early{r, o, b.issued})
		return
	}
	b.file(r, o)
}

// reply takes what a person sent.
func (b *inbox) reply(r connector.Receipt, o owed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full(o) {
		return
	}
	b.unanswered++
	b.give(&arrival{receipt: r, answers: []owed{o}})
}

func (b *inbox) full(o owed) bool {
	if b.unanswered < b.limit {
		return false
	}
	o.pay(statusTemporary)
	return true
}

// file decides what a receipt of one part means for its message.
func (b *inbox) file(r receipt, o owed) {
	id, p, known := b.ledger.find(r.id)
	out := connector.Receipt{ProviderID: id, Kind: r.kind, Class: r.class, Reason: r.reason, At: b.now()}
	if !known {
		b.give(&arrival{receipt: out, answers: []owed{o}})
		return
	}
	m := p.of
	o.part = p.number
	out.MessageID, out.ProviderID = m.message, m.provider
	switch {
	case m.arrival != nil: // told again before the appliance had it
		m.arrival.answers = append(m.arrival.answers, o)
	case m.over:
		b.pay(o, 0)
	case r.kind != connector.Delivered:
		b.conclude(m, out, o)
	default:
		m.arrived[p.number] = true
		if len(m.arrived) == m.total {
			b.conclude(m, out, o)
			return
		}
		if len(m.held) == 0 {
			m.since = b.now()
			b.partial = append(b.partial, m)
		}
		m.held = append(m.held, o)
	}
}

// conclude gives what has become of a message.
func (b *inbox) conclude(m *sent, r connector.Receipt, o owed) {
	m.over = true
	m.arrival = &arrival{receipt: r, answers: append(m.held, o), of: m}
	m.held = nil
	b.give(m.arrival)
}

func (b *inbox) give(a *arrival) {
	a.since = b.now()
	b.waiting = append(b.waiting, a)
	close(b.more)
	b.more = make(chan struct{})
}

func (b *inbox) pay(o owed, status uint32) {
	b.unanswered--
	o.pay(status)
}

// most is how many receipts are given at once.
const most = 1000

// collect gives what there is, once there is something or ctx ends. The same is
// given again until it is acknowledged.
func (b *inbox) collect(ctx context.Context, ack string) ([]connector.Receipt, string) {
	for {
		b.mu.Lock()
		if ack != "" && ack == b.token {
			for _, a := range b.given {
				for _, o := range a.answers {
					b.pay(o, 0)
				}
				if a.of != nil {
					a.of.arrival = nil
				}
			}
			b.given, b.token = nil, ""
		}
		if len(b.given) == 0 && len(b.waiting) > 0 {
			n := min(most, len(b.waiting))
			b.given = slices.Clone(b.waiting[:n])
			b.waiting = slices.Delete(b.waiting, 0, n)
			b.collected++
			b.token = fmt.Sprintf("%s-%d", b.nonce, b.collected)
		}
		if len(b.given) > 0 {
			receipts := make([]connector.Receipt, len(b.given))
			for i, a := range b.given {
				receipts[i] = a.receipt
			}
			token := b.token
			b.mu.Unlock()
			return receipts, token
		}
		more := b.more
		b.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ""
		}
	}
}

// expire answers the centre where it would have to wait too long.
func (b *inbox) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.now().Add(-b.patience)
	for len(b.partial) > 0 && !b.partial[0].since.After(old) {
		for _, o := range b.partial[0].held {
			b.pay(o, 0)
		}
		b.partial[0].held = nil
		b.partial = b.partial[1:]
	}
	for len(b.waiting) > 0 && !b.waiting[0].since.After(old) {
		a := b.waiting[0]
		b.waiting = b.waiting[1:]
		for _, o := range a.answers {
			if a.of != nil {
				delete(a.of.arrived, o.part) // it comes again
			}
			b.pay(o, statusTemporary)
		}
		if a.of != nil {
			a.of.over, a.of.arrival = false, nil
		}
	}
}

// ledger remembers which message the centre's ids belong to: the newest limit
// of them. What it has forgotten is told by the centre's id alone, under which
// the appliance finds the message too, by its first part.
type ledger struct {
	ids   idForm
	limit int
	parts map[string]part
	order []string // a ring of limit
	next  int
	// learned is how receipts write ids, by those that were found; 0 = not yet.
	learned int
}

// part is one part of a message.
type part struct {
	of     *sent
	number int
}

// sent is a message of which the centre took something.
type sent struct {
	message  string // our id
	provider string // the centre's, of the first part
	total    int
	arrived  map[int]bool // the parts that are delivered
	over     bool         // told, or of no more interest
	held     []owed       // answers for parts that wait for the others
	since    time.Time    // of held
	arrival  *arrival     // what is being told of it
}

// abandon says that a message will not be complete.
func (b *inbox) abandon(m *sent) {
	b.mu.Lock()
	m.over = true
	b.mu.Unlock()
}

func (l *ledger) add(id string, p part) {
	if _, ok := l.parts[id]; ok { // a centre that gives an id twice means the newer
		l.parts[id] = p
		return
	}
	if len(l.order) < l.limit {
		l.order = append(l.order, id)
	} else {
		delete(l.parts, l.order[l.next])
		l.order[l.next] = id
		l.next = (l.next + 1) % l.limit
	}
	l.parts[id] = p
}

// find is the part that a receipt is about, and the id that it was taken under.
func (l *ledger) find(fromReceipt string) (string, part, bool) {
	forms := l.ids.candidates(fromReceipt)
	if l.learned > 0 && l.learned < len(forms) {
		// The others could only be another message's by chance.
		forms = []string{forms[l.learned]}
	}
	for i, id := range forms {
		if p, ok := l.parts[id]; ok {
			if i > 0 && l.learned == 0 {
				l.learned = i
			}
			return id, p, true
		}
	}
	return forms[0], part{}, false
}
