package query

import (
	"math"
	"slices"
)

// measure is what is asked of a set of events.
type measure uint8

const (
	measureCount measure = iota
	measureUnique
	measurePerPerson
	measureSum
	measureAvg
	measureMin
	measureMax
	measureMedian
	measureP75
	measureP90
	measureP95
	measureP99
	measureDistinct
	measureFirstSeen
	measureLastSeen
	measureDays // in conditions only
)

var measureNames = []string{"count", "unique", "per_person", "sum", "avg", "min", "max", "median", "p75", "p90", "p95", "p99",
	"distinct", "first_seen", "last_seen"}

// needsProperty says whether the measure is of a property.
func (m measure) needsProperty() bool { return m >= measureSum && m <= measureDistinct }

// byPerson says whether the measure has to see people one after another.
func (m measure) byPerson() bool {
	return m == measureUnique || m == measurePerPerson || m == measureFirstSeen || m == measureLastSeen
}

var ranks = map[measure]int{measureP75: 75, measureP90: 90, measureP95: 95, measureP99: 99}

// quantile is the median, or the nearest rank, of numbers in rising order; 0 of none.
func (m measure) quantile(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	if m == measureMedian {
		return middle(sorted)
	}
	// The smallest value with at least rank % at or below it, in whole numbers:
	// a product of floats could land a step too high.
	at := (n*ranks[m] + 99) / 100
	return sorted[max(at, 1)-1]
}

// middle is the mean of the two middle values of numbers in rising order.
func middle(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return sorted[n/2]
	}
	return sorted[n/2-1] + (sorted[n/2]-sorted[n/2-1])/2
}

// median is middle of numbers in any order, which it changes: it finds the two
// by halves that cannot hold them, in linear time where a sort is not.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	upper := selected(values, n/2)
	if n%2 == 1 {
		return upper
	}
	lower := slices.Max(values[:n/2])
	return lower + (upper-lower)/2
}

// selected brings the kth smallest number, from 0, to its place, those below
// it before it, and gives it: Hoare's selection with the middle of three.
func selected(v []float64, k int) float64 {
	low, high := 0, len(v)-1
	for high-low > 16 {
		mid := low + (high-low)/2
		pivot := max(min(v[low], v[mid]), min(max(v[low], v[mid]), v[high]))
		i, j := low, high
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return v[k]
		}
	}
	slices.Sort(v[low : high+1])
	return v[k]
}

func mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	var s exactSum
	for _, v := range values {
		s.add(v)
	}
	return s.value() / float64(len(values))
}

// tally collects what one cell of an answer needs. Which fields count depends
// on the measure.
type tally struct {
	n    int64 // events, or numbers where a property is measured
	who  uint32
	uniq int64
	sum  exactSum
	low  float64
	high float64
}

// person counts a person once, as long as a person's events come together.
func (t *tally) person(who uint32) {
	if t.who != who {
		t.who = who
		t.uniq++
	}
}

func (t *tally) number(f float64) {
	if t.n == 0 {
		t.low, t.high = f, f
	}
	t.n++
	t.sum.add(f)
	t.low, t.high = min(t.low, f), max(t.high, f)
}

func (t *tally) merge(o *tally) {
	if o.n > 0 {
		if t.n == 0 {
			t.low, t.high = o.low, o.high
		}
		t.low, t.high = min(t.low, o.low), max(t.high, o.high)
	}
	t.n += o.n
	t.uniq += o.uniq
	t.sum.merge(o.sum)
}

func (t *tally) value(m measure) float64 {
	switch m {
	case measureCount:
		return float64(t.n)
	case measureUnique, measureFirstSeen, measureLastSeen:
		return float64(t.uniq)
	case measurePerPerson:
		return ratio(t.n, t.uniq)
	case measureSum:
		return t.sum.value()
	case measureAvg:
		if t.n == 0 {
			return 0
		}
		return t.sum.value() / float64(t.n)
	case measureMin:
		return t.low
	case measureMax:
		return t.high
	}
	return 0
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// sample is one value of a cell, for the measures that need all of them:
// quantiles, and distinct values (whose numbers of the dictionary are exact in
// a float).
type sample struct {
	cell  int32
	value float64
}

func sortSamples(s []sample) {
	slices.SortFunc(s, func(a, b sample) int {
		if a.cell != b.cell {
			return int(a.cell) - int(b.cell)
		}
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
}

func isNumber(f float64) bool { return !math.IsNaN(f) }
