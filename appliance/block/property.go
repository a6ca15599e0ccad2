package block

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// How a property lies in its chunk; numbers of the format.
const (
	kindIntegers = 1 // numbers as whole multiples of a power of ten, from the least
	kindFloats   = 2 // numbers as the bits of a float64
	kindTable    = 3 // numbers as places in a table of the different ones
	kindDict     = 4 // values as places in a dictionary
	kindRaw      = 5 // values one after another
	kindGroups   = 6 // one of these, without what repeats within a group

	presentAll = 0 // every row has the property
	presentMap = 1 // a bit a row says which do
)

// maxValues bounds the encoded values of one column, in bytes. Who fills a
// block keeps below it.
const maxValues = 15 << 20

// AppendColumn appends the encoding of a column of people's rows, in which at
// least one row has a value.
func AppendColumn(dst []byte, c *Column, people *People) []byte {
	if c.Nums != nil {
		return appendNumbers(dst, c.Nums, people)
	}
	return appendValues(dst, c, people)
}

// ReadColumn reads what AppendColumn made of people's rows. Values share
// nothing with b.
func ReadColumn(b []byte, people *People) (*Column, error) {
	n := people.Rows()
	r := &reader{b: b}
	s := getScratch()
	defer putScratch(s)
	kind := r.byte()
	p := readPresence(r, n, s)
	own := changes{kept: p.count}
	if kind == kindGroups {
		own = readChanges(r, people, p, s)
		kind = r.byte()
	}
	c := &Column{packed: &packed{rows: n}}
	switch kind {
	case kindIntegers, kindFloats, kindTable:
		c.packed.nums = make([]float64, p.entries(n))
		readNumbers(r, kind, c.packed.nums[:own.kept], s)
		placed(p, own, n, c.packed.nums, math.NaN())
	case kindDict:
		readDict(r, p, own, n, c, s)
	case kindRaw:
		c.Dict = readValues(r, own.kept, s)
		codes := make([]uint32, p.entries(n))
		for i := range own.kept {
			codes[i] = uint32(i) + 1
		}
		placed(p, own, n, codes, 0)
		c.packed.codes32 = codes
	default:
		r.fail("a column of an unknown kind")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if p.bits != nil && !p.dense(n) {
		c.packed.present, c.packed.ranks = p.words(n)
	}
	return c, nil
}

// placed moves the entries that are kept, at the front, to where they belong
// among those of n rows.
func placed[T any](p presence, own changes, n int, entries []T, missing T) {
	repeat(own, entries[:p.count])
	if p.dense(n) {
		spreadOut(p.bits, p.count, entries, missing)
	}
}

var powers = [...]float64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000}

// scaled gives the numbers as whole multiples of 10^-scale; ok is false where
// some are none.
func scaled(nums []float64, out []uint64) (scale int, least int64, ok bool) {
	fits := func(v float64) (int64, bool) {
		x := math.Round(v * powers[scale])
		return int64(x), math.Abs(x) < 1<<53 && x/powers[scale] == v
	}
	for _, v := range nums {
		for _, ok := fits(v); !ok; _, ok = fits(v) {
			if scale++; scale == len(powers) {
				return 0, 0, false
			}
		}
	}
	least = math.MaxInt64
	for i, v := range nums {
		x, ok := fits(v) // again: a larger scale may be too much for an early one
		if !ok {
			return 0, 0, false
		}
		out[i] = uint64(x)
		least = min(least, x)
	}
	for i := range out {
		out[i] -= uint64(least)
	}
	return scale, least, true
}

// tableSize is up to how many different numbers a table pays, by the planes
// that the numbers take without.
var tableSize = [9]int{2: 256, 3: 4096, 4: 4096, 5: 4096, 6: 4096, 7: 4096, 8: 4096}

func appendNumbers(dst []byte, column []float64, people *People) []byte {
	at := len(dst)
	dst = append(dst, 0)
	dst, present, count := appendPresence(dst, len(column), func(row int) bool { return column[row] == column[row] })
	nums := make([]float64, 0, count)
	for _, v := range column {
		if v == v {
			nums = append(nums, v)
		}
	}
	if kept, differ := thinned(people, present, nums); kept != nil {
		nums = kept
		dst[at] = kindGroups
		dst = appendSection(dst, differ)
		at = len(dst)
		dst = append(dst, 0)
	}
	vals := make([]uint64, len(nums))
	scale, least, ok := scaled(nums, vals)
	w := 8
	if ok {
		w = width(slices.Max(vals))
	}
	if table := distinct(nums, tableSize[w]); table != nil {
		dst[at] = kindTable
		dst = binary.AppendUvarint(dst, uint64(len(table)))
		place := make(map[float64]uint64, len(table))
		for i, v := range table {
			place[v] = uint64(i)
		}
		for i, v := range nums {
			vals[i] = place[v]
		}
		dst = appendPlain(dst, table)
		return appendPlanes(dst, vals)
	}
	if ok {
		dst[at] = kindIntegers
		return appendScaled(dst, scale, least, vals)
	}
	dst[at] = kindFloats
	for i, v := range nums {
		vals[i] = math.Float64bits(v)
	}
	return appendPlanes(dst, vals)
}

// appendPlain appends numbers as whole multiples or as bits, behind which.
func appendPlain(dst []byte, nums []float64) []byte {
	vals := make([]uint64, len(nums))
	if scale, least, ok := scaled(nums, vals); ok {
		return appendScaled(append(dst, kindIntegers), scale, least, vals)
	}
	for i, v := range nums {
		vals[i] = math.Float64bits(v)
	}
	return appendPlanes(append(dst, kindFloats), vals)
}

