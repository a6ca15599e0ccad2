package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

const (
	rfmBins    = 5 // where bins is left out
	maxRFMBins = 10
)

// rfm is a question of kind rfm, asked by itself or saved under a name: how
// long ago people last did something (r), how often (f), and how much it came
// to (m), each scored from 1 to bins, and the groups that follow from the
// scores.
type rfm struct {
	ref      *ref
	amount   string // the property that m adds up
	distinct string // the property that f counts the values of; "" = f counts events
	bins     int
	groups   []rfmGroup
	of       []uint8 // by cell: the place of its group in groups
	within   period
	people   *expr
	compared bool
	earlier  int64 // compare: the moment before now
}

// RFMResult is the answer to an rfm. Cells are those with somebody in them, by
// r, then f, then m, rising; groups are all there are, in the map's order.
type RFMResult struct {
	Thresholds  RFMThresholds    `json:"thresholds"`
	Cells       []RFMCell        `json:"cells"`
	Groups      []RFMGroup       `json:"groups"`
	Transitions *[]RFMTransition `json:"transitions,omitzero"` // with compare
}

// RFMThresholds are the bins - 1 values that part the scores, rising: r in
// days, f in events or values, m in what amount is in. Of nobody there are none.
type RFMThresholds struct {
	R []float64 `json:"r"`
	F []float64 `json:"f"`
	M []float64 `json:"m"`
}

// RFMCell is people with the same scores, and the sum of their amounts.
type RFMCell struct {
	R      int     `json:"r"`
	F      int     `json:"f"`
	M      int     `json:"m"`
	People int64   `json:"people"`
	Amount float64 `json:"amount"`
}

// RFMGroup is a group of the map; its cells are [r, f, m], those with somebody
// in them.
type RFMGroup struct {
	Name   string   `json:"name"`
	People int64    `json:"people"`
	Amount float64  `json:"amount"`
	Cells  [][3]int `json:"cells"`
}

// RFMTransition counts people of a group, as of now, by the group that they
// were in as of compare's now; From is nil of those who had no event by then.
type RFMTransition struct {
	From   *string `json:"from"`
	To     string  `json:"to"`
	People int64   `json:"people"`
}

func (c *parser) rfmQuestion(f *fields) (question, error) {
	r, err := c.rfm(f)
	if err != nil {
		return nil, err
	}
	n := f.take("compare")
	if n.absent() {
		return r, nil
	}
	g, err := n.fields()
	if err != nil {
		return nil, err
	}
	at, err := g.need("now")
	if err != nil {
		return nil, err
	}
	now, err := at.instant()
	if err != nil {
		return nil, err
	}
	r.compared, r.earlier = true, now.micros
	if now.isDate {
		r.earlier = c.cal.start(now.date)
	}
	if r.earlier >= c.now {
		return nil, at.bad("this must lie before now, which is %s", c.cal.at(c.now).Format("2006-01-02T15:04:05Z07:00"))
	}
	return r, g.done()
}

// rfm reads what an rfm question and a saved rfm share.
func (c *parser) rfm(f *fields) (*rfm, error) {
	r := &rfm{}
	var err error
	if r.ref, err = c.oneRef(f); err != nil {
		return nil, err
	}
	amount, err := f.need("amount")
	if err != nil {
		return nil, err
	}
	if r.amount, err = amount.text(); err != nil {
		return nil, err
	}
	if r.amount == "" {
		return nil, amount.bad("a property has a name")
	}
	frequency := f.take("frequency")
	if r.distinct, err = frequency.textOr("events"); err != nil {
		return nil, err
	}
	switch r.distinct {
	case "":
		return nil, frequency.bad(`this is "events", or the property whose values are counted`)
	case "events":
		r.distinct = ""
	}
	if r.bins, err = f.take("bins").int(rfmBins, 2, maxRFMBins); err != nil {
		return nil, err
	}
	if err := r.readGroups(f.take("groups")); err != nil {
		return nil, err
	}
	if r.within, err = c.period(f); err != nil {
		return nil, err
	}
	r.people, err = c.people(f.take("people"))
	return r, err
}

