package query

import (
	"slices"
	"unsafe"
)

// sessions is a question of kind sessions.
type sessions struct {
	ref      *ref
	rule     sessionRule
	interval unit
	series   bool // interval was given
	within   period
	people   *expr
}

// SessionsResult is the answer to sessions: of all of them and, with an
// interval, by the bucket that each begins in.
type SessionsResult struct {
	Sessions         int64          `json:"sessions"`
	MeanSeconds      float64        `json:"mean_seconds"`
	MedianSeconds    float64        `json:"median_seconds"`
	EventsPerSession float64        `json:"events_per_session"`
	MaxEvents        int64          `json:"max_events"`
	Bounces          int64          `json:"bounces"` // sessions of one event
	Buckets          []string       `json:"buckets,omitzero"`
	Arrays           *SessionArrays `json:"arrays,omitzero"`
}

// SessionArrays are the same by bucket.
type SessionArrays struct {
	Sessions         []int64   `json:"sessions"`
	MeanSeconds      []float64 `json:"mean_seconds"`
	MedianSeconds    []float64 `json:"median_seconds"`
	EventsPerSession []float64 `json:"events_per_session"`
	MaxEvents        []int64   `json:"max_events"`
	Bounces          []int64   `json:"bounces"`
}

func (c *parser) sessions(f *fields) (question, error) {
	s := &sessions{interval: unitAll}
	var err error
	if s.ref, err = c.oneRef(f); err != nil {
		return nil, err
	}
	if s.rule, err = c.sessionRule(f, "gap"); err != nil {
		return nil, err
	}
	if s.series = !f.take("interval").absent(); s.series {
		if s.interval, err = f.interval("interval", unitDay); err != nil {
			return nil, err
		}
	}
	if s.within, err = c.period(f); err != nil {
		return nil, err
	}
	s.people, err = c.people(f.take("people"))
	return s, err
}

func (s *sessions) answer(q *run) (any, error) {
	people, err := q.limit(s.people)
	if err != nil {
		return nil, err
	}
	p := &pass{refs: []*ref{s.ref}, people: people, within: s.within, dims: s.rule.dims()}
	cut := &buckets{edges: []int64{s.within.from, s.within.to}, names: []string{"all"}}
	if s.series {
		if p.within, err = q.close(p.refs, s.within, people, s.interval); err != nil {
			return nil, err
		}
		if cut, err = q.cal.cut(p.within.from, p.within.to, s.interval); err != nil {
			return nil, err
		}
	}
	took, err := q.read(p, func() consumer { return newSessionReport(q, s, cut) })
	if err != nil {
		return nil, err
	}
	all := newSessionReport(q, s, cut)
	for _, t := range took {
		o := t.(*sessionReport)
		for i := range all.cells {
			all.cells[i].merge(&o.cells[i])
		}
		all.lengths = append(all.lengths, o.lengths...)
		if err := all.reserve(); err != nil {
			return nil, err
		}
		o.lengths = nil
	}
	if err := all.hold.upTo(all.hold.bytes + int64(len(all.lengths))*8); err != nil {
		return nil, err
	}
	return s.result(all, cut), nil
}

// sessionCell is what is counted of the sessions of one bucket. Those of one
// instant are many and need no length of their own to be kept.
type sessionCell struct{ sessions, instant, events, most, bounces int64 }

func (c *sessionCell) merge(o *sessionCell) {
	c.sessions += o.sessions
	c.instant += o.instant
	c.events += o.events
	c.most = max(c.most, o.most)
	c.bounces += o.bounces
}

// sessionReport is the consumer of sessions.
type sessionReport struct {
	cut     *cutter
	find    finder
	cells   []sessionCell
	lengths []sample // in seconds, of every session longer than an instant
	hold    holding
}

func newSessionReport(q *run, s *sessions, cut *buckets) *sessionReport {
	return &sessionReport{cut: newCutter(s.rule, q.cal, 0), find: finder{cut: cut}, cells: make([]sessionCell, cut.len()), hold: holding{q: q}}
}

func (r *sessionReport) take(hits []hit, s *store) error {
	r.cut.begin(hits, s)
	for places := r.cut.next(); places != nil; places = r.cut.next() {
		r.add(hits[places[0]].time, hits[places[len(places)-1]].time, int64(len(places)))
	}
	return r.reserve()
}

// add counts a session.
func (r *sessionReport) add(first, last, events int64) {
	i := r.find.find(first)
	c := &r.cells[i]
	c.sessions++
	c.events += events
	c.most = max(c.most, events)
	if events == 1 {
		c.bounces++
	}
	if first == last {
		c.instant++
		return
	}
	r.lengths = append(r.lengths, sample{int32(i), seconds(last - first)})
}

func (r *sessionReport) reserve() error {
	return r.hold.upTo(int64(cap(r.lengths))*sampleBytes + int64(cap(r.cells))*int64(unsafe.Sizeof(sessionCell{})) + r.cut.bytes())
}

func (s *sessions) result(all *sessionReport, cut *buckets) *SessionsResult {
	sortSamples(all.lengths)
	lengths := make([]float64, len(all.lengths))
	for i := range lengths {
		lengths[i] = all.lengths[i].value
	}
	out, arrays := &SessionsResult{}, newSessionArrays(cut.len())
	var total sessionCell
	rest := lengths
	for i := range all.cells {
		c := &all.cells[i]
		total.merge(c)
		own := rest[:c.sessions-c.instant]
		rest = rest[len(own):]
		arrays.Sessions[i], arrays.MaxEvents[i], arrays.Bounces[i] = c.sessions, c.most, c.bounces
		arrays.EventsPerSession[i] = ratio(c.events, c.sessions)
		arrays.MeanSeconds[i], arrays.MedianSeconds[i] = c.averages(own)
	}
	if len(all.cells) > 1 {
		slices.Sort(lengths)
	}
	out.Sessions, out.MaxEvents, out.Bounces = total.sessions, total.most, total.bounces
	out.EventsPerSession = ratio(total.events, total.sessions)
	out.MeanSeconds, out.MedianSeconds = total.averages(lengths)
	if s.series {
		out.Buckets, out.Arrays = append([]string{}, cut.names...), arrays
	}
	return out
}

func newSessionArrays(n int) *SessionArrays {
	return &SessionArrays{Sessions: make([]int64, n), MeanSeconds: make([]float64, n), MedianSeconds: make([]float64, n),
		EventsPerSession: make([]float64, n), MaxEvents: make([]int64, n), Bounces: make([]int64, n)}
}

// averages gives mean and median of sessions: of those of one instant, and of
// the lengths of the others, in rising order.
func (c *sessionCell) averages(sorted []float64) (avg, mid float64) {
	if c.sessions == 0 {
		return 0, 0
	}
	var sum exactSum
	for _, f := range sorted {
		sum.add(f)
	}
	at := func(i int64) float64 {
		if i < c.instant {
			return 0
		}
		return sorted[i-c.instant]
	}
	low, high := at((c.sessions-1)/2), at(c.sessions/2)
	return sum.value() / float64(c.sessions), low + (high-low)/2
}
