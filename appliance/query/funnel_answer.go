package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// FunnelResult is the answer to a funnel.
type FunnelResult struct {
	Steps     []FunnelStep      `json:"steps"`
	Breakdown []FunnelBreakdown `json:"breakdown,omitzero"`
	Other     *int              `json:"other,omitzero"` // values that the breakdown left out
	OverTime  []FunnelBucket    `json:"over_time,omitzero"`
	Convert   *FunnelConvert    `json:"time_to_convert,omitzero"`
	People    *[]string         `json:"people,omitzero"`
}

// FunnelStep is one step. People counts attempts where the question does.
// Seconds run from the step before; nil for step 1, and where nobody came.
type FunnelStep struct {
	Name           string   `json:"name"`
	People         int64    `json:"people"`
	Conversion     float64  `json:"conversion"`
	StepConversion float64  `json:"step_conversion"`
	MedianSeconds  *float64 `json:"median_seconds"`
	MeanSeconds    *float64 `json:"mean_seconds"`
}

// FunnelBreakdown is the funnel of those with one value.
type FunnelBreakdown struct {
	Value []event.Value `json:"value"`
	Steps []FunnelStep  `json:"steps"`
}

// FunnelBucket is one bucket of over_time, in people.
type FunnelBucket struct {
	Bucket    string `json:"bucket"`
	Entered   int64  `json:"entered"`
	Converted int64  `json:"converted"`
}

// FunnelConvert is how long the way between two steps took. Each bin is its
// lowest second and the people in it.
type FunnelConvert struct {
	People        int64        `json:"people"`
	MeanSeconds   *float64     `json:"mean_seconds"`
	MedianSeconds *float64     `json:"median_seconds"`
	Bins          [][2]float64 `json:"bins"`
}

// stepStats collects the steps of some people.
type stepStats struct {
	reached []int64
	seconds [][]float64 // from the step before
}

func newStepStats(steps int) *stepStats {
	return &stepStats{make([]int64, steps), make([][]float64, steps)}
}

func (t *stepStats) add(a *attempt) {
	for k := range a.depth {
		t.reached[k]++
		if k > 0 {
			t.seconds[k] = append(t.seconds[k], seconds(a.times[k]-a.times[k-1]))
		}
	}
}

func (t *stepStats) merge(o *stepStats) {
	for k := range t.reached {
		t.reached[k] += o.reached[k]
		t.seconds[k] = append(t.seconds[k], o.seconds[k]...)
	}
}

func (t *stepStats) answer(names []string) []FunnelStep {
	out := make([]FunnelStep, len(names))
	for k := range out {
		out[k] = FunnelStep{Name: names[k], People: t.reached[k],
			Conversion: ratio(t.reached[k], t.reached[0]), StepConversion: ratio(t.reached[k], t.reached[max(k-1, 0)])}
		out[k].MedianSeconds, out[k].MeanSeconds = averages(t.seconds[k])
	}
	return out
}

// averages gives median and mean, nil of nothing; it changes the order of the
// values.
func averages(values []float64) (mid, avg *float64) {
	if len(values) == 0 {
		return nil, nil
	}
	a := mean(values)
	m := median(values)
	return &m, &a
}

// funnelReport is the consumer of a funnel question.
type funnelReport struct {
	f       *funnelQuestion
	w       *walker
	groups  *grouper
	buckets *buckets

	total     *stepStats
	parts     []*stepStats // by group
	depths    [][]uint32   // people by depth - 1, for the list
	seconds   []float64    // to convert
	entered   []int64
	converted []int64
	visits    []visit // of one person
	ids       []uint32
	touch     [maxDimensions]uint32 // of one person, by dimension
	q         *run
	held      int64
	plain     *plainWalker // where it walks those without merged numbers
}

// takeRows implements rowTaker.
func (r *funnelReport) takeRows(by *worker, rows *history.Rows, p *picked, day dayRange) error {
	return r.plain.takeRows(by, rows, p, day)
}

// endPartition implements rowTaker.
func (r *funnelReport) endPartition() error {
	err := r.plain.walk(func(who uint32, best *attempt) {
		r.count(best, nil, nil)
		if r.f.list != nil {
			r.depths[best.depth-1] = append(r.depths[best.depth-1], who)
		}
	})
	if err != nil {
		return err
	}
	return r.hold()
}

// visit is an attempt seen by over_time.
type visit struct {
	bucket             int
	entered, converted bool
}

