package delivery

import (
	"slices"
	"strings"
	"time"
)

const (
	// horizon is how far ahead a message is given a turn; what would come later
	// asks again, so that a rate that is raised is felt soon.
	horizon = 5 * time.Minute
	// late is how long after its turn a message may still use it: more only
	// comes about where the process stood still, and all turns at once would be
	// no rate.
	late = 2 * time.Second
	// maxDomains bounds the domains of one connector whose rate is remembered.
	maxDomains = 10_000
)

// bucket lets so many messages a second pass, a quarter of a second's worth at
// once, and tells the others their turn (the generic cell rate algorithm, ITU-T
// I.371). Transactional messages have a lane of their own, so that turns given
// to a broadcast do not keep them; each passes on the other's account too.
type bucket struct {
	next [lanes]time.Time // by lane: when the next message would be exactly in time
}

// Lanes of a bucket and of the queue.
const (
	laneTransactional = iota
	laneMarketing
	lanes // how many
)

func laneOf(class string) int {
	if class == Transactional {
		return laneTransactional
	}
	return laneMarketing
}

// interval is the time between two messages, and slack how far ahead of it some
// may be.
func interval(rate float64) (every, slack time.Duration) {
	every = time.Duration(float64(time.Second) / rate)
	return every, max(0, time.Duration(max(1, rate/4)-1)*every)
}

// turn is when a message may pass: not after now if it may at once.
func (b *bucket) turn(now time.Time, rate float64, lane int) time.Time {
	_, slack := interval(rate)
	return b.next[lane].Add(-slack)
}

// take lets one message pass, or gives it the turn.
func (b *bucket) take(now time.Time, rate float64, lane int) {
	every, _ := interval(rate)
	for l := lane; l < len(b.next); l++ {
		b.next[l] = later(b.next[l], now).Add(every)
	}
}

// giveBack takes a message back that did not go after all.
func (b *bucket) giveBack(rate float64, lane int) {
	every, _ := interval(rate)
	for l := lane; l < len(b.next); l++ {
		b.next[l] = b.next[l].Add(-every)
	}
}

// free is how many could pass now, at most limit; if none, when one can.
func (b *bucket) free(now time.Time, rate float64, lane, limit int) (int, time.Time) {
	every, slack := interval(rate)
	ahead := later(b.next[lane], now).Sub(now)
	if ahead > slack {
		return 0, now.Add(ahead - slack)
	}
	return min(limit, int((slack-ahead)/max(1, every))+1), now
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// domains are the buckets of the recipients' domains of one connector.
type domains map[string]*bucket

// of gives the bucket of a domain. Where there are too many, those go that hold
// nothing back, and if need be any one.
func (d domains) of(domain string, now time.Time) *bucket {
	if b := d[domain]; b != nil {
		return b
	}
	if len(d) >= maxDomains {
		for name, b := range d {
			if !b.next[laneMarketing].After(now) {
				delete(d, name)
			}
		}
	}
	for name := range d {
		if len(d) < maxDomains {
			break
		}
		delete(d, name)
	}
	b := new(bucket)
	d[domain] = b
	return b
}

// domainOf is an e-mail address's, in lower case.
func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// DomainRate bounds the messages to recipients of some domains together. "*"
// stands for each domain that no other names, apart.
type DomainRate struct {
	Domains []string // in lower case
	Rate    float64  // messages a second
}

// rateFor gives a domain's rate and the name that its bucket goes by; 0 = none.
func rateFor(all []DomainRate, domain string) (name string, rate float64) {
	for _, r := range all {
		if slices.Contains(r.Domains, domain) {
			return r.Domains[0], r.Rate
		}
		if slices.Contains(r.Domains, "*") {
			name, rate = domain, r.Rate
		}
	}
	return name, rate
}
