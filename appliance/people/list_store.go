package people

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// What the publisher's key seals of lists, told apart by the authenticated
// data, which the key follows.
const (
	aadList = "people list"
	aadSet  = "people list part"
)

const listVersion = 1

// numberSet is person numbers, kept in pieces of at most MaxListPart: what is
// added fills the last one, so that a list of millions is not written anew for
// a few.
type numberSet struct {
	id     uint32
	pieces uint32
	people *bits // all of them
}

func (p *People) newSet() numberSet {
	p.lastSet++
	return numberSet{id: p.lastSet, people: newBits()}
}

// setKey is the key of a piece of a set, or of a number that Sweep has to take
// out of it.
func setKey(prefix byte, id, n uint32) []byte {
	return binary.BigEndian.AppendUint32(numberKey(prefix, id), n)
}

// listKey holds a hash in place of the name, which may tell what its people
// have in common.
func (p *People) listKey(name string) []byte {
	h := p.keys.Hash("people list", []byte(name))
	return hashKey(keyList, hash(h[:16]))
}

func (p *People) sealWith(aad string, key, plain []byte) ([]byte, error) {
	return p.keys.SealChunk(plain, append([]byte(aad), key...))
}

func (p *People) openWith(aad string, key, sealed []byte) ([]byte, error) {
	return p.keys.OpenChunk(sealed, append([]byte(aad), key...))
}

// addTo puts numbers that are not in a set yet into it.
func (p *People) addTo(t *kv.Txn, s *numberSet, fresh *roaring.Bitmap) error {
	if fresh.IsEmpty() {
		return nil
	}
	piece := fresh
	if s.pieces > 0 {
		last, err := p.readPiece(t, setKey(keySet, s.id, s.pieces-1))
		if err != nil {
			return err
		}
		if last.GetCardinality()+fresh.GetCardinality() <= MaxListPart {
			last.Or(fresh)
			piece = last
			s.pieces--
		}
	}
	if err := p.writePiece(t, setKey(keySet, s.id, s.pieces), piece); err != nil {
		return err
	}
	s.pieces++
	for it := fresh.Iterator(); it.HasNext(); {
		s.people.set(it.Next(), true)
	}
	return nil
}

func (p *People) readPiece(t *kv.Txn, key []byte) (*roaring.Bitmap, error) {
	sealed, err := t.Get(kv.People, key)
	if err != nil {
		return nil, fmt.Errorf("reading a piece of a list: %w", err)
	}
	return p.openPiece(key, sealed)
}

func (p *People) openPiece(key, sealed []byte) (*roaring.Bitmap, error) {
	plain, err := p.openWith(aadSet, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("opening a piece of a list: %w", err)
	}
	b := roaring.New()
	if err := b.UnmarshalBinary(plain); err != nil {
		return nil, fmt.Errorf("%w: a piece of a list: %w", ErrDamaged, err)
	}
	return b, nil
}

func (p *People) writePiece(t *kv.Txn, key []byte, b *roaring.Bitmap) error {
	plain, err := b.ToBytes()
	if err != nil {
		return fmt.Errorf("encoding a piece of a list: %w", err)
	}
	sealed, err := p.sealWith(aadSet, key, plain)
	if err != nil {
		return fmt.Errorf("sealing a piece of a list: %w", err)
	}
	return t.Set(kv.People, key, sealed)
}

func (p *People) deleteSet(t *kv.Txn, s *numberSet) error {
	for i := range s.pieces {
		if err := t.Delete(kv.People, setKey(keySet, s.id, i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *People) saveList(t *kv.Txn, l *uploaded) error {
	b := appendText([]byte{listVersion, flags(l.inForce, false)}, l.name)
	b = appendSet(b, &l.set)
	b = binary.AppendUvarint(b, l.unknown)
	b = appendText(binary.AppendVarint(b, l.changed), l.finished)
	if u := l.upload; u != nil {
		b = appendText(append(b, 1, flags(u.add, false)), u.source)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(u.next)), u.unknown)
		b = appendSet(b, &u.set)
	} else {
		b = append(b, 0)
	}
	key := p.listKey(l.name)
	sealed, err := p.sealWith(aadList, key, b)
	if err != nil {
		return fmt.Errorf("sealing a list: %w", err)
	}
	return t.Set(kv.People, key, sealed)
}

func appendSet(b []byte, s *numberSet) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.id)), uint64(s.pieces))
}

