package people

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Open reads a publisher's people into memory: some 100 bytes a person, and 4
// to 8 more an attribute. db and keys stay the caller's and must outlive it;
// there is nothing to close.
func Open(db *kv.DB, keys *keyring.Publisher, o Options) (*People, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch o.Merge {
	case "":
		o.Merge = MergeAnonymous
	case MergeAnonymous, MergeKnown:
	default:
		return nil, fmt.Errorf("opening people: merge is %q, not %q or %q", o.Merge, MergeAnonymous, MergeKnown)
	}
	p := &People{
		db: db, keys: keys, merge: o.Merge, personal: make(map[string]bool), log: o.Logger,
		index: newList[uint32](), suppress: newList[suppression](), soft: newList[soft](),
		identified: roaring.New(), apart: roaring.New(),
		erased: newBits(), lost: newBits(), exists: newBits(), merged: newBits(),
		members: make(map[uint32][]uint32), columns: make(map[string]*column),
		reachable: make(map[string]*bits), consent: make(map[consentKey]*answers),
		lists: make(map[string]*uploaded), listsChanged: true,
		cache: make(map[uint32]*record), hashed: make([]hashedID, hashedSlots), lostHolds: make(map[uint32][]hash),
	}
	for _, k := range o.Personal {
		p.personal[plainKey(k)] = true
	}
	if err := db.View(p.load); err != nil {
		return nil, fmt.Errorf("opening people: %w", err)
	}
	p.Committed()
	return p, nil
}

// load rebuilds what is in memory. The records come last, since what of them
// is shown depends on the rest.
func (p *People) load(t *kv.Txn) (err error) {
	if p.count, err = loadCounters(t); err != nil {
		return err
	}
	for _, part := range []struct {
		prefix byte
		key    int // its length
		read   func(key, val []byte) error
	}{
		{keyIndex, 17, p.loadIndex},
		{keySuppress, 17, p.loadSuppressed},
		{keySoft, 17, p.loadSoft},
		{keyErased, 5, p.loadErased},
		{keyMerge, 5, p.loadMerge},
	} {
		err := t.Scan(kv.People, []byte{part.prefix}, nil, func(key, val []byte) error {
			if len(key) != part.key {
				return fmt.Errorf("%w: a key %q of %d bytes", ErrDamaged, part.prefix, len(key))
			}
			return part.read(key[1:], val)
		})
		if err != nil {
			return err
		}
	}
	if err := p.joinMembers(); err != nil {
		return err
	}
	if err := p.loadLists(t); err != nil {
		return err
	}
	return p.loadRecords(t)
}

func (p *People) loadIndex(key, val []byte) error {
	if len(val) != 5 {
		return fmt.Errorf("%w: an index entry of %d bytes", ErrDamaged, len(val))
	}
	n := binary.BigEndian.Uint32(val[1:])
	if n == 0 || n > p.count.max {
		return fmt.Errorf("%w: an id belongs to number %d of %d", ErrDamaged, n, p.count.max)
	}
	p.index.committed[hash(key)] = n
	if idKind(val[0]) == idIdentity {
		p.identified.Add(n)
	}
	return nil
}

func (p *People) loadSuppressed(key, val []byte) error {
	if len(val) != 9 {
		return fmt.Errorf("%w: a suppressed address of %d bytes", ErrDamaged, len(val))
	}
	p.suppress.committed[hash(key)] = suppression(val[0])
	return nil
}

func (p *People) loadErased(key, _ []byte) error {
	p.erased.set(binary.BigEndian.Uint32(key), true)
	return nil
}

func (p *People) loadMerge(key, val []byte) error {
	if len(val) < 4 {
		return fmt.Errorf("%w: a merge of %d bytes", ErrDamaged, len(val))
	}
	n, w := binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(val)
	if w == 0 {
		p.apart.Add(n)
		return nil
	}
	p.winners.set(n, w)
	p.merged.set(n, true)
	return nil
}

// joinMembers turns each number's direct winner into the last of its chain.
func (p *People) joinMembers() error {
	direct := p.winners
	p.winners = pages[uint32]{}
	for it := p.merged.b.Iterator(); it.HasNext(); {
		n := it.Next()
		w := direct.get(n)
		for steps := uint64(0); direct.get(w) != 0; steps++ {
			if steps > p.merged.b.GetCardinality() {
				return fmt.Errorf("%w: the merges of number %d run in a circle", ErrDamaged, n)
			}
			w = direct.get(w)
		}
		p.winners.set(n, w)
		p.members[w] = append(p.members[w], n)
	}
	return nil
}

func (p *People) loadRecords(t *kv.Txn) error {
	have := roaring.New()
	err := t.Scan(kv.People, []byte{keyRecord}, nil, func(key, val []byte) error {
		if len(key) != 5 {
			return fmt.Errorf("%w: a record's key of %d bytes", ErrDamaged, len(key))
		}
		n := binary.BigEndian.Uint32(key[1:])
		r, err := p.openRecord(n, val)
		if errors.Is(err, keyring.ErrDestroyed) {
			return nil
		}
		if err != nil {
			return err
		}
		have.Add(n)
		if !p.merged.has(n) && !p.erased.has(n) {
			p.exists.set(n, true)
			p.show(n, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for n := uint32(1); n <= p.count.max; n++ {
		if have.Contains(n) || p.erased.has(n) {
			continue
		}
		// Only an erasure that this state does not know of yet, since it is
		// older than the keys, explains a number without a record.
		if !p.keys.Destroyed(n) {
			return fmt.Errorf("%w: the record of person %d is missing", ErrDamaged, n)
		}
		p.lost.set(n, true)
	}
	return p.loadLostHolds(t)
}

// loadLostHolds finds the addresses of the lost, whose erasure is still to
// come. There are lost numbers only while an older state catches up, so that
// reading all holders' keys is rare.
func (p *People) loadLostHolds(t *kv.Txn) error {
	if p.lost.b.IsEmpty() {
		return nil
	}
	return t.Scan(kv.People, []byte{keyHolder}, nil, func(key, _ []byte) error {
		if len(key) != 21 {
			return fmt.Errorf("%w: a holder's key of %d bytes", ErrDamaged, len(key))
		}
		if n := binary.BigEndian.Uint32(key[17:]); p.lost.has(n) {
			p.lostHolds[n] = append(p.lostHolds[n], hash(key[1:17]))
		}
		return nil
	})
}
