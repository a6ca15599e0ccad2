package people

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// merge makes a number one with the person at hand. Its rows, ids and record
// stay its own; only who it goes by changes, so that a demerge can undo it.
func (a *applying) merge(loser uint32, rule string) error {
	p, winner := a.p, a.person
	lost, err := p.loadRecord(a.t, loser)
	if err != nil {
		return err
	}
	r, err := a.record()
	if err != nil {
		return err
	}
	val := binary.BigEndian.AppendUint32(nil, winner)
	val = binary.BigEndian.AppendUint64(val, uint64(a.time))
	if err := a.t.Set(kv.People, numberKey(keyMerge, loser), append(val, rule[0])); err != nil {
		return fmt.Errorf("writing the merge of %d into %d: %w", loser, winner, err)
	}
	p.exists.set(loser, false)
	p.hide(loser, lost)
	p.apart.Remove(loser)
	for _, n := range append([]uint32{loser}, p.members[loser]...) {
		p.winners.set(n, winner)
		p.members[winner] = append(p.members[winner], n)
	}
	delete(p.members, loser)
	p.merged.set(loser, true)
	p.mergesChanged = true

	if err := a.absorb(r, lost); err != nil {
		return err
	}
	a.changed = true
	if p.exists.has(winner) {
		p.show(winner, r)
	}
	a.out.Merged = &Merge{Winner: winner, Loser: loser, Rule: rule}
	a.mergeEvent(rule)
	return nil
}

// absorb copies into a winner's record what only the loser's has, marked so
// that demerge finds it again. Where both know something the winner's counts,
// but for consent, where the later decision does.
func (a *applying) absorb(r, lost *record) error {
	r.seen = max(r.seen, lost.seen)
	for _, id := range lost.identities {
		if r.identity(id.Value) >= 0 {
			continue
		}
		if len(r.identities) >= maxIdentities {
			a.drop("identity")
			break
		}
		id.absorbed = true
		r.identities = append(r.identities, id)
	}
	for _, d := range lost.devices {
		if r.device(d.ID) < 0 && len(r.devices) < maxDevices {
			d.absorbed = true
			r.devices = append(r.devices, d)
		}
	}
	for _, at := range lost.attributes {
		i, there := r.find(at.key)
		if there {
			continue
		}
		if len(r.attributes) >= maxAttributes || r.weight()+at.size > maxWeight {
			a.drop(at.key)
			continue
		}
		at.absorbed = true
		r.attributes = slices.Insert(r.attributes, i, at)
	}
	r.absorbDecisions(lost.decisions)
	for _, e := range lost.addresses {
		if r.address(e.Channel, e.Value) >= 0 {
			continue
		}
		if len(r.addresses) >= maxAddresses {
			a.drop("channels." + e.Channel)
			continue
		}
		e.absorbed = true
		r.addresses = append(r.addresses, e)
		if err := a.p.setHolder(a.t, a.p.hashAddress(e.Channel, e.Value), a.person, true); err != nil {
			return err
		}
	}
	slices.SortStableFunc(r.addresses, func(x, y addressEntry) int { return cmp.Compare(x.since, y.since) })
	return nil
}

// demerge gives every number of a person its own life again, and keeps the
// anonymous ones apart from then on: the next login on their device moves the
// device instead of undoing this.
func (p *People) demerge(t *kv.Txn, winner uint32) error {
	members := p.members[winner]
	if len(members) == 0 {
		return nil
	}
	delete(p.members, winner)
	p.mergesChanged = true
	for _, n := range members {
		key := numberKey(keyMerge, n)
		var err error
		if p.identified.Contains(n) {
			err = t.Delete(kv.People, key)
		} else {
			p.apart.Add(n)
			err = t.Set(kv.People, key, []byte{0, 0, 0, 0})
		}
		if err != nil {
			return fmt.Errorf("undoing the merge of %d into %d: %w", n, winner, err)
		}
		p.winners.set(n, 0)
		p.merged.set(n, false)
		if !p.lost.has(n) {
			p.exists.set(n, true)
		}
	}
	for _, n := range append([]uint32{winner}, members...) {
		r, err := p.loadRecord(t, n)
		if err != nil {
			return err
		}
		p.hide(n, r)
		if err := p.disgorge(t, n, r); err != nil {
			return err
		}
		if err := p.saveRecord(t, n, r); err != nil {
			return err
		}
		if p.exists.has(n) {
			p.show(n, r)
		}
	}
	return nil
}

// disgorge takes out of a record what it absorbed. What is in force of its
// consent comes from its own ledger, since a decision that was absorbed may
// have ended one of its own.
func (p *People) disgorge(t *kv.Txn, n uint32, r *record) error {
	r.identities = slices.DeleteFunc(r.identities, func(e identityEntry) bool { return e.absorbed })
	r.devices = slices.DeleteFunc(r.devices, func(e deviceEntry) bool { return e.absorbed })
	r.attributes = slices.DeleteFunc(r.attributes, func(e attribute) bool { return e.absorbed })
	err := p.removeAddresses(t, n, r, func(_ int, e *addressEntry) bool { return e.absorbed })
	if err != nil {
		return err
	}
	r.decisions = nil
	return p.ledger(t, n, func(d decision, _, _ string) { r.decide(d) })
}
