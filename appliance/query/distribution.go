package query

import (
	"math"
	"slices"
)

// distributed is what a distribution looks at.
type distributed uint8

const (
	ofEvents   distributed = iota // how many each person has
	ofProperty                    // the numbers of a property
	ofTime                        // from a person's first to the next of another
)

// distribution is a question of kind distribution.
type distribution struct {
	of       distributed
	ref      *ref
	then     *ref
	later    bool // ties: then needs a later instant
	property string
	bins     int
	within   period
	people   *expr
}

// DistributionResult is the answer to a distribution. Times are in seconds.
// Each bin is its lowest value and how many values lie in it. Of nothing, all
// is 0.
type DistributionResult struct {
	Count  int64        `json:"count"`
	Mean   float64      `json:"mean"`
	Median float64      `json:"median"`
	Min    float64      `json:"min"`
	Max    float64      `json:"max"`
	P90    float64      `json:"p90"`
	Bins   [][2]float64 `json:"bins"`
}

func (c *parser) distribution(f *fields) (question, error) {
	d := &distribution{}
	of, err := f.take("of").oneOf(0, "events", "property", "time")
	if err != nil {
		return nil, err
	}
	d.of = distributed(of)
	if d.ref, err = c.oneRef(f); err != nil {
		return nil, err
	}
	switch d.of { // of another, these fields are unknown
	case ofProperty:
		if d.property, err = f.property(); err != nil {
			return nil, err
		}
	case ofTime:
		then, err := f.need("then")
		if err != nil {
			return nil, err
		}
		if d.then, err = c.onlyRef(then); err != nil {
			return nil, err
		}
		ties, err := f.take("ties").oneOf(0, "arrival", "strict")
		if err != nil {
			return nil, err
		}
		d.later = ties == 1
	}
	if d.bins, err = f.take("bins").int(10, 1, 1000); err != nil {
		return nil, err
	}
	if d.within, err = c.period(f); err != nil {
		return nil, err
	}
	d.people, err = c.people(f.take("people"))
	return d, err
}

func (d *distribution) answer(q *run) (any, error) {
	people, err := q.limit(d.people)
	if err != nil {
		return nil, err
	}
	p := &pass{refs: []*ref{d.ref}, people: people, within: d.within}
	switch d.of {
	case ofProperty:
		p.numbers, p.single = []string{d.property}, true
	case ofTime:
		p.refs = append(p.refs, d.then)
	}
	took, err := q.read(p, func() consumer { return &distributionReport{d: d, hold: holding{q: q}} })
	if err != nil {
		return nil, err
	}
	all := &holding{q: q}
	n := 0
	for _, t := range took {
		n += len(t.(*distributionReport).values)
	}
	if err := all.upTo(int64(n) * 8); err != nil {
		return nil, err
	}
	values := make([]float64, 0, n)
	for _, t := range took {
		values = append(values, t.(*distributionReport).values...)
	}
	return d.result(values), nil
}

// distributionReport is the consumer of a distribution.
type distributionReport struct {
	d      *distribution
	values []float64
	hold   holding
}

func (r *distributionReport) take(hits []hit, s *store) error {
	switch r.d.of {
	case ofEvents:
		r.values = append(r.values, float64(len(hits)))
	case ofProperty:
		for i := range hits {
			if f := s.floatsOf(&hits[i])[0]; isNumber(f) {
				r.values = append(r.values, f)
			}
		}
	case ofTime:
		r.between(hits)
	}
	return r.hold.upTo(int64(cap(r.values)) * 8)
}

// between takes the time from the first event to the next then.
func (r *distributionReport) between(hits []hit) {
	first := slices.IndexFunc(hits, func(h hit) bool { return h.mask&1 != 0 })
	if first < 0 {
		return
	}
	from := hits[first].time
	for _, h := range hits[first+1:] {
		if h.mask&2 != 0 && (!r.d.later || h.time > from) {
			r.values = append(r.values, seconds(h.time-from))
			return
		}
	}
}

// result sorts the values.
func (d *distribution) result(values []float64) *DistributionResult {
	out := &DistributionResult{Count: int64(len(values)), Bins: [][2]float64{}}
	if len(values) == 0 {
		return out
	}
	slices.Sort(values)
	out.Mean, out.Median, out.P90 = finite(mean(values)), finite(middle(values)), measureP90.quantile(values)
	out.Min, out.Max = values[0], values[len(values)-1]
	out.Bins = spread(values, d.bins, d.of == ofProperty)
	return out
}

// spread puts sorted numbers into bins from the lowest on, of a whole width as
// in time_to_convert; the last holds the highest. Where fractions are allowed,
// numbers that are not all whole and lie closer together than one to a bin get
// narrower ones: of what lies between 0 and 1 a whole width would say nothing.
func spread(sorted []float64, bins int, fractions bool) [][2]float64 {
	low, high := sorted[0], sorted[len(sorted)-1]
	if bins == 1 || low == high {
		return [][2]float64{{low, float64(len(sorted))}}
	}
	width := math.Ceil((high - low) / float64(bins))
	if fractions && high-low < float64(bins) && slices.ContainsFunc(sorted, func(f float64) bool { return f != math.Trunc(f) }) {
		width = (high - low) / float64(bins)
	}
	if math.IsInf(width, 0) { // high - low is more than a float holds
		width = high/float64(bins) - low/float64(bins)
	}
	bin := func(f float64) int {
		if width == 0 {
			return 0
		}
		if math.IsInf(high-low, 0) {
			return min(int(f/width-low/width), bins-1)
		}
		return min(int((f-low)/width), bins-1)
	}
	out := make([][2]float64, bin(high)+1)
	for i := range out {
		out[i][0] = finite(low + float64(i)*width)
	}
	for _, f := range sorted {
		out[bin(f)][1]++
	}
	return out
}
