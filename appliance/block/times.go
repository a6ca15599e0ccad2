package block

import (
	"encoding/binary"
	"math"
)

// Times are the instants of rows, microseconds since 1970. They are read-only
// and may be shared. The zero Times are of no rows.
type Times struct {
	base, unit int64    // of steps
	steps      []uint32 // units from base, where they fit; or
	wide       []int64
}

// TimesOf makes Times of a list, which becomes their own.
func TimesOf(times []int64) Times { return Times{wide: times} }

// Len is the number of rows.
func (t *Times) Len() int { return max(len(t.steps), len(t.wide)) }

// At is the instant of a row.
func (t *Times) At(row int) int64 {
	if t.steps != nil {
		return t.base + int64(t.steps[row])*t.unit
	}
	return t.wide[row]
}

// Of gives the instants of some rows. out is as long as rows.
func (t *Times) Of(rows []int32, out []int64) {
	out = out[:len(rows)]
	if t.steps == nil {
		for i, row := range rows {
			out[i] = t.wide[row]
		}
		return
	}
	for i, row := range rows {
		out[i] = t.base + int64(t.steps[row])*t.unit
	}
}

// In gives the instants of rows from to to. out is as long as they are many.
func (t *Times) In(from, to int, out []int64) {
	if t.steps == nil {
		copy(out, t.wide[from:to])
		return
	}
	base, unit := t.base, t.unit
	for i, step := range t.steps[from:to] {
		out[i] = base + int64(step)*unit
	}
}

// Slice is the instants of rows from to to.
func (t *Times) Slice(from, to int) Times {
	if t.steps != nil {
		return Times{base: t.base, unit: t.unit, steps: t.steps[from:to:to]}
	}
	return Times{wide: t.wide[from:to:to]}
}

// Only is the instants of some rows.
func (t *Times) Only(rows []uint16) Times {
	if t.steps != nil {
		return Times{base: t.base, unit: t.unit, steps: only(t.steps, rows)}
	}
	return Times{wide: only(t.wide, rows)}
}

func only[T any](all []T, rows []uint16) []T {
	out := make([]T, len(rows))
	for i, row := range rows {
		out[i] = all[row]
	}
	return out
}

// Bytes is about what t takes in memory.
func (t *Times) Bytes() int64 { return int64(len(t.steps))*4 + int64(len(t.wide))*8 }

// units are what times may be whole numbers of, in microseconds; their index
// is in the encoding.
var units = [...]int64{1, 1_000, 1_000_000, 60_000_000}

// AppendTimes appends the encoding of the times of p's rows, microseconds,
// which must not fall within a group.
func AppendTimes(dst []byte, p *People, times []int64) []byte {
	unit := len(units) - 1
	for _, t := range times {
		for t%units[unit] != 0 {
			unit--
		}
		if unit == 0 {
			break
		}
	}
	u := uint64(units[unit])
	dst = append(dst, byte(unit))

	var bases []byte
	base := int64(0)
	first := make([]uint64, 0, len(p.Starts)-1) // of each group, from its run's earliest
	next := make([]uint64, 0, len(times))       // of each other row, from the row before
	group, row := 0, 0
	for _, run := range p.Runs {
		end := row + run.Rows
		low := times[row]
		for g := group; int(p.Starts[g]) < end; g++ {
			low = min(low, times[p.Starts[g]])
		}
		bases = binary.AppendVarint(bases, low/int64(u)-base)
		base = low / int64(u)
		for ; row < end; group++ {
			first = append(first, uint64(times[row]-low)/u)
			for row++; row < int(p.Starts[group+1]); row++ {
				next = append(next, uint64(times[row]-times[row-1])/u)
			}
		}
	}
	dst = appendSection(dst, bases)
	dst = appendPlanesBy(dst, first, quick())
	return appendPlanesBy(dst, next, quick())
}

// ReadTimes reads what AppendTimes made of p's rows.
func ReadTimes(b []byte, p *People) (Times, error) {
	r := &reader{b: b}
	unit := int(r.byte())
	if unit >= len(units) {
		r.fail("times of an unknown unit")
		return Times{}, r.err
	}
	n, groups := p.Rows(), len(p.Starts)-1
	s := getScratch()
	defer putScratch(s)
	low := reader{b: r.section(len(p.Runs)*binary.MaxVarintLen64, &s.bytes)}
	planes, w := r.planes(groups, s)
	if r.err != nil {
		return Times{}, r.err
	}
	first := s.numbers(n)[:groups]
	joined(&planes, w, first)
	planes, w = r.planes(n-groups, s)
	if err := r.end(); err != nil {
		return Times{}, err
	}
	next := s.numbers(n)[groups:]
	joined(&planes, w, next)

	bases := make([]int64, len(p.Runs))
	base, least := int64(0), int64(math.MaxInt64)
	for i := range bases {
		base += low.varint()
		bases[i] = base
		least = min(least, base)
	}
	if low.err != nil || len(low.b) > 0 {
		return Times{}, damaged("the times do not fit the runs")
	}
	t := Times{base: least * units[unit], unit: units[unit], steps: make([]uint32, n)}
	if n == 0 {
		return Times{}, nil
	}
	if top := placeTimes(p, bases, first, next, least, t.steps); top <= math.MaxUint32 {
		return t, nil
	}
	t = Times{wide: make([]int64, n)}
	placeTimes(p, bases, first, next, 0, t.wide)
	for i := range t.wide {
		t.wide[i] *= units[unit]
	}
	return t, nil
}

// placeTimes adds up the times of rows, in units from least, and gives the bits
// that any of them has. Sums wrap: what comes of bytes that were not made here
// is of no use, but harmless.
func placeTimes[T uint32 | int64](p *People, bases []int64, first, next []uint64, least int64, out []T) (all uint64) {
	group, row := 0, 0
	for i, run := range p.Runs {
		end := row + run.Rows
		base := uint64(bases[i] - least)
		for ; row < end; group++ {
			t := base + first[group]
			out[row] = T(t)
			rows := out[row+1 : p.Starts[group+1]]
			steps := next[:len(rows)]
			next = next[len(rows):]
			for i, d := range steps {
				all |= t
				t += d
				rows[i] = T(t)
			}
			all |= t
			row = int(p.Starts[group+1])
		}
	}
	return all
}
