package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// limit is what was used up when a request was told to come back.
type limit string

// The limits there are, as metrics name them. Those of a key and of an address
// have its kind before them.
const (
	limitRequests limit = "requests"
	limitRate     limit = "rate"
	limitBodies   limit = "bodies"
	limitPace     limit = "pace"    // a body trickles
	limitShare    limit = "share"   // the publisher has as much in work as is free
	limitJournal  limit = "journal" // as much of the publisher's waits to be written as may
)

// errBusy is a request that has to come back. The errors that are one are made
// by limited.
type errBusy struct {
	limit limit
	after time.Duration
}

func (e *errBusy) Error() string {
	return fmt.Sprintf("more arrives than can be taken (%s); come back shortly", e.limit)
}

// busy says whether a request has to come back, rather than never.
func busy(err error) bool {
	var b *errBusy
	return errors.As(err, &b)
}

// visit is one request at the door. It is the request's goroutine's own, but
// for what the door's load counts.
type visit struct {
	door      *Door
	peer      netip.Prefix
	key       string // "" until the request is a publisher's
	bound     Bound  // of the key
	publisher string
	bodies    int64 // bytes that it holds
}

// load is what is in work, all together and by publisher; "" has what is
// nobody's yet.
type load struct {
	mu       sync.Mutex
	requests int
	bodies   int64
	of       map[string]*share // as many as publishers ever were configured
	limited  map[limitOf]uint64
}

type share struct {
	requests int
	bodies   int64
}

type limitOf struct {
	publisher string
	limit     limit
}

type visitKey struct{}

// visitOf gives the visit of a request that take let in.
func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// visit lets a request in; the error is an *errBusy. leave must be called at
// its end.
func (d *Door) visit(r *http.Request) (*http.Request, *visit, error) {
	v := &visit{door: d, peer: Peer(r.RemoteAddr)}
	if why, after := d.peers.enter(v.peer, d.o.Now(), d.o.PerAddress); why != "" {
		return nil, nil, d.limited("", "address_"+why, after)
	}
	l := &d.load
	l.mu.Lock()
	full := l.requests >= d.o.MaxRequests
	if !full {
		l.requests++
		l.share("").requests++
	}
	l.mu.Unlock()
	if full {
		d.peers.leave(v.peer, d.o.PerAddress)
		return nil, nil, d.limited("", limitRequests, 0)
	}
	return r.WithContext(context.WithValue(r.Context(), visitKey{}, v)), v, nil
}

func (v *visit) leave() {
	d := v.door
	d.peers.leave(v.peer, d.o.PerAddress)
	if v.key != "" {
		d.keys.leave(v.key, v.bound)
	}
	l := &d.load
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests--
	l.bodies -= v.bodies
	s := l.share(v.publisher)
	s.requests--
	s.bodies -= v.bodies
}

// hold counts n more bytes of a body in memory. The error is an *errBusy.
func (v *visit) hold(n int64) error {
	l := &v.door.load
	l.mu.Lock()
	full := l.bodies+n > v.door.o.MaxBodies
	if !full {
		v.bodies += n
		l.bodies += n
		l.share(v.publisher).bodies += n
	}
	l.mu.Unlock()
	if full {
		return v.door.limited(v.publisher, limitBodies, 0)
	}
	return nil
}

// drop counts n bytes as gone.
func (v *visit) drop(n int64) {
	l := &v.door.load
	l.mu.Lock()
	defer l.mu.Unlock()
	v.bodies -= n
	l.bodies -= n
	l.share(v.publisher).bodies -= n
}

// belongs makes the request a publisher's, from when on it counts as that
// publisher's load. None may have more in work than is free: so one that cannot
// be written for leaves half of everything to the others, two a third, and so
// on (dynamic thresholds, Choudhury and Hahne 1998). The error is an *errBusy.
func (v *visit) belongs(key string, pub *Publisher) error {
	d := v.door
	if why, after := d.keys.enter(key, d.o.Now(), pub.PerKey); why != "" {
		return d.limited(pub.Name, "key_"+why, after)
	}
	l := &d.load
	l.mu.Lock()
	s := l.share(pub.Name)
	fair := s.requests <= d.o.MaxRequests-l.requests && s.bodies <= d.o.MaxBodies-l.bodies
	if fair {
		was := l.share(v.publisher)
		was.requests--
		was.bodies -= v.bodies
		s.requests++
		s.bodies += v.bodies
		v.key, v.bound, v.publisher = key, pub.PerKey, pub.Name
	}
	l.mu.Unlock()
	if !fair {
		d.keys.leave(key, pub.PerKey)
		return d.limited(pub.Name, limitShare, 0)
	}
	return nil
}

// share gives a publisher's. The caller holds mu.
func (l *load) share(publisher string) *share {
	s := l.of[publisher]
	if s == nil {
		if l.of == nil {
			l.of = make(map[string]*share)
		}
		s = new(share)
		l.of[publisher] = s
	}
	return s
}

// limited counts a request that has to come back, and says so.
func (d *Door) limited(publisher string, why limit, after time.Duration) error {
	d.load.mu.Lock()
	defer d.load.mu.Unlock()
	if d.load.limited == nil {
		d.load.limited = make(map[limitOf]uint64)
	}
	d.load.limited[limitOf{publisher, why}]++
	return &errBusy{why, after}
}

// Limited counts requests that were told to come back.
type Limited struct {
	Publisher string // "" = nobody knew yet whose it was
	Limit     string // "requests", "rate", "bodies", "share", "journal", "address_rate", "key_requests", ..
	Count     uint64
}

// Limited counts since New, in a fixed order.
func (d *Door) Limited() []Limited {
	d.load.mu.Lock()
	out := make([]Limited, 0, len(d.load.limited))
	for of, n := range d.load.limited {
		out = append(out, Limited{of.publisher, string(of.limit), n})
	}
	d.load.mu.Unlock()
	slices.SortFunc(out, func(x, y Limited) int {
		if c := strings.Compare(x.Publisher, y.Publisher); c != 0 {
			return c
		}
		return strings.Compare(x.Limit, y.Limit)
	})
	return out
}

// Peer is whom an http.Request.RemoteAddr stands for: the address itself, and of
// IPv6 the /64, since one household has all of it.
func Peer(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // not of a network: all of these count as one
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}
