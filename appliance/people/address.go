package people

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// suppression is why nothing may be sent to an address, whoever has it. The
// numbers are on disk.
type suppression byte

const (
	sendable            suppression = 0
	suppressedBounce    suppression = 1 // the provider says that it will never work
	suppressedComplaint suppression = 2 // its owner called a message spam
	suppressedErased    suppression = 3 // its owner was erased, and has not agreed anew
	suppressedSoft      suppression = 4 // too many messages in a row came back
	suppressedOperator  suppression = 5 // an operator put it there
)

// setSuppressed puts an address on the list, or with sendable takes it off,
// and shows it for all who have it.
func (p *People) setSuppressed(t *kv.Txn, h hash, why suppression, time int64) error {
	if p.suppress.find(h) == why {
		return nil
	}
	p.suppress.pending[h] = why
	var err error
	if why == sendable {
		err = t.Delete(kv.People, hashKey(keySuppress, h))
	} else {
		err = t.Set(kv.People, hashKey(keySuppress, h), binary.BigEndian.AppendUint64([]byte{byte(why)}, uint64(time)))
	}
	if err != nil {
		return fmt.Errorf("writing the suppression list: %w", err)
	}
	holders, err := p.holders(t, h)
	if err != nil {
		return err
	}
	for _, n := range holders {
		if p.merged.has(n) || p.erased.has(n) {
			continue
		}
		r, err := p.loadRecord(t, n)
		if err != nil {
			return err
		}
		p.showReach(n, r)
	}
	return nil
}

// holders are the numbers in whose records an address stands.
func (p *People) holders(t *kv.Txn, h hash) ([]uint32, error) {
	var out []uint32
	prefix := hashKey(keyHolder, h)
	err := t.Scan(kv.People, prefix, nil, func(key, _ []byte) error {
		if len(key) != len(prefix)+4 {
			return fmt.Errorf("%w: a holder's key of %d bytes", ErrDamaged, len(key))
		}
		out = append(out, binary.BigEndian.Uint32(key[len(prefix):]))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking who has an address: %w", err)
	}
	return out, nil
}

func (p *People) setHolder(t *kv.Txn, h hash, n uint32, holds bool) error {
	key := binary.BigEndian.AppendUint32(hashKey(keyHolder, h), n)
	var err error
	if holds {
		err = t.Set(kv.People, key, nil)
	} else {
		err = t.Delete(kv.People, key)
	}
	if err != nil {
		return fmt.Errorf("noting that person %d has an address: %w", n, err)
	}
	if p.lost.has(n) {
		held := slices.DeleteFunc(p.lostHolds[n], func(other hash) bool { return other == h })
		if holds {
			held = append(held, h)
		}
		p.lostHolds[n] = held
	}
	return nil
}

// showReach makes visible to questions by which channels someone is reached. A
// webhook needs no address: the publisher's own service knows people by the ids
// that it gave them.
func (p *People) showReach(n uint32, r *record) {
	for _, channel := range event.Channels {
		p.showReachable(channel, n, channel == "webhook" && len(r.identities) > 0, r, func(a *addressEntry) bool { return a.Channel == channel })
	}
	for _, platform := range event.Platforms {
		p.showReachable(onPlatform(platform), n, false, r, func(a *addressEntry) bool { return a.Channel == "push" && a.Platform == platform })
	}
}

// onPlatform is the name under which a platform of push is shown beside the
// channels.
func onPlatform(platform string) string { return "push " + platform }

// showReachable shows one way by which someone is reached: without, or by an
// address that is not suppressed.
func (p *People) showReachable(by string, n uint32, without bool, r *record, of func(*addressEntry) bool) {
	reached := without || slices.ContainsFunc(r.addresses, func(a addressEntry) bool {
		return of(&a) && p.suppress.find(p.hashAddress(a.Channel, a.Value)) == sendable
	})
	s := p.reachable[by]
	if s == nil {
		if !reached {
			return
		}
		s = newBits()
		p.reachable[by] = s
	}
	s.set(n, reached && p.exists.has(n))
}

// addAddress puts an address into a record. A push token is one device, and
// whoever logged in there last has it: others lose it.
func (p *People) addAddress(t *kv.Txn, n uint32, r *record, e addressEntry) (changed bool, err error) {
	h := p.hashAddress(e.Channel, e.Value)
	if e.Channel == "push" {
		if err := p.takeToken(t, h, n, e.Value); err != nil {
			return false, err
		}
	}
	if i := r.address(e.Channel, e.Value); i >= 0 {
		old := &r.addresses[i]
		if e.device == "" {
			e.device = old.device
		}
		e.since = old.since
		if *old == e {
			return false, nil
		}
		*old = e
		return true, nil
	}
	if len(r.addresses) >= maxAddresses {
		// The oldest of the same kind is the likeliest to be dead: tokens change.
		i := max(0, slices.IndexFunc(r.addresses, func(a addressEntry) bool { return a.Channel == e.Channel }))
		if err := p.removeAddresses(t, n, r, func(j int, _ *addressEntry) bool { return j == i }); err != nil {
			return false, err
		}
	}
	r.addresses = append(r.addresses, e)
	return true, p.setHolder(t, h, n, true)
}

// removeAddresses takes those out of a record that which picks.
func (p *People) removeAddresses(t *kv.Txn, n uint32, r *record, which func(i int, a *addressEntry) bool) error {
	var kept []addressEntry
	for i := range r.addresses {
		a := &r.addresses[i]
		if !which(i, a) {
			kept = append(kept, *a)
			continue
		}
		if err := p.setHolder(t, p.hashAddress(a.Channel, a.Value), n, false); err != nil {
			return err
		}
	}
	r.addresses = kept
	return nil
}

// takeToken takes a push token away from everybody but n's person.
func (p *People) takeToken(t *kv.Txn, h hash, n uint32, token string) error {
	holders, err := p.holders(t, h)
	if err != nil {
		return err
	}
	for _, other := range holders {
		if p.root(other) == p.root(n) {
			continue
		}
		r, err := p.loadRecord(t, other)
		if err != nil {
			return err
		}
		err = p.removeAddresses(t, other, r, func(_ int, a *addressEntry) bool { return a.Channel == "push" && a.Value == token })
		if err != nil {
			return err
		}
		if err := p.saveRecord(t, other, r); err != nil {
			return err
		}
		p.showReach(other, r)
	}
	return nil
}
