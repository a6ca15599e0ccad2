// Package ingest is the door for apps and for files: it authenticates, decodes
// one of the dialects that apps speak (one file a dialect), applies the edge
// rules, and hands facts to the publisher's journal. A dialect is a
// translation and holds no rule.
//
// Failure rules. A 200 means that every fact it counts is on disk; whatever
// cannot be taken is named in the answer, record by record, and the rest is
// kept. What cannot be written now is answered 429, 503 or 507 with a
// Retry-After, and nothing of the request was kept, or nobody knows; apps send
// it again, and the ids that they give make that harmless. No input, however
// strange, is answered 5xx for its own sake.
package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
)

// Journal takes facts; when Append returns nil they are on disk. The errors of
// the room journal come through and decide what the app is told. It must not
// keep the facts when Append has returned: their memory is the request's.
type Journal interface {
	Append(ctx context.Context, facts []event.Fact) error
}

// Publisher is what the door knows of one publisher.
type Publisher struct {
	Name    string
	Journal Journal
	Rules   *Rules
	// Refused is told of records that were not taken; may be nil. It must not
	// keep the records when it has returned: their memory is the request's.
	Refused func([]Refused)
	// Taken is told of what is on disk; may be nil, and must not keep the facts.
	Taken func(Taken)
	// What apps are told of it. OptedOut says whether a device's person wants
	// nothing collected; nil = nobody does. WebPush gives the public VAPID key,
	// "" = there is no web push; nil = there never is.
	Purposes []Purpose
	OptedOut func(device string) bool
	WebPush  func() string
	// Hash is keyring.Publisher's: what ids are made of that an app is handed.
	Hash func(domain string, parts ...[]byte) [32]byte
	// Message finds one by its id: whom it went to, and the properties of facts
	// about it. nil = there are none.
	Message func(id string) (person uint32, props []event.Prop, ok bool)
	// Hold keeps records for an operator to look at; needed where Rules.Detect
	// holds some.
	Hold *Hold
	// PerKey bounds what comes with one key of the publisher's; zero = only
	// the publisher's share of the door does.
	PerKey Bound
}

// webPush is the key with which browsers subscribe, "" = they cannot.
func (p *Publisher) webPush() string {
	if p.WebPush == nil {
		return ""
	}
	return p.WebPush()
}

// Key is a credential that apps carry. Its ID is public; without Secret it only writes.
type Key struct {
	ID        string
	Secret    string // "" = the dialects that ask for one refuse this key
	Publisher *Publisher
}

// Opens says whether secret is the key's; a key without one is opened by none.
func (k Key) Opens(secret string) bool { return k.Secret != "" && sameSecret(k.Secret, secret) }

// Options of the door.
type Options struct {
	// Key finds a credential by its id. It is asked on every request, so a
	// reload is seen at once.
	Key func(id string) (Key, bool)
	// Now is the door's clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of what the operator should know; nil discards.
	Logger *slog.Logger
	// Ready says why nothing can be taken now (a full disk, a start that has
	// not ended); nil, or answering nil = all is well.
	Ready func() error
	// MaxRequests is how many requests are worked on at once; default 2,048.
	// Beyond it apps are told to come back.
	MaxRequests int
	// MaxBodies is how many bytes of bodies may be in memory at once; default
	// 64 MiB. What is made of a body takes a few times its size.
	MaxBodies int64
	// PerAddress bounds what one address sends, or one /64 of IPv6; zero = it
	// is as bounded as all together. Request.RemoteAddr says who that is.
	PerAddress Bound
	// Patience is how long a body may take for each 10 KiB of it, and for its
	// last bytes; default 10 s.
	Patience time.Duration
}

// ErrNoSpace is what Ready returns when the disk is at its reserve: 507.
var ErrNoSpace = errors.New("the disk is at its reserve")

// Door serves the apps. It may be used concurrently.
type Door struct {
	o       Options
	load    load
	peers   gate[netip.Prefix]
	keys    gate[string]
	parsers sync.Pool // of *parser
	buffers sync.Pool // of *bytes.Buffer, for bodies
	facts   sync.Pool // of *[]event.Fact, empty
	mux     *http.ServeMux
}

// New makes the door.
func New(o Options) *Door {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = 2048
	}
	if o.MaxBodies <= 0 {
		o.MaxBodies = 64 << 20
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	d := &Door{o: o, mux: http.NewServeMux()}
	d.parsers.New = func() any { return new(parser) }
	d.buffers.New = func() any { return new(bytes.Buffer) }
	d.facts.New = func() any { return new([]event.Fact) }
	d.clevertapRoutes()
	d.clevertapWebRoutes()
	d.clevertapMobileRoutes()
	d.segmentRoutes()
	d.posthogRoutes()
	d.mixpanelRoutes()
	d.amplitudeRoutes()
	d.sharedRoutes()
	d.cloisterRoutes()
	d.scriptRoutes()
	return d
}

// ServeHTTP routes to the dialect: POST /1/upload, under /v1/ what Segment's
// libraries ask for, and the paths of DIALECTS.md. Everything else is 404.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mux.ServeHTTP(w, withoutPrefix(r))
}

// take bounds the requests in work around a dialect's handler.
func (d *Door) take(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r, v, err := d.visit(r)
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		defer v.leave()
		if d.o.Ready != nil {
			if err := d.o.Ready(); err != nil {
				d.refuse(w, r, err)
				return
			}
		}
		next(w, r)
	}
}

// refuse answers for a journal that cannot take anything now. Apps retry all
// of these but the first.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var busy *errBusy
	switch {
	case errors.As(err, &busy):
		status := http.StatusTooManyRequests
		if busy.limit == limitPace {
			status = http.StatusRequestTimeout
		}
		unavailable(w, status, max(1, int(math.Ceil(busy.after.Seconds()))), err.Error())
	case errors.Is(err, journal.ErrTooLarge):
		writeJSON(w, http.StatusRequestEntityTooLarge, failure(http.StatusRequestEntityTooLarge, "this is too much for one request; send it in parts"))
	case errors.Is(err, journal.ErrFull), errors.Is(err, ErrNoSpace):
		unavailable(w, http.StatusInsufficientStorage, 30, "the disk is full; the operator has been told")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The app hung up: nobody reads an answer.
	default:
		d.o.Logger.Error("cannot take facts", "path", r.URL.Path, "error", err)
		unavailable(w, http.StatusServiceUnavailable, 5, "nothing can be written now; come back shortly")
	}
}

func unavailable(w http.ResponseWriter, status, after int, message string) {
	if _, ok := w.(no429); ok && status < 500 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Retry-After", strconv.Itoa(after))
	if status == http.StatusTooManyRequests {
		w.Header().Set("X-RateLimit-Reset", strconv.Itoa(after)) // seconds, as libraries of Segment read it
	}
	writeJSON(w, status, failure(status, message))
}

// failure is an answer that clients of every dialect understand.
func failure(status int, message string) event.Value {
	return event.OfObject([]event.Prop{
		{Key: "status", Value: event.OfText("fail")},
		{Key: "success", Value: event.OfBool(false)},
		{Key: "error", Value: event.OfText(message)},
		{Key: "code", Value: event.OfInt(int64(status))},
	})
}

func writeJSON(w http.ResponseWriter, status int, v event.Value) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A failed write means that the app hung up.
	_, _ = w.Write(append(v.AppendJSON(nil), '\n'))
}

// sameSecret compares in a time that tells neither contents nor length.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
