package history

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// packedBytes is how large packed rows grow before they are cut, so that with
// one more row of MaxRowBytes, compression that does not pay, and sealing they
// stay within kv.MaxValue.
const packedBytes = 512 << 10

// packedVersion is the first byte of packed rows (FORMAT.md).
const packedVersion = 1

// digested are rows as the head and the packed form take them: numbers of the
// vocabulary instead of texts, and only the properties that are kept. Row i
// has props[ends[i-1]:ends[i]].
type digested struct {
	persons []uint32
	times   []int64
	names   []uint16
	ends    []uint32
	props   []property
}

type property struct {
	key   uint16
	value event.Value
}

func (d *digested) reset() {
	d.persons, d.times, d.names, d.ends = d.persons[:0], d.times[:0], d.names[:0], d.ends[:0]
	clear(d.props) // the values would keep their texts alive
	d.props = d.props[:0]
}

func (d *digested) rows() int { return len(d.persons) }

func (d *digested) of(row int) []property {
	from := uint32(0)
	if row > 0 {
		from = d.ends[row-1]
	}
	return d.props[from:d.ends[row]]
}

// packer holds the buffers of packing rows.
type packer struct {
	rows   digested
	plain  []byte
	packed []byte
	scrap  []byte
}

// digest looks the rows' names and keys up, and leaves out what has no place.
func (h *History) digest(t *kv.Txn, rows []Row) (*digested, error) {
	d := &h.pack.rows
	d.reset()
	for i := range rows {
		r := &rows[i]
		name, ok, err := learn(t, h.keys, keyName, &h.words.names, MaxNames, r.Name)
		if err != nil {
			return nil, err
		}
		if !ok {
			h.o.Refused(r.Name, "")
			continue
		}
		from, size := len(d.props), 0
		for j := range r.Props {
			p := &r.Props[j]
			if p.Personal || p.Value.IsNull() {
				continue
			}
			if size += valueBytes(p.Value) + 4; size > MaxRowBytes {
				h.o.Refused(r.Name, p.Key)
				continue
			}
			key, ok, err := learn(t, h.keys, keyKey, &h.words.keys, MaxKeys, p.Key)
			if err != nil {
				return nil, err
			}
			if !ok {
				h.o.Refused(r.Name, p.Key)
				continue
			}
			if holds(d.props[from:], key) {
				continue // the first counts, as in event.Lookup
			}
			d.props = append(d.props, property{key, p.Value})
		}
		d.persons = append(d.persons, r.Person)
		d.times = append(d.times, r.Time)
		d.names = append(d.names, name)
		d.ends = append(d.ends, uint32(len(d.props)))
	}
	return d, nil
}

func holds(ps []property, key uint16) bool {
	for i := range ps {
		if ps[i].key == key {
			return true
		}
	}
	return false
}

// valueBytes is about what a value takes when it is encoded.
func valueBytes(v event.Value) int {
	n := 10 + len(v.Text())
	for _, e := range v.List() {
		n += valueBytes(e)
	}
	for _, p := range v.Object() {
		n += len(p.Key) + 2 + valueBytes(p.Value)
	}
	return n
}

// writePacked writes rows, in as many values as it takes.
func (h *History) writePacked(t *kv.Txn, d *digested) error {
	for row := 0; row < d.rows(); {
		var n int
		h.pack.plain, n = appendPacked(h.pack.plain[:0], d, row)
		row += n
		key := rowsKey(h.head.gen, h.head.packs)
		sealed, err := h.sealPacked(&h.pack, key)
		if err != nil {
			return err
		}
		if err := t.Set(kv.History, key, sealed); err != nil {
			return err
		}
		h.head.packs++
	}
	return nil
}

// sealPacked compresses and seals the packer's packed rows.
func (h *History) sealPacked(p *packer, key []byte) ([]byte, error) {
	p.scrap = s2.Encode(p.scrap[:cap(p.scrap)], p.plain)
	p.packed = append(append(p.packed[:0], packedVersion), p.scrap...)
	return h.keys.SealChunk(p.packed, rowsAAD(key))
}

// openPacked appends the rows of one packed value to d.
func (h *History) openPacked(d *digested, key, sealed []byte, names, keys int) error {
	packed, err := h.keys.OpenChunk(sealed, rowsAAD(key))
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	} else {
		err = unpack(d, packed, names, keys)
	}
	if err != nil {
		gen, pack := binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint32(key[9:])
		return fmt.Errorf("packed rows %d of generation %d: %w", pack, gen, err)
	}
	return nil
}

