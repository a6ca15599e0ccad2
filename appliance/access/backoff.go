package access

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// How failures are slowed down: the first few are free, then every further
// one doubles the wait. A name waits less than an address, since its owner
// waits along with whoever guesses.
const (
	freeFailures   = 5
	firstWait      = time.Second
	longestName    = time.Minute
	longestAddress = 15 * time.Minute
	failuresLast   = time.Hour
	maxFailures    = 8192 // kept; beyond it the one longest ago goes
)

// backoff counts failures by name and by address. It is safe for concurrent use.
type backoff struct {
	mu   sync.Mutex
	seen map[digest]*failures
}

type failures struct {
	count int
	until time.Time // no try before
	last  time.Time
}

func newBackoff() *backoff { return &backoff{seen: make(map[digest]*failures)} }

func nameKey(name string) digest { return sha256.Sum256([]byte("name " + name)) }

// addressKey takes an IPv6 network for one address: its owner has them all.
func addressKey(address string) digest {
	if ip, err := netip.ParseAddr(address); err == nil {
		ip = ip.Unmap().WithZone("")
		if ip.Is6() {
			if p, err := ip.Prefix(64); err == nil {
				return sha256.Sum256([]byte("address " + p.String()))
			}
		}
		address = ip.String()
	}
	return sha256.Sum256([]byte("address " + address))
}

// try counts a try as failed before it is made, so that many at the same time
// are no way around; forgive takes that back. It gives how long to wait, and
// then has counted nothing.
func (b *backoff) try(now time.Time, name, address string) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, a := b.find(now, nameKey(name)), b.find(now, addressKey(address))
	if wait = max(n.until.Sub(now), a.until.Sub(now)); wait > 0 {
		return wait
	}
	n.add(now, longestName)
	a.add(now, longestAddress)
	return 0
}

// forgive is told of a try that succeeded: the name starts afresh, the address
// only gets this one try back, or an account of one's own would reset it.
func (b *backoff) forgive(name, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, nameKey(name))
	if a := b.seen[addressKey(address)]; a != nil {
		a.count--
		a.until = time.Time{}
	}
}

func (b *backoff) find(now time.Time, k digest) *failures {
	f := b.seen[k]
	if f == nil {
		b.makeRoom(now)
		f = new(failures)
		b.seen[k] = f
	} else if now.Sub(f.last) > failuresLast {
		*f = failures{}
	}
	f.last = now
	return f
}

func (f *failures) add(now time.Time, longest time.Duration) {
	f.count++
	if f.count < freeFailures {
		return
	}
	wait := longest
	if n := f.count - freeFailures; n < 20 {
		wait = min(firstWait<<n, longest)
	}
	f.until = now.Add(wait)
}

func (b *backoff) makeRoom(now time.Time) {
	if len(b.seen) < maxFailures {
		return
	}
	var oldest digest
	var last time.Time
	for k, f := range b.seen {
		if now.Sub(f.last) > failuresLast {
			delete(b.seen, k)
			continue
		}
		if last.IsZero() || f.last.Before(last) {
			oldest, last = k, f.last
		}
	}
	if len(b.seen) >= maxFailures {
		delete(b.seen, oldest)
	}
}