func decodeList(b []byte) (*uploaded, error) {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != listVersion {
		return nil, fmt.Errorf("%w: version %d of a list", ErrDamaged, v)
	}
	l := &uploaded{inForce: d.byte() != 0}
	l.name, l.set, l.unknown = d.text(), d.set(), d.uvarint()
	l.changed, l.finished = d.varint(), d.text()
	if d.byte() != 0 {
		u := &upload{add: d.byte() != 0}
		u.source, u.next, u.unknown = d.text(), int64(d.uvarint()), d.uvarint()
		u.set = d.set()
		l.upload = u
	}
	return l, d.end()
}

func (d *decoder) set() numberSet {
	id, pieces := d.uvarint(), d.uvarint()
	if id > 1<<32-1 || pieces > 1<<32-1 {
		d.fail("a set of a list is out of range")
	}
	return numberSet{id: uint32(id), pieces: uint32(pieces), people: newBits()}
}

// loadLists reads the lists, without the erased, whom Sweep may not have taken
// off yet.
func (p *People) loadLists(t *kv.Txn) error {
	return t.Scan(kv.People, []byte{keyList}, nil, func(key, sealed []byte) error {
		plain, err := p.openWith(aadList, key, sealed)
		if err != nil {
			return fmt.Errorf("opening a list: %w", err)
		}
		l, err := decodeList(plain)
		if err != nil {
			return err
		}
		if err := p.loadSet(t, &l.set); err != nil {
			return err
		}
		if l.upload != nil {
			if err := p.loadSet(t, &l.upload.set); err != nil {
				return err
			}
		}
		p.lists[l.name] = l
		return nil
	})
}

func (p *People) loadSet(t *kv.Txn, s *numberSet) error {
	p.lastSet = max(p.lastSet, s.id)
	for i := range s.pieces {
		b, err := p.readPiece(t, setKey(keySet, s.id, i))
		if errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("%w: piece %d of a list is missing", ErrDamaged, i)
		}
		if err != nil {
			return err
		}
		s.people.b.Or(b)
	}
	s.people.b.AndNot(p.erased.b)
	return nil
}

// sweepPieces bounds the pieces that one transaction of Sweep writes anew.
const sweepPieces = 16

// sweepLists takes the erased out of the pieces of one set. It says whether it
// had something to do, and is then to be called again.
func (p *People) sweepLists(t *kv.Txn) (some bool, err error) {
	gone := roaring.New()
	var set uint32
	var keys [][]byte
	err = t.Scan(kv.People, []byte{keyListSweep}, nil, func(key, _ []byte) error {
		id := binary.BigEndian.Uint32(key[1:])
		if len(keys) > 0 && id != set || len(keys) == sweepRun {
			return kv.ErrStop
		}
		set = id
		keys = append(keys, append([]byte{}, key...))
		gone.Add(binary.BigEndian.Uint32(key[5:]))
		return nil
	})
	if err != nil || len(keys) == 0 {
		return false, err
	}
	written := 0
	err = t.Scan(kv.People, numberKey(keySet, set), nil, func(key, sealed []byte) error {
		b, err := p.openPiece(key, sealed)
		if err != nil || !b.Intersects(gone) {
			return err
		}
		if written == sweepPieces {
			return errMoreToSweep
		}
		written++
		b.AndNot(gone)
		return p.writePiece(t, append([]byte{}, key...), b)
	})
	if errors.Is(err, errMoreToSweep) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for _, key := range keys {
		if err := t.Delete(kv.People, key); err != nil {
			return false, err
		}
	}
	return true, nil
}

var errMoreToSweep = errors.New("people: more pieces than one transaction writes")
