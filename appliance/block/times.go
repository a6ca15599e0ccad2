package block

import "encoding/binary"

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
	dst = appendPlanes(dst, first)
	return appendPlanes(dst, next)
}

// ReadTimes reads what AppendTimes made of p's rows.
func ReadTimes(b []byte, p *People) ([]int64, error) {
	r := &reader{b: b}
	unit := int(r.byte())
	if unit >= len(units) {
		r.fail("times of an unknown unit")
		return nil, r.err
	}
	u := units[unit]
	n, groups := len(p.Persons), len(p.Starts)-1
	s := getScratch()
	defer putScratch(s)
	bases := reader{b: r.section(len(p.Runs)*binary.MaxVarintLen64, &s.bytes)}
	planes, w := r.planes(groups, s)
	if r.err != nil {
		return nil, r.err
	}
	first := s.numbers(n)[:groups]
	joined(&planes, w, first)
	planes, w = r.planes(n-groups, s)
	if err := r.end(); err != nil {
		return nil, err
	}
	next := s.numbers(n)[groups:]
	joined(&planes, w, next)

	// Sums wrap: what comes of bytes that were not made here is of no use, but
	// harmless.
	times := make([]int64, n)
	group, row, base := 0, 0, int64(0)
	for _, run := range p.Runs {
		end := row + run.Rows
		base += bases.varint()
		for ; row < end; group++ {
			t := (base + int64(first[group])) * u
			times[row] = t
			rows := times[row+1 : p.Starts[group+1]]
			steps := next[:len(rows)]
			next = next[len(rows):]
			for i, d := range steps {
				t += int64(d) * u
				rows[i] = t
			}
			row = int(p.Starts[group+1])
		}
	}
	if bases.err != nil || len(bases.b) > 0 {
		return nil, damaged("the times do not fit the runs")
	}
	return times, nil
}