// rowsKey is where packed rows lie: by generation, then in order of arrival.
func rowsKey(gen uint64, pack uint32) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyRows}, gen)
	return binary.BigEndian.AppendUint32(k, pack)
}

func rowsAAD(key []byte) []byte { return append([]byte("history rows "), key...) }

// appendPacked appends rows from one on until they are packedBytes long, and
// says how many it took.
func appendPacked(dst []byte, d *digested, from int) ([]byte, int) {
	last := int64(0)
	row := from
	for ; row < d.rows() && len(dst) < packedBytes; row++ {
		dst = binary.AppendUvarint(dst, uint64(d.persons[row]))
		dst = binary.AppendVarint(dst, d.times[row]-last) // wraps, and wraps back
		last = d.times[row]
		dst = binary.AppendUvarint(dst, uint64(d.names[row]))
		ps := d.of(row)
		dst = binary.AppendUvarint(dst, uint64(len(ps)))
		for i := range ps {
			dst = binary.AppendUvarint(dst, uint64(ps[i].key))
			dst = event.AppendValue(dst, ps[i].value)
		}
	}
	return dst, row - from
}

// unpack reads packed rows, compressed, from inside their seal, and appends
// them to d. names and keys are how many there are of each.
func unpack(d *digested, packed []byte, names, keys int) error {
	if len(packed) == 0 || packed[0] != packedVersion {
		return fmt.Errorf("%w: packed rows of an unknown version", ErrDamaged)
	}
	n, err := s2.DecodedLen(packed[1:])
	if err != nil || n > packedBytes+2*MaxRowBytes {
		return fmt.Errorf("%w: packed rows do not decompress", ErrDamaged)
	}
	b, err := s2.Decode(nil, packed[1:])
	if err != nil {
		return fmt.Errorf("%w: packed rows: %w", ErrDamaged, err)
	}
	last := int64(0)
	for len(b) > 0 {
		var person, name, count uint64
		var delta int64
		if person, b, err = uvarint(b, math.MaxUint32); err != nil {
			return err
		}
		v, w := binary.Varint(b)
		if w <= 0 {
			return errPacked
		}
		delta, b = v, b[w:]
		if name, b, err = uvarint(b, uint64(names)-1); err != nil {
			return err
		}
		if count, b, err = uvarint(b, uint64(keys)); err != nil {
			return err
		}
		for range count {
			var key uint64
			if key, b, err = uvarint(b, uint64(keys)-1); err != nil {
				return err
			}
			var v event.Value
			if v, b, err = event.ReadValue(b); err != nil {
				return fmt.Errorf("%w: packed rows: %w", ErrDamaged, err)
			}
			d.props = append(d.props, property{uint16(key), v})
		}
		last += delta
		d.persons = append(d.persons, uint32(person))
		d.times = append(d.times, last)
		d.names = append(d.names, uint16(name))
		d.ends = append(d.ends, uint32(len(d.props)))
	}
	return nil
}

var errPacked = fmt.Errorf("%w: packed rows end early or name what there is not", ErrDamaged)

func uvarint(b []byte, most uint64) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > most || most == math.MaxUint64 {
		return 0, nil, errPacked
	}
	return v, b[n:], nil
}

// loadHeads brings packed rows back into memory, each generation as the head
// it was.
func (h *History) loadHeads(t *kv.Txn) error {
	var d digested
	err := t.Scan(kv.History, []byte{keyRows}, nil, func(key, val []byte) error {
		if len(key) != 1+8+4 {
			return fmt.Errorf("%w: a key of packed rows of %d bytes", ErrDamaged, len(key))
		}
		gen, pack := binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint32(key[9:])
		if gen <= h.counts.frozen {
			return fmt.Errorf("%w: packed rows of generation %d, which was frozen", ErrDamaged, gen)
		}
		if len(h.heads) == 0 || h.heads[len(h.heads)-1].gen != gen {
			h.heads = append(h.heads, newHead(gen, h.o.Now()))
		}
		hd := h.heads[len(h.heads)-1]
		if pack != hd.packs {
			return fmt.Errorf("%w: packed rows %d of generation %d are missing", ErrDamaged, hd.packs, gen)
		}
		hd.packs++
		d.reset()
		if err := h.openPacked(&d, key, val, len(h.words.names.list), len(h.words.keys.list)); err != nil {
			return err
		}
		hd.add(&d, h.cal)
		return nil
	})
	if err != nil {
		return err
	}
	if len(h.heads) == 0 {
		h.heads = append(h.heads, newHead(h.counts.frozen+1, h.o.Now()))
	}
	h.head = h.heads[len(h.heads)-1]
	return nil
}
