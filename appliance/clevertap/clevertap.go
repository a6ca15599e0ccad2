// Package clevertap is the door for servers that speak CleverTap's REST API
// beyond upload: they ask, export, send and erase as they did there, by
// changing the host alone (API.md). It translates each call into a question, a
// fact or a campaign of ours and the answer back, and holds no rule of its own:
// consent, caps, quiet hours and budgets are those of the rooms below.
//
// Failure rules. A call that cannot be done is answered with status "fail", in
// HTTP 200 where the vendor's clients look at the body; no input is answered
// 5xx for its own sake. What the call is not understood in is named, and
// nothing of it is done. Personal data is answered only once the read of it is
// in the audit.
package clevertap

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/query"
)

// Publisher is what the door asks of one; *publisher.Publisher is it.
type Publisher interface {
	Name() string
	Location() *time.Location
	Purposes() []publisher.Purpose

	Ask(ctx context.Context, body []byte) (*query.Answer, error)
	Whom(ctx context.Context, expression []byte) (*roaring.Bitmap, error)
	List(ctx context.Context, l publisher.Listing) (page []publisher.Listed, more bool, err error)
	Activities(ctx context.Context, persons []uint32) (map[uint32]map[string]publisher.Activity, error)

	FindIdentity(identity string) (person uint32, ok bool)
	FindDevice(device string) (person uint32, ok bool)
	With(channel, address string) ([]uint32, error)
	ReachableOn(platform string) *roaring.Bitmap
	Known(person uint32) (*people.Person, error)
	Personal(attribute string) bool

	Tell(ctx context.Context, facts []event.Fact) error
	EraseAll(ctx context.Context, persons []uint32) (requests []string, err error)

	Campaigns() *campaign.Campaigns
	SaveCampaign(ctx context.Context, c *campaign.Campaign) error
	Send(ctx context.Context, campaign string, persons []uint32, content []event.Prop) (sent int, err error)
}

// Key is what an account id and its passcode let somebody do. Whoever has one
// may write.
type Key struct {
	ID        string
	Read      bool      // profiles, events, counts and reports
	Erase     bool      // delete profiles
	Campaigns bool      // targets and send
	Purpose   string    // of campaigns that name none, "" = none
	Publisher Publisher // nil while it is being opened again
	Of        string    // the name of its publisher
}

// Audit keeps what was done; *audit.Log is one.
type Audit interface {
	Append(ctx context.Context, entries ...audit.Entry) error
}

// Options of the door. Key and Audit are needed.
type Options struct {
	// Key finds what an account id and a passcode open. It is asked on every
	// call, so a reload is seen at once.
	Key   func(id, passcode string) (Key, bool)
	Audit Audit
	// Ready says why nothing can be taken now; nil, or answering nil = all is well.
	Ready  func() error
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil discards
}

// Door serves the calls. It may be used concurrently.
type Door struct {
	o       Options
	mux     *http.ServeMux
	flights flights
	making  making
	cursors shelf[*cursor]
	results shelf[answer]

	pageBytes int // of an export
}

// New makes the door.
func New(o Options) *Door {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Door{o: o, mux: http.NewServeMux(), pageBytes: pageBytes}
	d.cursors.most, d.results.most = maxCursors, maxResults
	for i := range routes {
		d.mux.HandleFunc("/1/"+routes[i].path, func(w http.ResponseWriter, r *http.Request) { d.serve(&routes[i], w, r) })
	}
	d.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.answer(w, http.StatusNotFound, fail(http.StatusNotFound, "there is no such call"))
	})
	return d
}

// ServeHTTP serves everything below /1/ but upload.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }
