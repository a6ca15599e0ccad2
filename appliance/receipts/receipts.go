// Package receipts is the door for providers: all by which they tell what became
// of messages. Their webhooks come over HTTP, mail that came back over SMTP, and
// what a connector hears by its own connection is collected from it. None of it
// is understood here: the connector that sent the messages reads it, says whether
// it is genuine, and what the provider is answered.
//
// Failure rules: a provider is told that its report was taken only once the facts
// are in the journal. While a connector or its publisher is away, it is told to
// come again (503 with Retry-After, 451), so that nothing is lost; what is forged
// is refused for good (403, 550) and counted; and what nobody here knows is not
// found (404, 550). A connector that floods, hangs or lies costs its own place
// here and nobody else's.
package receipts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// ErrUnsupported is within the error of a Connector that does not do what it was
// asked: it has no webhook, reads no mail, collects nothing.
var ErrUnsupported = errors.New("the connector does not do this")

// ErrAway is within the error of a Connector that has no process just now.
var ErrAway = errors.New("away")

// Connector is what this room asks of a running connector. Its methods end by
// themselves after some seconds, and may be called concurrently.
type Connector interface {
	// Receipts reads a provider's raw request; connector.ErrForged means that the
	// provider did not send it.
	Receipts(ctx context.Context, w connector.Webhook) (connector.Answer, error)
	// Returned reads a mail that came back; connector.ErrForged as above.
	Returned(ctx context.Context, m connector.Mail) ([]connector.Receipt, error)
	// Collect waits for receipts; they come again until their token is given as ack.
	Collect(ctx context.Context, ack string) (receipts []connector.Receipt, token string, err error)
}

// Source is a connector, and whose it is.
type Source struct {
	Publisher string
	Channel   string
	Name      string // unique in its publisher
	Connector Connector
	// Tell appends what receipts say to the publisher's journal and returns once
	// it is on disk; nil while the publisher is being opened again.
	Tell func(ctx context.Context, rs []connector.Receipt) error
}

func (s Source) subject() string { return s.Publisher + "/" + s.Channel + "/" + s.Name }

// Board takes problems. *health.Board is one.
type Board interface {
	Raise(health.Problem)
	Clear(code, subject string)
}

// Options of the door. Find and PublicURL are needed, Mail for returned mail.
type Options struct {
	// Find gives a publisher's connector by name.
	Find func(publisher, name string) (Source, bool)
	// Mail gives the connectors whose returned mail goes to a domain, in lower case.
	Mail func(domain string) []Source
	// PublicURL is where providers find the door, without a slash at the end:
	// they sign what they called.
	PublicURL func() string

	Board  Board
	Now    func() time.Time
	Logger *slog.Logger
}

// Bounds of the door.
const (
	maxBody      = 1 << 20 // bytes of a request
	maxAtOnce    = 256     // requests and mails in work, of all connectors
	eachAtOnce   = 32      // of one connector
	eachRate     = 500     // requests and mails of one connector, a second
	bodyTimeout  = 30 * time.Second
	tellTimeout  = 10 * time.Second
	retryAfter   = "30" // seconds
	forgedInARow = 10   // before it is a problem
	forgedLog    = time.Minute
)

const problemForged = "receipts.forged"

// Door takes what providers tell. It is an http.Handler for what lies below
// Path, and a Postman for the SMTP listener. It may be used concurrently.
type Door struct {
	o     Options
	slots chan struct{}

	mu  sync.Mutex
	all map[string]*traffic // by Source.subject; as many as were ever configured
}

// traffic is what one connector's providers do.
type traffic struct {
	slots chan struct{}
	rate  *rate.Limiter

	taken, receipts, forged, away, limited, refused atomic.Uint64

	mu     sync.Mutex
	row    int       // forged in a row
	logged time.Time // when forged ones were logged last
	quiet  uint64    // forged since then
}

