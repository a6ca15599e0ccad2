package ingest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Taken are the facts of one request, once they are on disk.
type Taken struct {
	Dialect string
	Key     string // the id of the key that they came with
	Sender  string // the library, as far as it says; see libraryOf
	Facts   []event.Fact
}

// Bounds of what is remembered of facts that came in, of one publisher.
const (
	arrivalsKept    = 500
	arrivalsLast    = 15 * time.Minute
	arrivalsEach    = 20   // of one request: the last ones
	arrivalsASecond = 50   // more are counted only: nobody reads as fast
	arrivalDetail   = 8192 // bytes of JSON; what is longer is left out
)

// Arrival is a fact as it came in, for whoever connects an app.
type Arrival struct {
	Number  uint64    // grows, also over a restart
	At      time.Time // when it was on disk
	Dialect string
	Key     string
	Sender  string
	Kind    string // "track", "identify", "alias"
	Event   string // of a track
	ID      string // the sender's message id
	Time    int64  // when it happened, microseconds since 1970 UTC
	User    string
	Device  string
	Detail  []byte // JSON: what it says, with the members of the plain form (API.md); nil if it was too long, or is gone
}

// ArrivalFilter says which arrivals are looked for; "" and 0 stand for all.
type ArrivalFilter struct {
	After        uint64 // numbers above it
	Dialect, Key string
}

// Arrivals remembers what came in last. It is there to be watched, so it keeps
// some of each second and little of it. As with refusals, personal data rests
// in memory only, and an erasure of anybody takes who and what of all. It is
// safe for concurrent use, and outlives a reload of the rules.
type Arrivals struct {
	now func() time.Time

	mu     sync.Mutex
	kept   []Arrival // the oldest first
	next   uint64
	second int64 // that room is left of
	room   int
}

// NewArrivals makes an empty one; now nil means time.Now.
func NewArrivals(now func() time.Time) *Arrivals {
	if now == nil {
		now = time.Now
	}
	return &Arrivals{now: now, next: uint64(now().UnixMicro())}
}

// Add takes note of what came in. It keeps nothing of t itself.
func (a *Arrivals) Add(t Taken) {
	at := a.now()
	a.mu.Lock()
	if s := at.Unix(); s != a.second {
		a.second, a.room = s, arrivalsASecond
	}
	n := min(len(t.Facts), arrivalsEach, a.room)
	a.room -= n
	a.next += uint64(len(t.Facts) - n)
	a.mu.Unlock()
	if n == 0 {
		return
	}
	fresh := make([]Arrival, 0, n)
	for i := range t.Facts[len(t.Facts)-n:] {
		f := &t.Facts[len(t.Facts)-n+i]
		one := Arrival{At: at, Dialect: t.Dialect, Key: strings.Clone(t.Key), Sender: t.Sender, Kind: f.Kind.String(), Event: strings.Clone(f.Name),
			ID: strings.Clone(f.ID), Time: f.Time, User: strings.Clone(f.User), Device: strings.Clone(f.Device)}
		if b := detail(f).AppendJSON(nil); len(b) <= arrivalDetail {
			one.Detail = b
		}
		fresh = append(fresh, one)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range fresh {
		a.next++
		fresh[i].Number = a.next
	}
	a.kept = append(a.kept, fresh...)
	a.trim(at)
}

// trim lets go of what is beyond the bounds.
func (a *Arrivals) trim(now time.Time) {
	n := max(0, len(a.kept)-arrivalsKept)
	for n < len(a.kept) && now.Sub(a.kept[n].At) > arrivalsLast {
		n++
	}
	a.kept = slices.Delete(a.kept, 0, n)
}

// Expire lets go of what is too old; whoever keeps them calls it now and then.
func (a *Arrivals) Expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(a.now())
}

// List gives the newest arrivals that f asks for, at most limit, in their
// order, and the number of the newest there is. Between two numbers some may
// have been left out.
func (a *Arrivals) List(f ArrivalFilter, limit int) (out []Arrival, last uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(a.now())
	for _, k := range a.kept {
		if k.Number > f.After && (f.Dialect == "" || f.Dialect == k.Dialect) && (f.Key == "" || f.Key == k.Key) {
			out = append(out, k)
		}
	}
	return out[max(0, len(out)-limit):], a.next
}

// Name and Forget make it a holder of people's data, for erasures.
func (a *Arrivals) Name() string { return "doors: what came in last" }

// Forget lets go of everything.
func (a *Arrivals) Forget(context.Context, []erasure.Forgotten) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.kept)
	a.kept = a.kept[:0]
	return nil
}

// masked stands for a value that only its person's page shows.
const masked = "•••"

// detail is what a fact says, with the members of the plain form.
func detail(f *event.Fact) event.Value {
	var out []event.Prop
	if len(f.Props) > 0 {
		props := slices.Clone(f.Props)
		for i := range props {
			if props[i].Personal {
				props[i].Value = event.OfText(masked)
			}
		}
		out = append(out, event.Prop{Key: "props", Value: event.OfObject(props)})
	}
	if f.Previous != "" {
		out = append(out, event.Prop{Key: "previous", Value: event.OfText(f.Previous)})
	}
	for _, member := range []string{"profile", "once", "add", "remove", "increase"} {
		var changes []event.Prop
		for _, c := range f.Changes {
			switch {
			case c.Op == event.Delete && member == "profile":
				changes = append(changes, event.Prop{Key: c.Key})
			case c.Op == event.Delete || c.Op != cloisterOps[member]:
			case c.Personal:
				changes = append(changes, event.Prop{Key: c.Key, Value: event.OfText(masked)})
			default:
				changes = append(changes, event.Prop{Key: c.Key, Value: c.Value})
			}
		}
		if len(changes) > 0 {
			out = append(out, event.Prop{Key: member, Value: event.OfObject(changes)})
		}
	}
	var consents, channels, unreachable []event.Value
	for _, c := range f.Consents {
		if c.Purpose == event.PurposeCollection {
			out = append(out, event.Prop{Key: "collect", Value: event.OfBool(c.Granted)})
			continue
		}
		one := []event.Prop{{Key: "purpose", Value: event.OfText(c.Purpose)}, {Key: "granted", Value: event.OfBool(c.Granted)}}
		if c.Channel != "" {
			one = append(one, event.Prop{Key: "channel", Value: event.OfText(c.Channel)})
		}
		consents = append(consents, event.OfObject(one))
	}
	for _, a := range f.Addresses {
		name := a.Channel
		if a.Platform != "" {
			name += "/" + a.Platform
		}
		if a.Removed {
			unreachable = append(unreachable, event.OfText(name))
		} else {
			channels = append(channels, event.OfText(name))
		}
	}
	for _, l := range []struct {
		key  string
		list []event.Value
	}{{"consent", consents}, {"channels", channels}, {"unreachable", unreachable}} {
		if len(l.list) > 0 {
			out = append(out, event.Prop{Key: l.key, Value: event.OfList(l.list)})
		}
	}
	return event.OfObject(out)
}

// libraryOf is the library that a User-Agent names: its first word, where that
// is no browser's. Browsers all begin alike, and more would tell one person
// from another.
func libraryOf(userAgent string) string {
	word, _, _ := strings.Cut(userAgent, " ")
	switch {
	case strings.HasPrefix(word, "Mozilla/"):
		return "browser"
	case len(word) > 64:
		return ""
	}
	for i := range len(word) {
		if word[i] <= ' ' || word[i] > '~' {
			return ""
		}
	}
	return strings.Clone(word)
}