func (r *rfm) answer(q *run) (any, error) {
	now, before, err := r.measure(q)
	if err != nil {
		return nil, err
	}
	scored := r.score(q, now, q.now)
	out := r.result(scored)
	if r.compared {
		moved := r.transitions(scored, r.score(q, before, r.earlier))
		out.Transitions = &moved
	}
	return out, nil
}

// rfmPerson is what one person did up to a moment.
type rfmPerson struct {
	who    uint32
	last   int64 // instant of their last event
	times  int64 // events, or distinct values
	amount float64
}

const rfmPersonBytes = 32

// measure reads who did what up to now and, with compare, up to the moment
// before, both by person's number.
func (r *rfm) measure(q *run) (now, before []rfmPerson, err error) {
	people, err := q.limit(r.people)
	if err != nil {
		return nil, nil, err
	}
	p := &pass{refs: []*ref{r.ref}, people: people, within: r.within, numbers: []string{r.amount}}
	// Counted back from now, with both ends in: what lies after it is not looked at.
	if p.within.toOpen || p.within.to > q.now {
		p.within.to = q.now + 1
	}
	if r.distinct != "" {
		p.dims = []dimension{{key: r.distinct}}
	}
	took, err := q.read(p, func() consumer { return &rfmReport{r: r, hold: holding{q: q}, seen: map[uint32]struct{}{}} })
	if err != nil {
		return nil, nil, err
	}
	for _, t := range took {
		// What is put together, and the values and cells of it.
		if err := q.reserve(int64(len(t.(*rfmReport).now)+len(t.(*rfmReport).before)) * 2 * rfmPersonBytes); err != nil {
			return nil, nil, err
		}
		now = append(now, t.(*rfmReport).now...)
		before = append(before, t.(*rfmReport).before...)
	}
	for _, some := range [][]rfmPerson{now, before} {
		slices.SortFunc(some, func(a, b rfmPerson) int { return cmp.Compare(a.who, b.who) })
	}
	return now, before, nil
}

// rfmReport is the consumer of an rfm.
type rfmReport struct {
	r           *rfm
	now, before []rfmPerson
	seen        map[uint32]struct{}
	hold        holding
}

func (c *rfmReport) take(hits []hit, s *store) error {
	c.now = append(c.now, c.person(hits, s))
	if c.r.compared {
		n := 0
		for n < len(hits) && hits[n].time <= c.r.earlier {
			n++
		}
		if n > 0 {
			c.before = append(c.before, c.person(hits[:n], s))
		}
	}
	return c.hold.upTo(int64(cap(c.now)+cap(c.before)) * rfmPersonBytes)
}

// person adds up the hits of one person, in order.
func (c *rfmReport) person(hits []hit, s *store) rfmPerson {
	p := rfmPerson{who: hits[0].who, last: hits[len(hits)-1].time, times: int64(len(hits))}
	var sum exactSum
	for i := range hits {
		if f := s.floatsOf(&hits[i])[0]; isNumber(f) {
			sum.add(f)
		}
	}
	p.amount = finite(sum.value())
	if c.r.distinct != "" {
		clear(c.seen)
		for i := range hits {
			if id := s.idsOf(&hits[i])[0]; id != 0 {
				c.seen[id] = struct{}{}
			}
		}
		p.times = int64(len(c.seen))
	}
	return p
}

// rfmScored is people with their scores, as of a moment.
type rfmScored struct {
	people     []rfmPerson
	thresholds RFMThresholds
	cells      []uint16 // of people
}

