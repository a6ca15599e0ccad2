// Package links is the door for recipients: the open pixel, tracked links, and
// the page where somebody unsubscribes or chooses what they want to get.
//
// Whoever has a link has what it stands for, and no more: links are signed over
// publisher, message and number, hold no personal data, and lead only where the
// message that was sent leads. A GET changes nothing but the count of opens and
// clicks, since mail scanners follow every link; what changes consent is a POST.
//
// Failure rules: an open or click that cannot be told to the journal is lost,
// and the recipient does not notice. A withdrawal of consent is tried again for
// Options.Patience and then refused with 503; only what is on disk is confirmed.
// What is unknown or forged gets one and the same answer, 404 (DESIGN.md).
package links

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Purpose is what messages may be for, as the preference page shows it.
type Purpose struct {
	Name     string
	Title    string   // "" = Name
	Contract bool     // goes out without consent, so that it cannot be declined
	Channels []string // it is used on
}

// Publisher is what links needs of a publisher. It is used concurrently.
type Publisher interface {
	Name() string
	Title() string // for people: "Acme Bank"
	// Hash is keyring.Publisher's.
	Hash(domain string, parts ...[]byte) [32]byte
	// Message gives what links of a message need; the error is, or wraps,
	// delivery.ErrUnknown or delivery.ErrGone where it is one of these.
	Message(id string) (delivery.Message, error)
	// Purposes in the order in which they are shown.
	Purposes() []Purpose
	// Allowed says whether the person agreed to the purpose on the channel.
	Allowed(person uint32, purpose, channel string) bool
	// Append appends facts to the journal and returns once they are on disk.
	Append(ctx context.Context, facts []event.Fact) error
	// CaughtUp waits until Allowed knows all that was appended before the call.
	CaughtUp(ctx context.Context) error
}

// Options of the door. Publisher is needed.
type Options struct {
	// Publisher finds a publisher by name.
	Publisher func(name string) (Publisher, bool)
	// Recent is how long a repeated open or click of one link does not count:
	// scanners and previews come in bursts. Default 1 minute.
	Recent time.Duration
	// Patience is how long the journal is asked to take a decision about
	// consent; default 10 s.
	Patience time.Duration
	Now      func() time.Time
	// Timer gives a channel that receives once d has passed, and a function
	// that lets go of it. nil = the runtime's.
	Timer  func(d time.Duration) (<-chan time.Time, func())
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Recent <= 0 {
		o.Recent = time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timer == nil {
		o.Timer = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTimer(d)
			return t.C, func() { t.Stop() }
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Bounds of the door.
const (
	maxTracking = 512     // opens and clicks worked on at once
	maxChoosing = 256     // pages and decisions worked on at once
	maxBody     = 8 << 10 // bytes of a POST
	tellTimeout = 2 * time.Second
)

// Paths are the patterns below which the door is served.
var Paths = []string{"/" + opened + "/", "/" + clicked + "/", "/" + unsubscribe + "/"}

// Door answers recipients' requests. It is an http.Handler for Paths, and safe for concurrent use. There is nothing to close.
type Door struct {
	o        Options
	recent   *recent
	tracking chan struct{} // a place for each request
	choosing chan struct{} // apart, so that no flood of opens keeps anybody from unsubscribing
	counts   counts
}

type counts struct{ opens, clicks, repeats, lost, forged, withdrawn, refused atomic.Uint64 }

// Stats count since New.
type Stats struct {
	Opens, Clicks uint64 // told to the journal
	Repeats       uint64 // opens and clicks that did not count
	Lost          uint64 // opens and clicks that the journal did not take
	Forged        uint64 // requests whose link was none of ours
	Decisions     uint64 // about consent, on disk
	Refused       uint64 // about consent, that the journal did not take
}

// New makes the door.
func New(o Options) *Door {
	o = o.withDefaults()
	return &Door{
		o: o, recent: newRecent(o.Recent),
		tracking: make(chan struct{}, maxTracking), choosing: make(chan struct{}, maxChoosing),
	}
}

// Stats counts since New.
func (d *Door) Stats() Stats {
	c := &d.counts
	return Stats{
		Opens: c.opens.Load(), Clicks: c.clicks.Load(), Repeats: c.repeats.Load(), Lost: c.lost.Load(),
		Forged: c.forged.Load(), Decisions: c.withdrawn.Load(), Refused: c.refused.Load(),
	}
}

// ServeHTTP answers a request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Content-Security-Policy", policy)

	use, p, link, ok := d.link(r.URL.Path)
	if !ok {
		d.counts.forged.Add(1)
		d.nothing(w)
		return
	}
	places, methods := d.tracking, "GET, HEAD"
	if use == unsubscribe {
		places, methods = d.choosing, "GET, HEAD, POST"
	}
	if !strings.Contains(methods, r.Method) || r.Method == "" {
		h.Set("Allow", methods)
		d.show(w, http.StatusMethodNotAllowed, plain("This cannot be done here."))
		return
	}
	if use == unsubscribe && r.Header.Get("Accept") == "application/json" {
		// A script asks on a page of the publisher's; whoever has the address may.
		h.Set("Access-Control-Allow-Origin", "*")
		w = data{w}
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	default:
		d.busy(w)
		return
	}
	m, err := p.Message(link.message)
	switch {
	case errors.Is(err, delivery.ErrGone) && r.Method == http.MethodPost:
		// Who is forgotten gets nothing more: what was asked for is so.
		d.show(w, http.StatusOK, plain("You will not get any more messages."))
	case errors.Is(err, delivery.ErrGone), errors.Is(err, delivery.ErrUnknown):
		d.nothing(w)
	case err != nil:
		d.o.Logger.Error("a recipient's link cannot be looked up", "publisher", p.Name(), "message", link.message, "error", err)
		d.busy(w)
	case use == opened:
		d.open(w, r, p, m)
	case use == clicked:
		d.click(w, r, p, m, link.number)
	case r.Method == http.MethodPost:
		d.decide(w, r, p, m)
	default:
		d.choose(w, r, p, m)
	}
}

// link reads a path: /USE/PUBLISHER/TOKEN.
func (d *Door) link(path string) (use string, p Publisher, l link, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) != 3 || !strings.HasPrefix(path, "/") {
		return "", nil, l, false
	}
	use = parts[0]
	if use != opened && use != clicked && use != unsubscribe {
		return "", nil, l, false
	}
	if p, ok = d.o.Publisher(parts[1]); !ok {
		return "", nil, l, false
	}
	l, ok = verify(p, use, p.Name(), parts[2])
	return use, p, l, ok
}

// nothing is the answer to whatever is unknown or forged.
func (d *Door) nothing(w http.ResponseWriter) {
	d.show(w, http.StatusNotFound, plain("There is nothing here."))
}

func (d *Door) busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "30")
	d.show(w, http.StatusServiceUnavailable, plain("This cannot be done just now. Please try again in a minute."))
}
