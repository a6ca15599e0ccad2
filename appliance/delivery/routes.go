package delivery

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Route is a connector as delivery chooses among those of a channel.
type Route struct {
	Name      string
	Platforms []string // of push; one that names a platform goes before those that name none
	Classes   []string // which classes of message it takes; none = all
	Weight    int      // its share among the others; 0 = 1
	Standby   bool     // it takes messages only while no other does
	Rate      float64  // messages a second; 0 = no limit
	Domains   []DomainRate
}

// takes says whether the connector is for such messages.
func (r *Route) takes(class string) bool {
	return len(r.Classes) == 0 || slices.Contains(r.Classes, class)
}

const (
	// firstLeave and longestLeave bound how long a connector that fails is left
	// out; doubled each time.
	firstLeave   = time.Second
	longestLeave = time.Minute
	// probe is how many messages try whether one works again.
	probe = 10
	// strikes is how many batches in a row that all came back leave one out.
	// One that was not taken, or not answered, does so at once.
	strikes = 3
)

// connectorState is what delivery remembers of a connector.
type connectorState struct {
	bucket  bucket
	domains domains
	paused  time.Time // since then; the zero time = it is not
	doubt   doubt     // of push; it is paused while there is one
	flying  int       // messages handed over and not answered

	failures int       // in a row
	since    time.Time // the first time that it was left out since it last worked
	why      string    // how it failed last, then
	until    time.Time // left out until then
	probing  int       // messages that try it, once until is over
	probed   time.Time // when they began
}

// left says whether it is left out now, and until when.
func (s *connectorState) left(now time.Time, patience time.Duration) (bool, time.Time) {
	switch {
	case s.until.IsZero():
		return false, now
	case now.Before(s.until):
		return true, s.until
	case s.probing >= probe && now.Before(s.probed.Add(patience)):
		return true, now.Add(firstLeave) // an answer may come any moment
	}
	return false, now
}

// routes chooses connectors. Its state is the process's own: after a restart
// every connector is tried anew.
type routes struct {
	d  *Delivery
	mu sync.Mutex
	m  map[string]*connectorState // by name, which is unique in a publisher
	// marketing is the publisher's own rate.
	marketing bucket
}

// of gives a connector's state. The caller holds mu.
func (r *routes) of(name string) *connectorState {
	s := r.m[name]
	if s == nil {
		s = &connectorState{domains: domains{}}
		r.m[name] = s
	}
	return s
}