// score finds the thresholds, and every person's cell.
func (r *rfm) score(q *run, people []rfmPerson, now int64) *rfmScored {
	s := &rfmScored{people: people, cells: make([]uint16, len(people))}
	today := q.cal.day(now)
	since := make([]float64, len(people))
	for i := range people {
		since[i] = float64(today - q.cal.day(people[i].last))
	}
	days := func(i int) float64 { return since[i] }
	times := func(i int) float64 { return float64(people[i].times) }
	amount := func(i int) float64 { return people[i].amount }
	sorted := make([]float64, len(people))
	ranks := func(of func(int) float64) []float64 {
		for i := range people {
			sorted[i] = of(i)
		}
		slices.Sort(sorted)
		return nearestRanks(sorted, r.bins)
	}
	s.thresholds = RFMThresholds{R: ranks(days), F: ranks(times), M: ranks(amount)}
	below := func(thresholds []float64, v float64) int {
		n := 0
		for n < len(thresholds) && thresholds[n] < v {
			n++
		}
		return n
	}
	for i := range people {
		// Fewer days are better: the best score goes to those with no threshold below.
		recent := r.bins - below(s.thresholds.R, days(i))
		s.cells[i] = uint16(r.cell(recent, 1+below(s.thresholds.F, times(i)), 1+below(s.thresholds.M, amount(i))))
	}
	return s
}

// nearestRanks are the values that part sorted ones into bins: each the
// smallest with at least k/bins of them at or below it.
func nearestRanks(sorted []float64, bins int) []float64 {
	out := []float64{}
	for k := 1; k < bins && len(sorted) > 0; k++ {
		// In whole numbers: a product of floats could land a step too high.
		out = append(out, sorted[(len(sorted)*k+bins-1)/bins-1])
	}
	return out
}

func (r *rfm) result(s *rfmScored) *RFMResult {
	out := &RFMResult{Thresholds: s.thresholds, Cells: []RFMCell{}, Groups: make([]RFMGroup, len(r.groups))}
	people, amounts := make([]int64, len(r.of)), make([]exactSum, len(r.of))
	for i, cell := range s.cells {
		people[cell]++
		amounts[cell].add(s.people[i].amount)
	}
	sums := make([]exactSum, len(r.groups))
	for i := range r.groups {
		out.Groups[i] = RFMGroup{Name: r.groups[i].name, Cells: [][3]int{}}
	}
	for cell, n := range people {
		if n == 0 {
			continue
		}
		at := r.scores(cell)
		out.Cells = append(out.Cells, RFMCell{R: at[0], F: at[1], M: at[2], People: n, Amount: finite(amounts[cell].value())})
		g := &out.Groups[r.of[cell]]
		g.People += n
		g.Cells = append(g.Cells, at)
		sums[r.of[cell]].merge(amounts[cell])
	}
	for i := range out.Groups {
		out.Groups[i].Amount = finite(sums[i].value())
	}
	return out
}

// transitions counts who came from which group, by the map's order. Everybody
// who did something before did it now too.
func (r *rfm) transitions(now, before *rfmScored) []RFMTransition {
	none := len(r.groups)
	counts := make([]int64, (none+1)*none)
	k := 0
	for i, p := range now.people {
		from := none
		if k < len(before.people) && before.people[k].who == p.who {
			from = int(r.of[before.cells[k]])
			k++
		}
		counts[from*none+int(r.of[now.cells[i]])]++
	}
	out := []RFMTransition{}
	for i, n := range counts {
		if n == 0 {
			continue
		}
		t := RFMTransition{To: r.groups[i%none].name, People: n}
		if i/none < none {
			t.From = &r.groups[i/none].name
		}
		out = append(out, t)
	}
	return out
}

// members are the people of each of its groups.
func (r *rfm) members(q *run) ([]*roaring.Bitmap, error) {
	people, _, err := r.measure(q)
	if err != nil {
		return nil, err
	}
	out := make([]*roaring.Bitmap, len(r.groups))
	for i := range out {
		out[i] = roaring.New()
	}
	s := r.score(q, people, q.now)
	for i, cell := range s.cells {
		out[r.of[cell]].Add(people[i].who)
	}
	held := uint64(0)
	for _, b := range out {
		held += b.GetSizeInBytes()
	}
	return out, q.reserve(int64(min(held, math.MaxInt64)))
}