func (r *funnelReport) take(hits []hit, s *store) error {
	var best attempt
	ok := false
	r.visits = r.visits[:0]
	r.touched(hits, s)
	all := r.f.attempts || r.f.overTime != nil || len(r.f.hold) > 0
	r.w.walk(hits, s, func(a *attempt) bool {
		if !ok || a.depth > best.depth || a.depth == best.depth && a.start < best.start {
			best, ok = *a, true
		}
		if r.f.attempts {
			r.count(a, hits, s)
		}
		if r.f.overTime != nil {
			r.visits = append(r.visits, visit{r.buckets.find(hits[a.start].time), a.depth >= r.f.overTime.fromStep, a.depth == len(r.f.steps)})
		}
		return all || a.depth < len(r.f.steps)
	})
	if !ok {
		return nil
	}
	if !r.f.attempts {
		r.count(&best, hits, s)
	}
	r.visit()
	if r.f.list != nil {
		r.depths[best.depth-1] = append(r.depths[best.depth-1], hits[0].who)
	}
	return r.hold()
}

// hold reserves what the report has come to hold, now and then.
func (r *funnelReport) hold() error {
	n := int64(len(r.seconds)) * 8
	for k := range r.total.seconds {
		n += int64(len(r.total.seconds[k])) * 8 * int64(1+len(r.f.breakdown.dims))
	}
	n += int64(len(r.parts)) * int64(100+40*len(r.f.steps))
	if n-r.held < 1<<20 {
		return nil
	}
	delta := n - r.held
	r.held = n
	return r.q.reserve(delta)
}

// visit counts the person once in every bucket that an attempt starts in.
func (r *funnelReport) visit() {
	slices.SortFunc(r.visits, func(a, b visit) int { return cmp.Compare(a.bucket, b.bucket) })
	for rest := r.visits; len(rest) > 0; {
		v := rest[0]
		n := 1
		for n < len(rest) && rest[n].bucket == v.bucket {
			v.entered = v.entered || rest[n].entered
			v.converted = v.converted || rest[n].converted
			n++
		}
		if v.bucket >= 0 && v.entered {
			r.entered[v.bucket]++
		}
		if v.bucket >= 0 && v.converted {
			r.converted[v.bucket]++
		}
		rest = rest[n:]
	}
}

// count adds an attempt to the totals, the breakdown and the times.
func (r *funnelReport) count(a *attempt, hits []hit, s *store) {
	r.total.add(a)
	if c := r.f.convert; c != nil && a.depth >= c.to {
		r.seconds = append(r.seconds, seconds(a.times[c.to-1]-a.times[c.from-1]))
	}
	if !r.f.breakdown.any() {
		return
	}
	r.ids = r.ids[:0]
	for d, dim := range r.f.breakdown.dims {
		r.ids = append(r.ids, r.attribute(d, dim, a, hits, s))
	}
	for _, g := range r.groups.of(r.ids) {
		for int(g) >= len(r.parts) {
			r.parts = append(r.parts, newStepStats(len(r.f.steps)))
		}
		r.parts[g].add(a)
	}
}

// attribute is the value that an attempt counts under.
func (r *funnelReport) attribute(d int, dim dimension, a *attempt, hits []hit, s *store) uint32 {
	at := len(r.f.hold) + d
	switch {
	case dim.place == ofProfile || dim.place == ofPerson:
		return s.idsOf(&hits[0])[at]
	case r.f.attribution != byStep:
		return r.touch[d]
	}
	if i := a.served[r.f.step-1]; i >= 0 {
		return s.idsOf(&hits[i])[at]
	}
	return 0
}

// touched finds the values of the person's first, or last, touch.
func (r *funnelReport) touched(hits []hit, s *store) {
	if r.f.attribution == byStep {
		return
	}
	for d, dim := range r.f.breakdown.dims {
		if r.touch[d] = 0; dim.place == ofEvent || dim.place == ofItem {
			r.touch[d] = r.touchOf(d, dim, hits, s)
		}
	}
}

func (r *funnelReport) touchOf(d int, dim dimension, hits []hit, s *store) uint32 {
	steps := allSteps(len(r.f.steps))
	for i := range hits {
		if r.f.attribution == lastTouch {
			i = len(hits) - 1 - i
		}
		h := &hits[i]
		if h.mask&steps == 0 || !r.f.within.has(h.time) {
			continue
		}
		id := s.idsOf(h)[len(r.f.hold)+d]
		if dim.place == ofItem && !slices.ContainsFunc(r.groups.expand(d, dim, id), func(v uint32) bool { return v != 0 }) {
			continue
		}
		if id != 0 {
			return id
		}
	}
	return 0
}