// room says how many messages of a class a channel can get rid of now, at most
// limit; if none, when to look again. Those that have a turn have their places
// in the rates.
func (r *routes) room(channel, class string, turn bool, limit int, now time.Time) (int, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := now.Add(longestWait)
	lane, n := laneOf(class), 0
	for _, route := range r.d.o.Sender.Routes(channel) {
		s := r.of(route.Name)
		if !s.paused.IsZero() || !route.takes(class) {
			continue
		}
		if out, until := s.left(now, r.d.o.Timeout); out {
			next = earlier(next, until)
			continue
		}
		free := limit
		if route.Rate > 0 && !turn {
			var when time.Time
			if free, when = s.bucket.free(now, route.Rate, lane, limit); free == 0 {
				next = earlier(next, when)
			}
		}
		if !s.until.IsZero() {
			free = min(free, probe-s.probing)
		}
		n += max(0, free)
	}
	n = min(n, limit)
	if rate := r.d.o.Rate; rate > 0 && class == Marketing && n > 0 && !turn {
		if n, next = r.marketing.free(now, rate, lane, n); n > 0 {
			return n, now
		}
	}
	return n, next
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// choice is the connector of one message, or when to ask again.
type choice struct {
	route string
	until time.Time // no connector now; the zero time with route
	turn  bool      // until is its turn, that it need not wait for again
}

// choose gives a message that passed the gate a connector: of those that take
// its platform and class, are not paused, not left out, and have not sent it back
// since it last waited, one by weight, and by its id, so that the same message
// finds the same connector. Standby ones are asked when there is no other.
func (r *routes) choose(e *entry, now time.Time) choice {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.d.o.Sender.Routes(e.rec.Channel)
	named := slices.ContainsFunc(all, func(route Route) bool { return slices.Contains(route.Platforms, e.address.Platform) })
	var best *Route
	score, again := math.Inf(-1), now.Add(longestWait)
	for i := range all {
		route := &all[i]
		if named != slices.Contains(route.Platforms, e.address.Platform) || !named && len(route.Platforms) > 0 || !route.takes(e.rec.Class) ||
			slices.Contains(e.rec.Avoid, route.Name) {
			continue
		}
		s := r.of(route.Name)
		if !s.paused.IsZero() {
			continue
		}
		if out, until := s.left(now, r.d.o.Timeout); out {
			again = earlier(again, until)
			continue
		}
		if best != nil && best.Standby != route.Standby {
			if !route.Standby {
				best, score = route, weigh(e.rec.Message, route)
			}
			continue
		}
		if w := weigh(e.rec.Message, route); w > score || best == nil {
			best, score = route, w
		}
	}
	if best == nil {
		if len(e.rec.Avoid) > 0 {
			e.rec.Avoid = nil // next time any
		}
		return choice{until: again.Add(time.Duration(r.d.o.Rand() * float64(firstLeave)))}
	}
	s := r.of(best.Name)
	if at, turn := r.wait(e, best, s, now); at.After(now) {
		return choice{until: at, turn: turn}
	}
	if !s.until.IsZero() {
		if s.probing == 0 || !now.Before(s.probed.Add(r.d.o.Timeout)) {
			s.probing, s.probed = 0, now
		}
		s.probing++
	}
	s.flying++
	return choice{route: best.Name}
}

// weigh gives a route's score for a message: the greatest wins, which with
// these scores is each as often as its weight says (weighted rendezvous
// hashing), and a connector that comes or goes moves only its own share.
func weigh(message string, route *Route) float64 {
	h := fnv.New64a()
	h.Write([]byte(message))
	h.Write([]byte(route.Name))
	x := h.Sum64()
	x ^= x >> 33 // FNV's low bits say more than its high ones: mix them (MurmurHash3's finalizer)
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	u := (float64(x>>11) + 0.5) / (1 << 53)
	return -float64(max(1, route.Weight)) / math.Log(u)
}

// limit is one rate that a message is under.
type limit struct {
	b    *bucket
	rate float64
}

func (r *routes) limits(e *entry, route *Route, s *connectorState, now time.Time) []limit {
	var out []limit
	if r.d.o.Rate > 0 && e.rec.Class == Marketing {
		out = append(out, limit{&r.marketing, r.d.o.Rate})
	}
	if route.Rate > 0 {
		out = append(out, limit{&s.bucket, route.Rate})
	}
	if e.rec.Channel == "email" && len(route.Domains) > 0 {
		if name, rate := rateFor(route.Domains, domainOf(e.address.Value)); rate > 0 {
			out = append(out, limit{s.domains.of(name, now), rate})
		}
	}
	return out
}

// wait takes a message's place in the rates that it is under, and says when
// that is. A message whose turn has come took it before.
func (r *routes) wait(e *entry, route *Route, s *connectorState, now time.Time) (at time.Time, turn bool) {
	if e.rec.Turn && now.Sub(e.rec.Due) < late {
		return now, false
	}
	lane, all := laneOf(e.rec.Class), r.limits(e, route, s, now)
	at = now
	for _, l := range all {
		at = later(at, l.b.turn(now, l.rate, lane))
	}
	if at.Sub(now) > horizon {
		return now.Add(time.Duration((0.5 + r.d.o.Rand()/2) * float64(horizon))), false
	}
	for _, l := range all {
		l.b.take(now, l.rate, lane)
	}
	return at, true
}

// undo takes back the choice for a message that was held after all. Its place
// in the rates of a domain is lost.
func (r *routes) undo(e *entry, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(name)
	s.flying--
	if s.probing > 0 {
		s.probing--
	}
	lane := laneOf(e.rec.Class)
	for _, route := range r.d.o.Sender.Routes(e.rec.Channel) {
		if route.Name == name && route.Rate > 0 {
			s.bucket.giveBack(route.Rate, lane)
		}
	}
	if r.d.o.Rate > 0 && e.rec.Class == Marketing {
		r.marketing.giveBack(r.d.o.Rate, lane)
	}
}

// landed notes how a hand-off of n messages ended. doubted says that the
// connector was paused for what it said, which outs do not hold any more.
func (r *routes) landed(channel, name string, n int, outs []result, err error) (doubted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, now := r.of(name), r.d.o.Now()
	s.flying -= n
	if channel == "push" && !s.doubt.judge(outs, now) {
		keep(outs)
		if s.paused.IsZero() {
			s.paused = now.UTC()
		}
		return true
	}
	bad := err != nil
	if !bad {
		back := 0
		for i := range outs {
			if outs[i].out.Result == connector.Again && retryOf(outs[i]).elsewhere {
				back++
			}
		}
		if back < len(outs) {
			s.failures, s.since, s.until, s.why, s.probing = 0, time.Time{}, time.Time{}, "", 0
			return false
		}
		bad = s.failures+1 >= strikes
	}
	s.failures++
	if s.probing = 0; bad {
		leave := min(firstLeave<<min(s.failures-1, 10), longestLeave)
		if s.since.IsZero() {
			s.since = now
		}
		s.until, s.why = now.Add(time.Duration((0.5+r.d.o.Rand()/2)*float64(leave))), whyNot(outs, err)
		r.d.o.Logger.Warn("a connector takes no messages and is left out", "connector", name, "failures", s.failures, "until", s.until, "why", s.why)
	}
	return false
}

// whyNot says in a few words why a batch came back whole, naming nobody.
func whyNot(outs []result, err error) string {
	var unsent *Unsent
	switch {
	case errors.As(err, &unsent):
		return nobody(unsent.Error())
	case err != nil:
		return nobody("not answered: " + err.Error())
	case len(outs) == 0:
		return ""
	}
	last := outs[len(outs)-1].out
	return nobody(strings.TrimSpace(fmt.Sprintf("%d batches came back: %s %s", strikes, last.Class, last.Reason)))
}

// other says whether a message that came back can go to another connector now.
func (r *routes) other(rec *record, platform string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.d.o.Now()
	all := r.d.o.Sender.Routes(rec.Channel)
	named := slices.ContainsFunc(all, func(route Route) bool { return slices.Contains(route.Platforms, platform) })
	return slices.ContainsFunc(all, func(route Route) bool {
		if named != slices.Contains(route.Platforms, platform) || !named && len(route.Platforms) > 0 || !route.takes(rec.Class) || slices.Contains(rec.Avoid, route.Name) {
			return false
		}
		s := r.of(route.Name)
		out, _ := s.left(now, r.d.o.Timeout)
		return s.paused.IsZero() && !out
	})
}

// RouteState is how delivery uses a connector now.
type RouteState struct {
	Paused   time.Time  // since then it gets no messages; the zero time = it does
	InFlight int        // messages handed over and not answered
	LeftOut  *time.Time // until then, or until ten messages tried it, since it fails; nil = it is not
	Failing  time.Time  // the first time that it was left out since it last worked
	Why      string     // it is left out, in a few words that name nobody
	Doubt    string     // why it was paused by itself, what is to be looked at; "" = it was not
}

// Route says how a connector is used.
func (d *Delivery) Route(name string) RouteState {
	d.routes.mu.Lock()
	defer d.routes.mu.Unlock()
	s := d.routes.m[name]
	if s == nil {
		return RouteState{}
	}
	out := RouteState{Paused: s.paused, InFlight: s.flying, Doubt: s.doubt.why}
	if !s.until.IsZero() {
		until := s.until
		out.LeftOut, out.Failing, out.Why = &until, s.since, s.why
	}
	return out
}
