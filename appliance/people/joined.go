package people

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// Joined is a number that became part of a person, and what a demerge gives
// back to it. Its ids are its own: whom they belonged to before.
type Joined struct {
	Number     uint32
	Into       uint32 // the number that it was merged into, the person's or another that was merged later
	Since      int64
	Rule       string // why: "login" or "alias", as the table in IDENTITY.md says
	Identities []string
	Devices    []string
}

// joined gives what was merged into a person, in the order of the merges.
func (p *People) joined(w uint32) (out []Joined, err error) {
	numbers := p.view.Load().numbers(w)[1:]
	if len(numbers) == 0 {
		return nil, nil
	}
	err = p.db.View(func(t *kv.Txn) error {
		for _, n := range numbers {
			val, err := t.Get(kv.People, numberKey(keyMerge, n))
			if errors.Is(err, kv.ErrNotFound) || err == nil && len(val) == 4 {
				continue // parted since
			}
			if err == nil && len(val) < 13 {
				err = fmt.Errorf("%w: a merge of %d bytes", ErrDamaged, len(val))
			}
			if err != nil {
				return err
			}
			j := Joined{Number: n, Into: binary.BigEndian.Uint32(val), Since: int64(binary.BigEndian.Uint64(val[4:])), Rule: ruleNames[val[12]]}
			r, err := p.readOwn(t, n)
			if err != nil {
				return err
			}
			for _, e := range r.identities {
				if !e.absorbed {
					j.Identities = append(j.Identities, e.Value)
				}
			}
			for _, e := range r.devices {
				if !e.absorbed {
					j.Devices = append(j.Devices, e.ID)
				}
			}
			out = append(out, j)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was merged into person %d: %w", w, err)
	}
	slices.SortFunc(out, func(a, b Joined) int { return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Number, b.Number)) })
	return out, nil
}

// ruleNames are the causes of merges by the byte that stands for them.
var ruleNames = map[byte]string{'l': ruleLogin, 'a': ruleAlias}

// Why numbers were merged: rows 12 and A4, A6 of the table in IDENTITY.md.
const (
	ruleLogin = "login"
	ruleAlias = "alias"
)

// readOwn opens a number's own record in a reader's transaction; an erased
// one's is empty.
func (p *People) readOwn(t *kv.Txn, n uint32) (*record, error) {
	sealed, err := t.Get(kv.People, numberKey(keyRecord, n))
	if errors.Is(err, kv.ErrNotFound) {
		return &record{}, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := p.openRecord(n, sealed)
	if isDestroyed(err) {
		return &record{}, nil
	}
	return r, err
}