func appendScaled(dst []byte, scale int, least int64, vals []uint64) []byte {
	dst = append(dst, byte(scale))
	dst = binary.AppendVarint(dst, least)
	return appendPlanes(dst, vals)
}

// distinct gives the different numbers in order, nil where they are more than
// most.
func distinct(nums []float64, most int) []float64 {
	if most == 0 {
		return nil
	}
	seen := make(map[float64]struct{}, most)
	for _, v := range nums {
		if _, ok := seen[v]; !ok {
			if len(seen) == most {
				return nil
			}
			seen[v] = struct{}{}
		}
	}
	out := make([]float64, 0, len(seen))
	for v := range seen {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

func readNumbers(r *reader, kind byte, out []float64, s *scratch) {
	switch kind {
	case kindIntegers:
		scale := int(r.byte())
		if scale >= len(powers) {
			r.fail("numbers of an unknown scale")
			return
		}
		least := r.varint()
		vals := s.numbers(len(out))
		planes, w := r.planes(len(out), s)
		if r.err != nil {
			return
		}
		joined(&planes, w, vals)
		if scale == 0 {
			for i, v := range vals {
				out[i] = float64(int64(v) + least)
			}
			return
		}
		by := powers[scale] // dividing is exact where multiplying by 0.01 is not
		for i, v := range vals {
			out[i] = float64(int64(v)+least) / by
		}
	case kindFloats:
		vals := s.numbers(len(out))
		planes, w := r.planes(len(out), s)
		if r.err != nil {
			return
		}
		joined(&planes, w, vals)
		for i, v := range vals {
			out[i] = math.Float64frombits(v)
		}
	case kindTable:
		table := make([]float64, r.uvarint(1<<12))
		inner := r.byte()
		if inner != kindIntegers && inner != kindFloats {
			r.fail("a table of an unknown kind")
			return
		}
		readNumbers(r, inner, table, s)
		vals := s.numbers(len(out))
		planes, w := r.planes(len(out), s)
		if r.err != nil {
			return
		}
		joined(&planes, w, vals)
		for i, v := range vals {
			if v >= uint64(len(table)) {
				r.fail("a place beyond the table")
				return
			}
			out[i] = table[v]
		}
	}
}

// appendValues appends a column of any values.
func appendValues(dst []byte, c *Column, people *People) []byte {
	at := len(dst)
	dst = append(dst, 0)
	dst, present, count := appendPresence(dst, len(c.Codes), func(row int) bool { return c.Codes[row] != 0 })
	codes := c.Codes
	if present != nil {
		codes = make([]uint32, 0, count)
		for _, code := range c.Codes {
			if code != 0 {
				codes = append(codes, code)
			}
		}
	}
	if kept, differ := thinned(people, present, codes); kept != nil {
		codes = kept
		dst[at] = kindGroups
		dst = appendSection(dst, differ)
		at = len(dst)
		dst = append(dst, 0)
	}
	// Places are given anew, in the order of the rows, to the values that these
	// rows have: the caller's dictionary may serve many more.
	place := make(map[uint32]uint64)
	var values, all []byte
	vals := make([]uint64, len(codes))
	for i, code := range codes {
		p, ok := place[code]
		if !ok {
			p = uint64(len(place))
			place[code] = p
			values = event.AppendValue(values, c.Dict[code-1])
		}
		vals[i] = p
	}
	if len(place) > 256 && len(place) > len(codes)-len(codes)/4 {
		dst[at] = kindRaw
		for _, code := range codes {
			all = event.AppendValue(all, c.Dict[code-1])
		}
		return appendSection(dst, all)
	}
	dst[at] = kindDict
	dst = binary.AppendUvarint(dst, uint64(len(place)))
	dst = appendSection(dst, values)
	return appendPlanes(dst, vals)
}

func readDict(r *reader, p presence, own changes, n int, c *Column, s *scratch) {
	c.Dict = readValues(r, int(r.uvarint(uint64(own.kept))), s)
	planes, w := r.planes(own.kept, s)
	if w > 4 {
		r.fail("a place beyond the dictionary")
	}
	if r.err != nil {
		return
	}
	k := c.packed
	ok := false
	switch {
	case len(c.Dict) < 1<<8 && w <= 1:
		k.codes8, ok = readCodes(joined8, &planes, w, p, own, n, len(c.Dict))
	case len(c.Dict) < 1<<16 && w <= 2:
		k.codes16, ok = readCodes(joined16, &planes, w, p, own, n, len(c.Dict))
	default:
		k.codes32, ok = readCodes(joined[uint32], &planes, w, p, own, n, len(c.Dict))
	}
	if !ok {
		r.fail("a place beyond the dictionary")
	}
}

// readCodes makes codes of places, which are one less; false where one lies
// beyond the dictionary.
func readCodes[T uint8 | uint16 | uint32](join func(*[8][]byte, int, []T), planes *[8][]byte, w int, p presence, own changes, n, dict int) ([]T, bool) {
	codes := make([]T, p.entries(n))
	places := codes[:own.kept]
	join(planes, w, places)
	most := T(0)
	for i := range places {
		most = max(most, places[i])
		places[i]++
	}
	if own.kept > 0 && uint64(most) >= uint64(dict) {
		return nil, false
	}
	placed(p, own, n, codes, 0)
	return codes, true
}

// readValues reads a section of n values.
func readValues(r *reader, n int, s *scratch) []event.Value {
	b := r.section(maxValues, &s.bytes)
	if n > len(b) {
		r.fail("values end early")
	}
	if r.err != nil {
		return nil
	}
	out := make([]event.Value, n)
	var err error
	for i := range out {
		if out[i], b, err = event.ReadValue(b); err != nil {
			r.fail("values: " + err.Error())
			return nil
		}
	}
	if len(b) > 0 {
		r.fail("more values than there should be")
	}
	return out
}
