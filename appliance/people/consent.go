package people

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// maxPurposes bounds the purposes of a publisher that anybody ever decided on.
const maxPurposes = 256

// consentKey is a purpose on a channel, "" = the general decision.
type consentKey struct{ purpose, channel string }

// answers are the people who said yes, and who said no.
type answers struct{ granted, denied *bits }

// general and every channel: what a decision can be about.
var consentChannels = append([]string{""}, event.Channels...)

// inForce is the decision that answers for a purpose on a channel. Unknown is
// nil, and means no.
func (r *record) inForce(purpose, channel string) *decision {
	i := inForce(len(r.decisions), func(i int) *ConsentState { return &r.decisions[i].ConsentState }, purpose, channel)
	if i < 0 {
		return nil
	}
	return &r.decisions[i]
}

// inForce is which of n decisions that is; -1 = none.
func inForce(n int, at func(i int) *ConsentState, purpose, channel string) int {
	general := -1
	for i := range n {
		switch c := at(i); {
		case c.Purpose != purpose:
		case c.Channel == channel:
			return i
		case c.Channel == "":
			general = i
		}
	}
	return general
}

// allowed is whether the decision in force says yes, and the decision.
func allowed(all []ConsentState, purpose, channel string) (ok bool, in ConsentState) {
	i := inForce(len(all), func(i int) *ConsentState { return &all[i] }, purpose, channel)
	if i < 0 {
		return false, ConsentState{}
	}
	if channel == "" && slices.ContainsFunc(all, func(c ConsentState) bool { return c.Purpose == purpose && !c.Granted }) {
		return false, all[i]
	}
	return all[i].Granted, all[i]
}

func (r *record) consents() []ConsentState {
	var all []ConsentState
	for i := range r.decisions {
		all = append(all, r.decisions[i].ConsentState)
	}
	return all
}

// repeats says whether d says nothing that is not in force already: apps send
// their preferences along with every event.
func (r *record) repeats(d *decision) bool {
	now := r.inForce(d.Purpose, d.Channel)
	// What is in force because a merged number decided it goes with that at a
	// demerge; said again, it is this number's own and must stand in its ledger.
	if now == nil || now.absorbed || now.Granted != d.Granted || now.Source != d.Source || now.Version != d.Version {
		return false
	}
	if d.Channel != "" {
		return true
	}
	// A general decision also ends those about single channels.
	return !slices.ContainsFunc(r.decisions, func(e decision) bool { return e.Purpose == d.Purpose && e.Channel != "" })
}

// decide puts a decision in force: the latest wins, a general one over all
// channels. It says whether any answer changed, unknown counting as one.
func (r *record) decide(d decision) (changed bool) {
	if d.Channel != "" {
		now := r.inForce(d.Purpose, d.Channel)
		changed = now == nil || now.Granted != d.Granted
		r.decisions = slices.DeleteFunc(r.decisions, func(e decision) bool { return e.Purpose == d.Purpose && e.Channel == d.Channel })
	} else {
		changed = r.inForce(d.Purpose, "") == nil
		r.decisions = slices.DeleteFunc(r.decisions, func(e decision) bool {
			if e.Purpose != d.Purpose {
				return false
			}
			changed = changed || e.Granted != d.Granted
			return true
		})
	}
	r.decisions = append(r.decisions, d)
	return changed
}

// absorbDecisions takes over those of a number that became this one: what was
// decided last is in force, whichever of the two it was decided for.
func (r *record) absorbDecisions(from []decision) {
	all := slices.Clone(r.decisions)
	for _, d := range from {
		d.absorbed = true
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b decision) int { return cmp.Compare(a.seq, b.seq) })
	r.decisions = nil
	for _, d := range all {
		r.decide(d)
	}
}

// showPurpose makes the answers about a purpose visible to questions.
func (p *People) showPurpose(n uint32, r *record, purpose string) {
	for _, channel := range consentChannels {
		var granted, denied bool
		for i := range r.decisions {
			if d := &r.decisions[i]; d.Purpose == purpose && d.Channel == channel {
				granted, denied = d.Granted, !d.Granted
			}
		}
		k := consentKey{purpose, channel}
		a := p.consent[k]
		if a == nil {
			if !granted && !denied {
				continue
			}
			a = &answers{granted: newBits(), denied: newBits()}
			p.consent[k] = a
		}
		a.granted.set(n, granted)
		a.denied.set(n, denied)
		if a.granted.b.IsEmpty() && a.denied.b.IsEmpty() {
			delete(p.consent, k)
		}
	}
}

// Decision is one line of the ledger of consent.
type Decision struct {
	ConsentState
	Fact string // id of the fact that brought it
	Ref  string // the message whose link brought it, "" if none
}

// appendLedger adds a line, which nothing but erasure takes away.
func (p *People) appendLedger(t *kv.Txn, n uint32, d *decision, f *event.Fact) error {
	if p.lost.has(n) {
		return nil
	}
	plain := appendText(appendText(appendDecision(nil, d), f.ID), f.Ref)
	sealed, err := p.keys.SealPerson(n, aadLedger, plain)
	if err != nil {
		return fmt.Errorf("sealing a decision of person %d: %w", n, err)
	}
	key := binary.BigEndian.AppendUint64(numberKey(keyLedger, n), d.seq)
	if err := t.Set(kv.People, key, sealed); err != nil {
		return fmt.Errorf("writing a decision of person %d: %w", n, err)
	}
	return nil
}

// ledger reads a number's lines in the order of their decisions.
func (p *People) ledger(t *kv.Txn, n uint32, fn func(d decision, fact, ref string)) error {
	return t.Scan(kv.People, numberKey(keyLedger, n), nil, func(_, val []byte) error {
		plain, err := p.keys.OpenPerson(n, aadLedger, val)
		if isDestroyed(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("opening a decision of person %d: %w", n, err)
		}
		d, fact, ref, err := decodeLine(plain)
		if err != nil {
			return fmt.Errorf("a decision of person %d: %w", n, err)
		}
		fn(d, fact, ref)
		return nil
	})
}

// decodeLine reads what appendLedger sealed.
func decodeLine(b []byte) (d decision, fact, ref string, err error) {
	dec := decoder{b: b}
	d, fact, ref = dec.decision(), dec.text(), dec.text()
	return d, fact, ref, dec.end()
}

// Ledger gives every decision that a person ever took, oldest first, those of
// numbers merged into theirs included.
func (p *People) Ledger(person uint32) ([]Decision, error) {
	w, err := p.living(person)
	if err != nil {
		return nil, err
	}
	type line struct {
		seq uint64
		Decision
	}
	var lines []line
	err = p.db.View(func(t *kv.Txn) error {
		for _, n := range p.view.Load().numbers(w) {
			err := p.ledger(t, n, func(d decision, fact, ref string) {
				lines = append(lines, line{d.seq, Decision{ConsentState: d.ConsentState, Fact: fact, Ref: ref}})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the consent ledger: %w", err)
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.seq, b.seq) })
	out := make([]Decision, len(lines))
	for i := range lines {
		out[i] = lines[i].Decision
	}
	return out, nil
}
