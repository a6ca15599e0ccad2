package people

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Person is everything that is known of somebody, opened.
type Person struct {
	Number     uint32
	Identities []Identity      // the one known longest first
	Devices    []Device        // in the order they were seen
	Profile    []event.Prop    // by key; personal ones are marked
	Consents   []ConsentState  // by purpose, then channel
	Addresses  []event.Address // the newest first; suppressed ones too
	Since      []int64         // when each of them was last registered, microseconds since 1970
	On         []string        // the device that told each of them, "" = unknown
	Joined     []Joined        // what was merged into them, in the order of the merges
	Created    int64           // time of the first fact
	Seen       int64           // time of the latest fact that told something of them, to the day; what they did last, history knows
}

// Allowed says what People.Allowed says, of the person as they were read.
func (p *Person) Allowed(purpose, channel string) (ok bool, record ConsentState) {
	return allowed(p.Consents, purpose, channel)
}

// Identity is an id that the publisher gave.
type Identity struct {
	Value string
	Since int64
}

// Device is a device or anonymous id.
type Device struct {
	ID          string
	Since, Seen int64
}

// ConsentState is the decision in force about a purpose on a channel.
type ConsentState struct {
	Purpose, Channel string // Channel "" = every channel that has no decision of its own
	Granted          bool
	Since            int64 // when it was decided
	Source, Version  string
}

// Find gives the number of the person with this identity or, if there is no
// such identity, this device. The erased are not found.
func (p *People) Find(identityOrDevice string) (person uint32, ok bool) {
	return p.find(p.hashID(idIdentity, identityOrDevice), p.hashID(idDevice, identityOrDevice))
}

// FindIdentity is Find that is blind to devices.
func (p *People) FindIdentity(identity string) (person uint32, ok bool) {
	return p.find(p.hashID(idIdentity, identity))
}

// FindDevice is Find that is blind to identities.
func (p *People) FindDevice(device string) (person uint32, ok bool) {
	return p.find(p.hashID(idDevice, device))
}

// find gives the person with the first of these that belongs to anybody.
func (p *People) find(hashes ...hash) (person uint32, ok bool) {
	p.mu.RLock()
	var n uint32
	for i := 0; n == 0 && i < len(hashes); i++ {
		n = p.index.committed[hashes[i]]
	}
	v := p.view.Load()
	p.mu.RUnlock()
	if n == 0 || v.hidden(n) {
		return 0, false
	}
	return v.winner(n), true
}

// With gives the people who have an address, suppressed or not, by number: as
// of the last commit, the erased left out.
func (p *People) With(channel, address string) ([]uint32, error) {
	h := p.hashAddress(channel, address)
	var out []uint32
	err := p.db.View(func(t *kv.Txn) error {
		numbers, err := p.holders(t, h)
		if err != nil {
			return err
		}
		v := p.view.Load()
		for _, n := range numbers {
			if w := v.winner(n); n <= v.max && !v.hidden(w) && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// Erased says whether an identity or a device is one of somebody who was
// erased, and has not agreed anew.
func (p *People) Erased(identityOrDevice string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	v := p.view.Load()
	for _, kind := range []idKind{idIdentity, idDevice} {
		if n := p.index.committed[p.hashID(kind, identityOrDevice)]; n != 0 && v.hidden(v.winner(n)) {
			return true
		}
	}
	return false
}

// living gives the number that a person goes by, or ErrUnknown or ErrErased.
func (p *People) living(person uint32) (uint32, error) {
	v := p.view.Load()
	if person == 0 || person > v.max {
		return 0, fmt.Errorf("person %d: %w", person, ErrUnknown)
	}
	w := v.winner(person)
	if v.hidden(w) {
		return 0, fmt.Errorf("person %d: %w", person, ErrErased)
	}
	return w, nil
}

// readRecord opens a winner's record as of the last commit. An erasure may
// have overtaken whoever held an older view.
func (p *People) readRecord(n uint32) (r *record, err error) {
	err = p.db.View(func(t *kv.Txn) error {
		sealed, err := t.Get(kv.People, numberKey(keyRecord, n))
		switch {
		case err == nil:
			r, err = p.openRecord(n, sealed)
			if isDestroyed(err) {
				return ErrErased
			}
			return err
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		switch _, err := t.Get(kv.People, numberKey(keyErased, n)); {
		case err == nil:
			return ErrErased
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		return ErrUnknown
	})
	if err != nil {
		return nil, fmt.Errorf("reading person %d: %w", n, err)
	}
	return r, nil
}

// Person opens what is known of a person; a merged number gives its winner.
// The error wraps ErrUnknown or ErrErased where it is one of these.
func (p *People) Person(person uint32) (*Person, error) {
	n, err := p.living(person)
	if err != nil {
		return nil, err
	}
	r, err := p.readRecord(n)
	if err != nil {
		return nil, err
	}
	out := &Person{Number: n, Created: r.created, Seen: r.seen}
	for _, e := range r.identities {
		out.Identities = append(out.Identities, e.Identity)
		out.Created = min(out.Created, e.Since)
	}
	slices.SortStableFunc(out.Identities, func(a, b Identity) int { return cmp.Compare(a.Since, b.Since) })
	for _, e := range r.devices {
		out.Devices = append(out.Devices, e.Device)
		out.Created = min(out.Created, e.Since)
	}
	slices.SortStableFunc(out.Devices, func(a, b Device) int { return cmp.Compare(a.Since, b.Since) })
	for i := range r.attributes {
		a := &r.attributes[i]
		out.Profile = append(out.Profile, event.Prop{Key: a.key, Value: a.value, Personal: !p.askable(a)})
	}
	out.Consents = r.consents()
	slices.SortFunc(out.Consents, func(a, b ConsentState) int {
		return cmp.Or(cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Channel, b.Channel))
	})
	for i := len(r.addresses) - 1; i >= 0; i-- {
		a := &r.addresses[i]
		out.Addresses, out.Since, out.On = append(out.Addresses, a.Address), append(out.Since, a.since), append(out.On, a.device)
	}
	if out.Joined, err = p.joined(n); err != nil {
		return nil, err
	}
	return out, nil
}

// Allowed says whether the person agreed to purpose on channel, and the
// decision that says so, or says no; it is zero where there is none. Unknown
// is no, and so is whatever cannot be read. It reads what was committed last,
// which may be newer than the view of a snapshot.
func (p *People) Allowed(person uint32, purpose, channel string) (ok bool, record ConsentState) {
	n, err := p.living(person)
	if err != nil {
		return false, ConsentState{}
	}
	r, err := p.readRecord(n)
	if err != nil {
		if !errors.Is(err, ErrErased) {
			p.log.Error("consent cannot be read and counts as refused", "person", n, "error", err)
		}
		return false, ConsentState{}
	}
	return allowed(r.consents(), purpose, channel)
}

// Suppressed says whether nothing may be sent to an address, whoever has it:
// it bounced for good, its owner complained, or was erased.
func (p *People) Suppressed(channel, address string) bool {
	h := p.hashAddress(channel, address)
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.suppress.committed[h] != sendable
}
