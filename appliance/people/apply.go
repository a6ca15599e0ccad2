package people

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// applying is one fact on its way through.
type applying struct {
	p    *People
	t    *kv.Txn
	f    *event.Fact
	time int64
	out  Resolved

	// The person that the fact turned out to concern.
	person  uint32
	number  uint32  // of the user that it names, before merges; 0 = none, or new
	rec     *record // loaded when needed
	changed bool    // rec has to be saved
}

func (a *applying) apply() error {
	switch a.f.Kind {
	case event.Track, event.Identify:
		if err := a.resolve(); err != nil || a.out.Refused != "" {
			return err
		}
	case event.Alias:
		if err := a.alias(); err != nil || a.out.Refused != "" {
			return err
		}
	case event.Erase, event.Demerge, event.Due, event.Send:
		a.known()
		if a.out.Refused != "" {
			return nil
		}
		if a.f.Kind == event.Demerge {
			if err := a.p.demerge(a.t, a.person); err != nil {
				return err
			}
		}
	case event.Programme:
		switch a.f.Name {
		case event.TypeList:
			return a.applyList()
		case event.TypeSuppression:
			return a.applySuppression()
		}
		return nil
	default:
		return nil // it concerns no person
	}
	switch a.f.Kind {
	case event.Identify:
		if err := a.learn(); err != nil {
			return err
		}
	case event.Track:
		// What the appliance itself did for them is not collected from them.
		a.out.OptedOut = a.f.Person == 0 && a.optsOut()
	}
	if a.f.Kind == event.Track {
		if err := a.reached(); err != nil {
			return err
		}
	}
	if a.changed {
		if err := a.p.saveRecord(a.t, a.person, a.rec); err != nil {
			return err
		}
	}
	a.out.Person, a.out.Number = a.person, cmp.Or(a.number, a.person)
	return nil
}

func (a *applying) refuse(why string) { a.out.Refused = why }

// drop reports that part of the fact was not taken.
func (a *applying) drop(what string) {
	if !slices.Contains(a.out.Dropped, what) {
		a.out.Dropped = append(a.out.Dropped, what)
	}
}

// follow adds one of the appliance's own events.
func (a *applying) follow(name string, props []event.Prop) {
	a.out.Events = append(a.out.Events, event.Fact{
		Kind: event.Track, Flags: a.f.Flags, Time: a.time, Received: a.f.Received,
		Person: a.person, Name: name, Ref: a.f.Ref, Props: props,
	})
}

// record loads the record of the person at hand.
func (a *applying) record() (*record, error) {
	if a.rec == nil {
		r, err := a.p.loadRecord(a.t, a.person)
		if err != nil {
			return nil, err
		}
		a.rec = r
	}
	return a.rec, nil
}

// known finds whom a fact is about that makes nobody: by number, identity or
// device.
func (a *applying) known() {
	n := a.f.Person
	if n == 0 && a.f.User != "" {
		n, _ = a.p.owner(idIdentity, a.f.User)
	}
	if n == 0 && a.f.Device != "" {
		n, _ = a.p.owner(idDevice, a.f.Device)
	}
	switch {
	case n == 0 && a.f.User == "" && a.f.Device == "":
		a.refuse(RefusedNobody)
	case n == 0 || n > a.p.count.max:
		a.refuse(RefusedUnknown)
	case a.p.erased.has(n):
		a.refuse(RefusedErased)
	default:
		a.person = a.p.root(n)
	}
}

const day = 24 * 60 * 60 * 1_000_000

// learn takes what an Identify tells of its person.
func (a *applying) learn() error {
	r, err := a.record()
	if err != nil {
		return err
	}
	a.out.OptedOut = a.optsOut()
	// To the day, so that saying nothing new every minute writes nothing.
	if a.time/day > r.seen/day {
		r.seen = a.time
		a.changed = true
	}
	if i := r.device(a.f.Device); i >= 0 && a.time/day > r.devices[i].Seen/day {
		r.devices[i].Seen = a.time
		a.changed = true
	}
	for i := range a.f.Changes {
		if a.out.OptedOut {
			a.drop(a.f.Changes[i].Key)
			continue
		}
		if err := a.change(&a.f.Changes[i]); err != nil {
			return err
		}
	}
	for i := range a.f.Addresses {
		if a.out.OptedOut && !a.f.Addresses[i].Removed {
			a.drop("channels." + a.f.Addresses[i].Channel)
			continue
		}
		if err := a.address(&a.f.Addresses[i]); err != nil {
			return err
		}
	}
	for i := range a.f.Consents {
		if err := a.decide(&a.f.Consents[i]); err != nil {
			return err
		}
	}
	return nil
}