func (f *funnelQuestion) answer(q *run) (any, error) {
	people, err := q.limit(f.people)
	if err != nil {
		return nil, err
	}
	p := f.pass()
	p.people = people
	p.dims = append(p.dims, f.breakdown.dims...)
	cut, err := f.cut(q, people)
	if err != nil {
		return nil, err
	}
	p.direct = f.plain() && f.overTime == nil && !f.breakdown.any()
	took, err := q.read(p, func() consumer {
		return &funnelReport{f: f, q: q, plain: newPlainWalker(q, &f.funnel), w: newWalker(&f.funnel, q.cal), buckets: cut, total: newStepStats(len(f.steps)),
			groups: newGrouper(f.breakdown.dims, q.values, nil), depths: make([][]uint32, len(f.steps)),
			entered: make([]int64, cut.len()), converted: make([]int64, cut.len())}
	})
	if err != nil {
		return nil, err
	}
	return f.result(q, took, cut)
}

// cut makes the buckets of over_time.
func (f *funnelQuestion) cut(q *run, people *roaring.Bitmap) (*buckets, error) {
	if f.overTime == nil {
		return &buckets{}, nil
	}
	within, err := q.close(f.steps, f.within, people, f.overTime.interval)
	if err != nil {
		return nil, err
	}
	return q.cal.cut(within.from, within.to, f.overTime.interval)
}

func (f *funnelQuestion) result(q *run, took []consumer, cut *buckets) (any, error) {
	total := newStepStats(len(f.steps))
	parts := map[tuple]*stepStats{}
	var times []float64
	out := &FunnelResult{}
	if f.overTime != nil {
		out.OverTime = make([]FunnelBucket, cut.len())
	}
	for _, c := range took {
		r := c.(*funnelReport)
		total.merge(r.total)
		times = append(times, r.seconds...)
		for g, part := range r.parts {
			t := r.groups.tuples[g]
			if parts[t] == nil {
				parts[t] = newStepStats(len(f.steps))
			}
			parts[t].merge(part)
		}
		for i := range out.OverTime {
			out.OverTime[i].Entered += r.entered[i]
			out.OverTime[i].Converted += r.converted[i]
		}
	}
	for i := range out.OverTime {
		out.OverTime[i].Bucket = cut.names[i]
	}
	out.Steps = total.answer(f.names)
	if f.convert != nil {
		out.Convert = f.convert.answer(times)
	}
	if err := f.answerBreakdown(q, out, parts); err != nil {
		return nil, err
	}
	return out, f.answerList(q, out, took)
}

func (f *funnelQuestion) answerBreakdown(q *run, out *FunnelResult, parts map[tuple]*stepStats) error {
	if !f.breakdown.any() {
		return nil
	}
	all := make([]ranked, 0, len(parts))
	for t, part := range parts {
		all = append(all, ranked{tuple: t, total: float64(part.reached[0])})
	}
	kept, err := q.rank(all, f.breakdown.dims, f.breakdown.limit)
	if err != nil {
		return err
	}
	other := len(parts) - len(kept)
	out.Other = &other
	out.Breakdown = []FunnelBreakdown{}
	for _, r := range kept {
		out.Breakdown = append(out.Breakdown, FunnelBreakdown{r.value, parts[r.tuple].answer(f.names)})
	}
	return nil
}

func (f *funnelQuestion) answerList(q *run, out *FunnelResult, took []consumer) error {
	if f.list == nil {
		return nil
	}
	chosen := roaring.New()
	for _, c := range took {
		for k, people := range c.(*funnelReport).depths {
			if depth := k + 1; f.list.dropped && depth == f.list.step-1 || !f.list.dropped && depth >= f.list.step {
				chosen.AddMany(people)
			}
		}
	}
	names, err := q.identities(chosen, f.list.limits, "list")
	out.People = &names
	return err
}

// answer puts times into bins: whole seconds wide, from the shortest; the
// last bin holds the longest.
func (c *convert) answer(times []float64) *FunnelConvert {
	out := &FunnelConvert{People: int64(len(times)), Bins: [][2]float64{}}
	if len(times) == 0 {
		return out
	}
	out.MedianSeconds, out.MeanSeconds = averages(times)
	low, high := slices.Min(times), slices.Max(times)
	width := math.Ceil((high - low) / float64(c.bins))
	bin := func(t float64) int {
		if width == 0 {
			return 0
		}
		return min(int((t-low)/width), c.bins-1)
	}
	for i := range bin(high) + 1 {
		out.Bins = append(out.Bins, [2]float64{low + float64(i)*width, 0})
	}
	for _, t := range times {
		out.Bins[bin(t)][1]++
	}
	return out
}
