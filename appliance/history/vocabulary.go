package history

import (
	"encoding/binary"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// First bytes of this room's keys, within kv.History.
const (
	keyName   = 'n' // code -> event name, sealed
	keyKey    = 'k' // code -> property key, sealed
	keyRows   = 'r' // generation, number -> packed rows, sealed
	keyBlock  = 'b' // block -> its description, sealed
	keyDays   = 'd' // part -> description of bitmaps by event and day, sealed
	keyCounts = 'c' // the numbers given out last
)

// words are texts with a number each, which never changes.
type words struct {
	list []string
	code map[string]uint16
}

func (w *words) add(s string) uint16 {
	if w.code == nil {
		w.code = make(map[string]uint16)
	}
	c := uint16(len(w.list))
	w.list = append(w.list, s)
	w.code[s] = c
	return c
}

// vocabulary holds the event names and property keys of a publisher. It is the
// applier's; others read the lists, as of their view.
type vocabulary struct {
	names, keys words
}

func (v *vocabulary) load(t *kv.Txn, keys Sealer) error {
	for _, part := range []struct {
		prefix byte
		to     *words
	}{{keyName, &v.names}, {keyKey, &v.keys}} {
		err := t.Scan(kv.History, []byte{part.prefix}, nil, func(key, val []byte) error {
			if len(key) != 3 || int(binary.BigEndian.Uint16(key[1:])) != len(part.to.list) {
				return fmt.Errorf("%w: the names are not numbered in order", ErrDamaged)
			}
			plain, err := keys.OpenChunk(val, wordAAD(key))
			if err != nil {
				return fmt.Errorf("%w: name %d: %w", ErrDamaged, len(part.to.list), err)
			}
			part.to.add(string(plain))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func wordAAD(key []byte) []byte { return append([]byte("history word "), key...) }

// learn gives a text's number, writing it down if it is new; ok is false where
// the ceiling is reached.
func learn(t *kv.Txn, seal Sealer, prefix byte, w *words, ceiling int, s string) (code uint16, ok bool, err error) {
	if c, ok := w.code[s]; ok {
		return c, true, nil
	}
	if len(w.list) >= ceiling {
		return 0, false, nil
	}
	key := binary.BigEndian.AppendUint16([]byte{prefix}, uint16(len(w.list)))
	sealed, err := seal.SealChunk([]byte(s), wordAAD(key))
	if err != nil {
		return 0, false, err
	}
	if err := t.Set(kv.History, key, sealed); err != nil {
		return 0, false, err
	}
	return w.add(s), true, nil
}

// pairs is a set of pairs of numbers that only grows, as a list for readers
// and a set for the one writer.
type pairs struct {
	list []uint64
	set  map[uint64]struct{}
}

func pair(a uint16, b int32) uint64       { return uint64(a)<<32 | uint64(uint32(b)) }
func unpair(p uint64) (a uint16, b int32) { return uint16(p >> 32), int32(uint32(p)) }

func (p *pairs) add(v uint64) {
	if _, ok := p.set[v]; ok {
		return
	}
	if p.set == nil {
		p.set = make(map[uint64]struct{})
	}
	p.set[v] = struct{}{}
	p.list = append(p.list, v)
}
