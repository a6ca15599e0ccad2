package people

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// Erase forgets a person, with all numbers that were merged into theirs, in
// the applier's transaction. What is left is that the numbers were erased, and
// keyed hashes: of their ids, so that later facts about them are refused, and
// of their addresses, so that an import cannot bring them back. The caller
// destroys the keys of Numbers, taken before, once the transaction committed.
// Erasing somebody again does nothing.
func (p *People) Erase(t *kv.Txn, person uint32) error {
	numbers := p.Numbers(person)
	if numbers == nil {
		return fmt.Errorf("erasing person %d: %w", person, ErrUnknown)
	}
	if p.erased.has(numbers[0]) {
		return nil
	}
	clear(p.hashed) // it remembers ids as they are
	p.exists.set(numbers[0], false)
	for i, n := range numbers {
		if err := p.eraseNumber(t, n, i == 0); err != nil {
			return fmt.Errorf("erasing person %d: %w", person, err)
		}
	}
	return nil
}

func (p *People) eraseNumber(t *kv.Txn, n uint32, shown bool) error {
	r, err := p.loadRecord(t, n)
	if err != nil {
		return err
	}
	if shown {
		p.hide(n, r)
	}
	p.erased.set(n, true)
	held := slices.Clone(p.lostHolds[n])
	for _, e := range r.addresses {
		held = append(held, p.hashAddress(e.Channel, e.Value))
	}
	for _, h := range held {
		if err := p.setHolder(t, h, n, false); err != nil {
			return err
		}
		if err := p.keepFromReturning(t, h); err != nil {
			return err
		}
	}
	if err := p.leaveLists(t, n); err != nil {
		return err
	}
	delete(p.cache, n)
	delete(p.lostHolds, n)
	if err := t.Delete(kv.People, numberKey(keyRecord, n)); err != nil {
		return err
	}
	if err := t.Set(kv.People, numberKey(keyErased, n), nil); err != nil {
		return err
	}
	return t.Set(kv.People, numberKey(keySweep, n), nil)
}

// keepFromReturning puts an erased person's address on the suppression list,
// unless somebody else lives there: they agreed for themselves. It goes before
// the reason that an operator could take off.
func (p *People) keepFromReturning(t *kv.Txn, h hash) error {
	holders, err := p.holders(t, h)
	if err != nil {
		return err
	}
	for _, n := range holders {
		if !p.erased.has(n) {
			return nil
		}
	}
	if err := p.setSoft(t, h, soft{}); err != nil {
		return err
	}
	if why := p.suppress.find(h); why != sendable && why != suppressedOperator {
		return nil
	}
	return p.setSuppressed(t, h, suppressedErased, 0)
}

// sweepRun bounds the keys deleted in one transaction of Sweep.
const sweepRun = 5000

// Sweep deletes, in a transaction of its own, what Erase left behind because
// it may be too much for the applier's: the places of the erased in uploaded
// lists, and their consent ledger and the personal properties of their events,
// both unreadable since their key went. It says whether something is left for
// another call. It may run beside the applier.
func (p *People) Sweep() (left bool, err error) {
	err = p.db.Update(func(t *kv.Txn) (err error) {
		if left, err = p.sweepLists(t); err != nil || left {
			return err
		}
		room := sweepRun
		return t.Scan(kv.People, []byte{keySweep}, nil, func(key, _ []byte) error {
			n := binary.BigEndian.Uint32(key[1:])
			for _, part := range []struct {
				ks     kv.Keyspace
				prefix []byte
			}{
				{kv.People, numberKey(keyLedger, n)},
				{kv.PeopleEvents, eventPrefix(n)},
			} {
				err := t.Scan(part.ks, part.prefix, nil, func(key, _ []byte) error {
					if room == 0 {
						left = true
						return kv.ErrStop
					}
					room--
					return t.Delete(part.ks, key)
				})
				if err != nil {
					return err
				}
			}
			if left {
				return kv.ErrStop
			}
			return t.Delete(kv.People, key)
		})
	})
	if err != nil {
		return false, fmt.Errorf("sweeping after erasures: %w", err)
	}
	return left, nil
}
