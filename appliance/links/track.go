package links

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
)

// pixel is a transparent GIF of one pixel.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b")

// open answers with the pixel and tells of the open.
func (d *Door) open(w http.ResponseWriter, r *http.Request, p Publisher, m delivery.Message) {
	d.tell(r, p, m, event.NotificationViewed, 0, "")
	w.Header().Set("Content-Type", "image/gif")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(pixel) // who hangs up has their reason
	}
}

// click sends the recipient on to where the message's link leads.
func (d *Door) click(w http.ResponseWriter, r *http.Request, p Publisher, m delivery.Message, n int) {
	if n >= len(m.Targets) || !leads(m.Targets[n]) {
		d.nothing(w)
		return
	}
	d.tell(r, p, m, event.NotificationClicked, n, m.Targets[n])
	w.Header().Set("Location", m.Targets[n])
	w.WriteHeader(http.StatusFound)
}

// leads says whether a target is a web page. Delivery stores no other; this
// keeps a redirect from ever being anything else.
func leads(target string) bool {
	u, err := url.Parse(target)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// tell appends the fact of an open or a click, unless the request is no
// recipient's, or the link was followed a moment ago.
func (d *Door) tell(r *http.Request, p Publisher, m delivery.Message, name string, n int, target string) {
	if r.Method != http.MethodGet || prefetched(r) {
		return
	}
	now := d.o.Now()
	if !d.recent.first(p.Name()+"\x00"+name+"\x00"+m.ID+" "+strconv.Itoa(n), now) {
		d.counts.repeats.Add(1)
		return
	}
	us := now.UnixMicro()
	// Told twice within the time, after a restart perhaps, it is one fact.
	window := binary.BigEndian.AppendUint64(nil, uint64(us/d.o.Recent.Microseconds()))
	id := p.Hash("link fact", []byte(name), []byte(m.ID), binary.BigEndian.AppendUint16(nil, uint16(n)), window)
	props := About(m)
	if target != "" {
		props = append(props, event.Prop{Key: event.PropURL, Value: event.OfText(page(target))})
	}
	f := event.Fact{
		Kind: event.Track, ID: "own:" + hex.EncodeToString(id[:16]), Time: us, Received: us,
		Person: m.Person, Name: name, Ref: m.ID, Props: props,
	}
	// Not under the request's context: a reader who goes on reading has opened
	// the message all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), tellTimeout)
	defer cancel()
	if err := p.Append(ctx, []event.Fact{f}); err != nil {
		d.counts.lost.Add(1)
		d.o.Logger.Warn("an open or click could not be kept", "publisher", p.Name(), "event", name, "error", err)
		return
	}
	if name == event.NotificationClicked {
		d.counts.clicks.Add(1)
	} else {
		d.counts.opens.Add(1)
	}
}

// prefetched says whether a browser fetches ahead of its user.
func prefetched(r *http.Request) bool {
	for _, h := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if strings.Contains(strings.ToLower(r.Header.Get(h)), "prefetch") || strings.EqualFold(r.Header.Get(h), "preview") {
			return true
		}
	}
	return false
}

// page is a target without what may name the recipient: its query, fragment
// and user.
func page(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	u.RawQuery, u.Fragment, u.RawFragment, u.User, u.ForceQuery = "", "", "", nil, false
	return u.String()
}

// About are the properties that tell which message a fact is about.
func About(m delivery.Message) []event.Prop {
	return []event.Prop{
		{Key: event.PropCampaign, Value: event.OfText(m.Campaign)},
		{Key: event.PropMessage, Value: event.OfText(m.ID)},
		{Key: event.PropChannel, Value: event.OfText(m.Channel)},
		{Key: event.PropVariant, Value: event.OfText(m.Variant)},
		{Key: event.PropPurpose, Value: event.OfText(m.Purpose)},
	}
}

// maxRecent bounds the links remembered, in each of two halves.
const maxRecent = 50_000

// recent remembers what happened within a time: in two halves, of which the
// older is dropped when the time has passed, or the newer is full.
type recent struct {
	within time.Duration

	mu         sync.Mutex
	now, older map[string]time.Time
	since      time.Time
}

func newRecent(within time.Duration) *recent {
	return &recent{within: within, now: map[string]time.Time{}}
}

// first says whether key did not happen within the time before at, and notes it.
func (r *recent) first(key string, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.since) > r.within || at.Before(r.since) || len(r.now) >= maxRecent {
		r.now, r.older, r.since = map[string]time.Time{}, r.now, at
	}
	for _, half := range []map[string]time.Time{r.now, r.older} {
		if last, ok := half[key]; ok && at.Sub(last) < r.within && !at.Before(last) {
			return false
		}
	}
	r.now[key] = at
	return true
}