// Stats count what came for one connector since New.
type Stats struct {
	Publisher, Channel, Name string
	Taken                    uint64 // requests and mails that were answered as taken
	Receipts                 uint64 // in them, and collected
	Forged                   uint64 // not the provider's
	Away                     uint64 // to come again: the connector or the publisher was away
	Limited                  uint64 // to come again: too many at once
	Refused                  uint64 // not as they should be, or too large
}

// New makes the door.
func New(o Options) *Door {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Board == nil {
		o.Board = health.NewBoard(o.Now)
	}
	if o.Mail == nil {
		o.Mail = func(string) []Source { return nil }
	}
	return &Door{o: o, slots: make(chan struct{}, maxAtOnce), all: make(map[string]*traffic)}
}

// Stats gives the counts of a connector.
func (d *Door) Stats(publisher, channel, name string) Stats {
	t := d.traffic(Source{Publisher: publisher, Channel: channel, Name: name})
	return Stats{Publisher: publisher, Channel: channel, Name: name, Taken: t.taken.Load(), Receipts: t.receipts.Load(),
		Forged: t.forged.Load(), Away: t.away.Load(), Limited: t.limited.Load(), Refused: t.refused.Load()}
}

func (d *Door) traffic(s Source) *traffic {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.all[s.subject()]
	if t == nil {
		t = &traffic{slots: make(chan struct{}, eachAtOnce), rate: rate.NewLimiter(eachRate, 2*eachRate)}
		d.all[s.subject()] = t
	}
	return t
}

// enter takes a place for one request of a connector; leave gives it back.
func (d *Door) enter(t *traffic) (leave func(), ok bool) {
	if !t.rate.AllowN(d.o.Now(), 1) {
		t.limited.Add(1)
		return nil, false
	}
	select {
	case t.slots <- struct{}{}:
	default:
		t.limited.Add(1)
		return nil, false
	}
	select {
	case d.slots <- struct{}{}:
		return func() { <-d.slots; <-t.slots }, true
	default:
		<-t.slots
		t.limited.Add(1)
		return nil, false
	}
}

var errAway = fmt.Errorf("the publisher is %w: it is being opened again", ErrAway)

// tell appends receipts, if there are any, for a connector.
func (d *Door) tell(ctx context.Context, s Source, t *traffic, rs []connector.Receipt) error {
	if len(rs) == 0 {
		return nil
	}
	if s.Tell == nil {
		return errAway
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := s.Tell(ctx, rs); err != nil {
		return err
	}
	t.receipts.Add(uint64(len(rs)))
	return nil
}

// genuine notes that something of the provider's own came.
func (d *Door) genuine(s Source, t *traffic) {
	t.taken.Add(1)
	t.mu.Lock()
	raised := t.row >= forgedInARow
	t.row = 0
	t.mu.Unlock()
	if raised {
		d.o.Board.Clear(problemForged, s.subject())
	}
}

// forgery notes that something came that is not the provider's. One line a
// minute is logged: anybody can call.
func (d *Door) forgery(s Source, t *traffic, what string) {
	t.forged.Add(1)
	now := d.o.Now()
	t.mu.Lock()
	t.row++
	raise := t.row == forgedInARow
	t.quiet++
	n := t.quiet
	due := t.logged.IsZero() || now.Sub(t.logged) >= forgedLog
	if due {
		t.logged, t.quiet = now, 0
	}
	t.mu.Unlock()
	if due {
		d.o.Logger.Warn("what claims to come from a provider was refused: the connector says that it does not", "connector", s.subject(), "what", what, "times", n)
	}
	if raise {
		d.o.Board.Raise(health.Problem{Code: problemForged, Subject: s.subject(), Severity: health.Warning,
			Summary: "What comes as the provider's receipts is refused as forged, time after time.",
			Hint:    "Compare the connector's signing secret with the provider's, and public_url with the address that the provider calls. If somebody else calls, it is harmless."})
	}
}