// address adds or removes one. Its owner agreeing anew ends what an erasure
// left on the suppression list, and a device that registers its token again
// ends that it was gone.
func (a *applying) address(ad *event.Address) error {
	if !slices.Contains(event.Channels, ad.Channel) || ad.Value == "" && !ad.Removed {
		a.drop("channels." + ad.Channel)
		return nil
	}
	r, err := a.record()
	if err != nil {
		return err
	}
	before := len(r.addresses)
	changed := false
	if ad.Removed {
		err = a.p.removeAddresses(a.t, a.person, r, func(_ int, e *addressEntry) bool {
			return e.Channel == ad.Channel && (ad.Value == "" || sameForm(e.Channel, e.Value) == sameForm(ad.Channel, ad.Value))
		})
		changed = len(r.addresses) != before
	} else {
		changed, err = a.p.addAddress(a.t, a.person, r, addressEntry{Address: *ad, device: a.f.Device, since: a.time})
	}
	if err != nil {
		return err
	}
	if changed {
		a.changed = true
		a.p.showReach(a.person, r)
	}
	if ad.Removed {
		return nil
	}
	h := a.p.hashAddress(ad.Channel, ad.Value)
	why := a.p.suppress.find(h)
	back := ad.Channel == "push" && why == suppressedBounce
	if back {
		r.addresses[r.address(ad.Channel, ad.Value)].since, a.changed = a.time, true
	}
	if back || a.agrees() && why == suppressedErased {
		// The records that it is shown for are read back: ours must be there.
		if err := a.p.saveRecord(a.t, a.person, r); err != nil {
			return err
		}
		return a.p.setSuppressed(a.t, h, sendable, a.time)
	}
	return nil
}

// agrees says whether the fact brings a consent.
func (a *applying) agrees() bool {
	return a.f.Kind == event.Identify && slices.ContainsFunc(a.f.Consents, func(c event.Consent) bool { return c.Granted })
}

// decide takes one decision about consent.
func (a *applying) decide(c *event.Consent) error {
	r, err := a.record()
	if err != nil {
		return err
	}
	d := decision{ConsentState: ConsentState{
		Purpose: c.Purpose, Channel: c.Channel, Granted: c.Granted, Since: a.time, Source: c.Source, Version: c.Version,
	}}
	known := a.p.consent[consentKey{c.Purpose, c.Channel}] != nil
	if c.Purpose == "" || !slices.Contains(consentChannels, c.Channel) || c.Purpose == event.PurposeCollection && c.Channel != "" ||
		!known && len(a.p.consent) >= maxPurposes*len(consentChannels) ||
		r.inForce(c.Purpose, c.Channel) == nil && len(r.decisions) >= maxDecisions {
		a.drop("consent." + c.Purpose)
		return nil
	}
	if r.repeats(&d) {
		return nil
	}
	a.p.count.seq++
	if err := a.p.saveCounters(a.t); err != nil {
		return err
	}
	d.seq = a.p.count.seq
	if err := a.p.appendLedger(a.t, a.person, &d, a.f); err != nil {
		return err
	}
	changed := r.decide(d)
	a.changed = true
	if a.p.exists.has(a.person) {
		a.p.showPurpose(a.person, r, c.Purpose)
	}
	if !changed {
		return nil
	}
	a.follow(event.ConsentChanged, []event.Prop{
		{Key: event.PropPurpose, Value: event.OfText(c.Purpose)},
		{Key: event.PropChannel, Value: event.OfText(c.Channel)},
		{Key: "granted", Value: event.OfBool(c.Granted)},
		{Key: "source", Value: event.OfText(c.Source)},
		{Key: "version", Value: event.OfText(c.Version)},
	})
	if !c.Granted && (a.f.Ref != "" || strings.HasPrefix(c.Source, "unsubscribe")) {
		a.follow(event.ChannelUnsubscribed, a.unsubscribed(c))
	}
	return nil
}

// unsubscribed are the properties of Channel Unsubscribed: those of the message
// as far as the fact tells them, its id at least.
func (a *applying) unsubscribed(c *event.Consent) []event.Prop {
	var props []event.Prop
	for _, key := range []string{event.PropCampaign, event.PropMessage, event.PropChannel, event.PropVariant} {
		v := event.Lookup(a.f.Props, key)
		if v.IsNull() {
			switch {
			case key == event.PropMessage && a.f.Ref != "":
				v = event.OfText(a.f.Ref)
			case key == event.PropChannel && c.Channel != "":
				v = event.OfText(c.Channel)
			default:
				continue
			}
		}
		props = append(props, event.Prop{Key: key, Value: v})
	}
	return append(props, event.Prop{Key: event.PropPurpose, Value: event.OfText(c.Purpose)})
}
