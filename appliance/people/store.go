package people

import (
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// maxCached bounds the records kept open during one transaction.
const maxCached = 8192

// What a person's key seals, told apart by the authenticated data.
var (
	aadRecord = []byte("people record")
	aadLedger = []byte("people ledger")
	aadEvents = []byte("people event")
)

func (p *People) openRecord(n uint32, sealed []byte) (*record, error) {
	plain, err := p.keys.OpenPerson(n, aadRecord, sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the record of person %d: %w", n, err)
	}
	r, err := decodeRecord(plain)
	if err != nil {
		return nil, fmt.Errorf("person %d: %w", n, err)
	}
	return r, nil
}

// load gives a number's record for the applier to change and save. The record
// of somebody whose key is destroyed is empty: their facts are replayed from
// before their erasure, and must give the same numbers without being kept.
func (p *People) loadRecord(t *kv.Txn, n uint32) (*record, error) {
	if r := p.cache[n]; r != nil {
		return r, nil
	}
	if p.lost.has(n) {
		return &record{}, nil
	}
	sealed, err := t.Get(kv.People, numberKey(keyRecord, n))
	if err != nil {
		return nil, fmt.Errorf("reading the record of person %d: %w", n, err)
	}
	r, err := p.openRecord(n, sealed)
	if err != nil {
		return nil, err
	}
	p.remember(n, r)
	return r, nil
}

func (p *People) remember(n uint32, r *record) {
	if len(p.cache) >= maxCached {
		clear(p.cache)
	}
	p.cache[n] = r
}

func (p *People) saveRecord(t *kv.Txn, n uint32, r *record) error {
	if p.lost.has(n) {
		return nil
	}
	sealed, err := p.keys.SealPerson(n, aadRecord, r.encode())
	if err != nil {
		return fmt.Errorf("sealing the record of person %d: %w", n, err)
	}
	if err := t.Set(kv.People, numberKey(keyRecord, n), sealed); err != nil {
		return fmt.Errorf("writing the record of person %d: %w", n, err)
	}
	p.remember(n, r)
	return nil
}

// newPerson gives the next number.
func (p *People) newPerson(t *kv.Txn) (uint32, error) {
	if p.count.max == 1<<32-2 {
		return 0, errors.New("every number is given")
	}
	p.count.max++
	n := p.count.max
	if p.keys.Destroyed(n) {
		p.lost.set(n, true)
	} else {
		p.exists.set(n, true)
	}
	return n, p.saveCounters(t)
}

// show makes what is known of a living winner visible to questions.
func (p *People) show(n uint32, r *record) {
	for i := range r.attributes {
		if a := &r.attributes[i]; p.askable(a) {
			p.showAttribute(n, a.key, a.value)
		}
	}
	for i := range r.decisions {
		p.showPurpose(n, r, r.decisions[i].Purpose)
	}
	p.showReach(n, r)
}

// hide undoes show.
func (p *People) hide(n uint32, r *record) {
	for i := range r.attributes {
		p.showAttribute(n, r.attributes[i].key, event.Value{})
	}
	for i := range r.decisions {
		p.showPurpose(n, &record{}, r.decisions[i].Purpose)
	}
	p.showReach(n, &record{})
}

// showAttribute needs room for a new key to be checked by the caller.
func (p *People) showAttribute(n uint32, key string, v event.Value) {
	c := p.columns[key]
	if c == nil {
		if v.IsNull() {
			return
		}
		c = newColumn()
		p.columns[key] = c
	}
	c.set(n, v)
	if c.people == 0 {
		delete(p.columns, key)
	}
}

// isDestroyed says whether an error means that a key is gone.
func isDestroyed(err error) bool { return errors.Is(err, keyring.ErrDestroyed) }
