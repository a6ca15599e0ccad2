package people

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// resolve finds or makes the person of a fact, joining user and device where
// both are named. The rules are those of the table in IDENTITY.md, whose row
// numbers stand here.
func (a *applying) resolve() error {
	p, f := a.p, a.f
	if f.Person != 0 || f.User == "" && f.Device == "" {
		a.known()
		return nil
	}
	var user, device uint32
	var userHash, deviceHash hash
	if f.User != "" {
		user, userHash = p.owner(idIdentity, f.User)
	}
	if f.Device != "" {
		device, deviceHash = p.owner(idDevice, f.Device)
	}
	if p.erased.has(user) || f.User == "" && p.erased.has(device) {
		if !a.agrees() { // E1
			a.refuse(RefusedErased)
			return nil
		}
		user = 0 // E2
	}
	if p.erased.has(device) {
		device = 0 // E3
	}
	a.number = user
	user, device = p.root(user), p.root(device)

	switch {
	case user == 0 && device == 0: // 1, 4, 7
		if err := a.create(); err != nil {
			return err
		}
		if f.User != "" {
			if err := a.attachIdentity(f.User, userHash); err != nil {
				return err
			}
		}
		if f.Device != "" {
			return a.attachDevice(f.Device, deviceHash)
		}
		return nil
	case f.User == "": // 5
		a.person = device
		return nil
	case user == 0 && f.Device != "" && !p.identified.Contains(device): // 8
		a.person = device
		return a.attachIdentity(f.User, userHash)
	case user == 0: // 9: the device is somebody else's
		if err := a.create(); err != nil {
			return err
		}
		if err := a.attachIdentity(f.User, userHash); err != nil {
			return err
		}
		return a.moveDevice(f.Device, deviceHash, device)
	}
	a.person = user
	switch {
	case f.Device == "" || device == user: // 2, 11
		return nil
	case device == 0: // 10
		return a.attachDevice(f.Device, deviceHash)
	case !p.identified.Contains(device) && !p.apart.Contains(device): // 12
		return a.merge(device, ruleLogin)
	default: // 13, 14
		return a.moveDevice(f.Device, deviceHash, device)
	}
}

// alias joins Previous and User, rows A1 to A8.
func (a *applying) alias() error {
	p, f := a.p, a.f
	if f.User == "" || f.Previous == "" {
		a.refuse(RefusedNobody)
		return nil
	}
	if f.User == f.Previous {
		a.known() // A8: nothing to join, nobody to make
		return nil
	}
	user, userHash := p.owner(idIdentity, f.User)
	previous, _ := p.owner(idIdentity, f.Previous)
	previousHash := p.hashOf(idDevice, f.Previous)
	if previous == 0 {
		previous = p.index.find(previousHash)
	}
	if p.erased.has(user) || p.erased.has(previous) { // E4
		a.refuse(RefusedErased)
		return nil
	}
	user, previous = p.root(user), p.root(previous)
	switch {
	case user == 0 && previous == 0: // A1
		if err := a.create(); err != nil {
			return err
		}
		if err := a.attachIdentity(f.User, userHash); err != nil {
			return err
		}
		return a.attachDevice(f.Previous, previousHash)
	case user == 0: // A3, A5
		a.person = previous
		return a.attachIdentity(f.User, userHash)
	case previous == 0: // A2
		a.person = user
		return a.attachDevice(f.Previous, previousHash)
	case user == previous: // A7
		a.person = user
		return nil
	case p.identified.Contains(previous) && p.merge != MergeKnown: // A6
		a.refuse(RefusedKnown)
		return nil
	}
	a.person = user
	return a.merge(previous, ruleAlias) // A4, A6
}

// create makes a new person.
func (a *applying) create() error {
	n, err := a.p.newPerson(a.t)
	if err != nil {
		return err
	}
	a.person = n
	a.rec = &record{created: a.time, seen: a.time}
	a.changed = true
	a.out.New = true
	return nil
}

// attachIdentity gives the person at hand an identity that nobody has.
func (a *applying) attachIdentity(value string, h hash) error {
	r, err := a.record()
	if err != nil {
		return err
	}
	if r.identity(value) < 0 {
		if len(r.identities) < maxIdentities {
			r.identities = append(r.identities, identityEntry{Identity: Identity{Value: value, Since: a.time}})
			a.p.showReach(a.person, r)
		} else {
			a.drop("identity") // it belongs to the person, and is not listed
		}
	}
	a.changed = true
	return a.p.point(a.t, idIdentity, h, a.person)
}

// attachDevice gives the person at hand a device that nobody has.
func (a *applying) attachDevice(id string, h hash) error {
	r, err := a.record()
	if err != nil {
		return err
	}
	if r.device(id) < 0 {
		if len(r.devices) >= maxDevices {
			r.devices = slices.Delete(r.devices, 0, 1)
		}
		r.devices = append(r.devices, deviceEntry{Device: Device{ID: id, Since: a.time, Seen: a.time}})
	}
	a.changed = true
	return a.p.point(a.t, idDevice, h, a.person)
}

// moveDevice takes a device from whoever used it before, with the push tokens
// that it told: they must not get another's messages. What they did on it
// stays theirs.
func (a *applying) moveDevice(id string, h hash, from uint32) error {
	p := a.p
	owner := p.index.find(h) // from, or a number that was merged into it
	for _, n := range slices.Compact([]uint32{from, owner}) {
		r, err := p.loadRecord(a.t, n)
		if err != nil {
			return err
		}
		r.devices = slices.DeleteFunc(r.devices, func(d deviceEntry) bool { return d.ID == id })
		err = p.removeAddresses(a.t, n, r, func(_ int, e *addressEntry) bool { return e.Channel == "push" && e.device == id })
		if err != nil {
			return err
		}
		if err := p.saveRecord(a.t, n, r); err != nil {
			return err
		}
		p.showReach(n, r)
	}
	return a.attachDevice(id, h)
}

// mergeEvent says that a number became part of the person at hand.
func (a *applying) mergeEvent(rule string) {
	a.follow(event.IdentityMerged, []event.Prop{{Key: event.PropKind, Value: event.OfText(rule)}})
}
