// Package console is the door for operators: the HTTP API (API.md) and the web
// console, which is built from web/ and embedded. It decides who may do what,
// writes down who did, and leaves the doing to the rooms below.
//
// The failure rules: what a caller may not see does not exist for them, which
// is decided before anything is looked up; personal data is answered only once
// the read of it is in the audit; a request that is not understood to its last
// field changes nothing.
package console

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/guide"
)

// Options of the console. Appliance, Access and Audit are needed.
type Options struct {
	Appliance Appliance
	Access    *access.Access
	Audit     Audit
	Guide     *guide.Guide // for developers; nil = there is none
	Now       func() time.Time
	Logger    *slog.Logger
	// Ticker gives a channel that receives every d, and a function that lets
	// go of it; nil = the runtime's.
	Ticker func(d time.Duration) (<-chan time.Time, func())
}

// Audit keeps what was done; *audit.Log is one.
type Audit interface {
	Append(ctx context.Context, entries ...audit.Entry) error
	List(ctx context.Context, publisher string, limit int) ([]audit.Entry, error)
	Head() []byte
	Verifier() string
}

// Console serves operators. It is safe for concurrent use.
type Console struct {
	appliance Appliance
	access    *access.Access
	audit     Audit
	now       func() time.Time
	log       *slog.Logger
	ticker    func(d time.Duration) (<-chan time.Time, func())
	bundle    *bundle
	guide     *guide.Guide
	heavy     chan struct{} // places for imports and long lists
	live      liveCount
	exports   exporting
	changing  changing
	failures  failedSignIns
	lately    lately

	stopping context.Context // ends with Close
	stop     context.CancelFunc
}

// New makes the console. Close it before what it was given.
func New(o Options) (*Console, error) {
	b, err := openBundle()
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Ticker == nil {
		o.Ticker = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(d)
			return t.C, t.Stop
		}
	}
	c := &Console{
		appliance: o.Appliance, access: o.Access, audit: o.Audit, now: o.Now, log: o.Logger, ticker: o.Ticker,
		bundle: b, guide: o.Guide, heavy: make(chan struct{}, 4),
	}
	c.stopping, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Handler serves the listener "console": the API, for a session's cookie or a
// bearer token, and the web console.
//
// The server around it needs ReadHeaderTimeout, IdleTimeout and MaxHeaderBytes
// of its own; reading a body and writing an answer have their deadlines here.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		if !r.socket {
			mux.Handle(r.pattern, c.serve(r, c.caller))
		}
	}
	mux.Handle("/v1/", c.noRoute(mux))
	mux.Handle("/", c.bundle)
	return c.guard(mux)
}

// AdminHandler serves the admin socket: the same API, for root and the
// daemon's own user, and what only they may do. The server around it needs
// ConnContext: console.ConnContext.
func (c *Console) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.pattern, c.serve(r, c.peer))
	}
	mux.Handle("/", c.noRoute(mux))
	return c.guard(mux)
}

// Close ends the streams and waits for them; call it before the server's
// Shutdown, which would wait for them as well. Requests that come later are
// answered, but nothing streams any more.
func (c *Console) Close() error {
	c.stop()
	c.live.close()
	c.exports.close()
	return nil
}
