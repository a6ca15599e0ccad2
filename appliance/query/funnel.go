package query

const (
	maxSteps    = 20
	maxExcludes = 20
	maxHold     = 10
)

type order uint8

const (
	ordered order = iota
	strict
	anyOrder
)

// funnel is who went how far through steps: what a funnel question and a
// funnel expression share.
type funnel struct {
	steps    []*ref
	names    []string
	order    order
	window   span
	windowOf string // the property of step 1's event that says n of window; "" = window.n
	first    bool   // only the person's first ever event of step 1 starts an attempt
	attempts bool   // each attempt counts
	exclude  []exclude
	hold     []string
	later    bool // ties: a step needs a later instant
	within   period
}

// exclude voids attempts with its event strictly between two steps (from 1).
type exclude struct {
	ref           *ref
	after, before int
}

type attribution uint8

const (
	firstTouch attribution = iota
	lastTouch
	byStep
)

// funnelQuestion is a question of kind funnel.
type funnelQuestion struct {
	funnel
	people      *expr
	breakdown   breakdown
	attribution attribution
	step        int // of attribution byStep
	overTime    *overTime
	convert     *convert
	list        *stepList
}

type overTime struct {
	interval unit
	fromStep int
}

type convert struct{ from, to, bins int }

type stepList struct {
	step    int
	dropped bool
	limits
}

func (c *parser) funnelQuestion(f *fields) (question, error) {
	fu, err := c.nestedFunnel(f)
	if err != nil {
		return nil, err
	}
	q := &funnelQuestion{funnel: *fu}
	if q.people, err = c.people(f.take("people")); err != nil {
		return nil, err
	}
	if q.breakdown, err = c.breakdown(f.take("breakdown")); err != nil {
		return nil, err
	}
	i, err := f.take("attribution").oneOf(0, "first_touch", "last_touch", "step")
	if err != nil {
		return nil, err
	}
	q.attribution = attribution(i)
	if q.attribution == byStep {
		if q.step, err = f.take("step").int(1, 1, len(q.steps)); err != nil {
			return nil, err
		}
	}
	if err := c.overTime(q, f.take("over_time")); err != nil {
		return nil, err
	}
	if err := c.convert(q, f.take("time_to_convert")); err != nil {
		return nil, err
	}
	return q, c.stepList(q, f.take("list"))
}

func (c *parser) overTime(q *funnelQuestion, n node) error {
	if n.absent() {
		return nil
	}
	f, err := n.fields()
	if err != nil {
		return err
	}
	o := &overTime{}
	if o.interval, err = f.interval("interval", unitDay); err != nil {
		return err
	}
	if o.fromStep, err = f.take("from_step").int(1, 1, len(q.steps)); err != nil {
		return err
	}
	q.overTime = o
	return f.done()
}

func (c *parser) convert(q *funnelQuestion, n node) error {
	if n.absent() {
		return nil
	}
	f, err := n.fields()
	if err != nil {
		return err
	}
	o := &convert{}
	if o.from, err = f.take("from_step").int(1, 1, len(q.steps)); err != nil {
		return err
	}
	to := f.take("to_step")
	if o.to, err = to.int(len(q.steps), 1, len(q.steps)); err != nil {
		return err
	}
	if o.to <= o.from {
		return to.bad("this must be a step after from_step, which is %d", o.from)
	}
	if o.bins, err = f.take("bins").int(10, 1, 1000); err != nil {
		return err
	}
	q.convert = o
	return f.done()
}

func (c *parser) stepList(q *funnelQuestion, n node) error {
	if n.absent() {
		return nil
	}
	f, err := n.fields()
	if err != nil {
		return err
	}
	l := &stepList{}
	if l.step, l.dropped, err = c.reached(f, len(q.steps)); err != nil {
		return err
	}
	if l.limits, err = f.limits(); err != nil {
		return err
	}
	q.list = l
	return f.done()
}

// nestedFunnel reads what a funnel question and a funnel expression share.
func (c *parser) nestedFunnel(f *fields) (*funnel, error) {
	fu := &funnel{window: span{14, unitDay}}
	var err error
	if fu.within, err = c.period(f); err != nil {
		return nil, err
	}
	if err := c.steps(fu, f); err != nil {
		return nil, err
	}
	i, err := f.take("order").oneOf(0, "ordered", "strict", "any")
	if err != nil {
		return nil, err
	}
	fu.order = order(i)
	if err := c.window(fu, f.take("window")); err != nil {
		return nil, err
	}
	for _, choice := range []struct {
		key, usual, other string
		to                *bool
	}{{"start", "any", "first", &fu.first}, {"count", "people", "attempts", &fu.attempts}, {"ties", "arrival", "strict", &fu.later}} {
		i, err := f.take(choice.key).oneOf(0, choice.usual, choice.other)
		if err != nil {
			return nil, err
		}
		*choice.to = i == 1
	}
	if err := c.excludes(fu, f.take("exclude")); err != nil {
		return nil, err
	}
	hold, err := f.take("hold").list(maxHold)
	if err != nil {
		return nil, err
	}
	for _, n := range hold {
		key, err := n.text()
		if err != nil {
			return nil, err
		}
		fu.hold = append(fu.hold, key)
	}
	return fu, nil
}

func (c *parser) steps(fu *funnel, f *fields) error {
	n, err := f.need("steps")
	if err != nil {
		return err
	}
	list, err := n.list(maxSteps)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return n.bad("a funnel has 1 to %d steps", maxSteps)
	}
	for _, s := range list {
		g, err := s.fields()
		if err != nil {
			return err
		}
		r, err := c.ref(g)
		if err != nil {
			return err
		}
		name, err := g.take("name").textOr(r.title())
		if err != nil {
			return err
		}
		if err := g.done(); err != nil {
			return err
		}
		fu.steps, fu.names = append(fu.steps, r), append(fu.names, name)
	}
	return nil
}

func (c *parser) window(fu *funnel, n node) error {
	if n.absent() {
		return nil
	}
	f, err := n.fields()
	if err != nil {
		return err
	}
	if !f.has("property") {
		fu.window, err = n.span()
		return err
	}
	if fu.windowOf, err = f.property(); err != nil {
		return err
	}
	if fu.window.unit, err = f.unit(); err != nil {
		return err
	}
	return f.done()
}

func (c *parser) excludes(fu *funnel, n node) error {
	list, err := n.list(maxExcludes)
	if err != nil {
		return err
	}
	for _, e := range list {
		f, err := e.fields()
		if err != nil {
			return err
		}
		x := exclude{}
		if x.ref, err = c.ref(f); err != nil {
			return err
		}
		if x.after, err = f.take("after_step").int(1, 1, len(fu.steps)); err != nil {
			return err
		}
		before := f.take("before_step")
		if x.before, err = before.int(len(fu.steps), 1, len(fu.steps)); err != nil {
			return err
		}
		if x.before <= x.after {
			return before.bad("this must be a step after after_step, which is %d", x.after)
		}
		fu.exclude = append(fu.exclude, x)
		if err := f.done(); err != nil {
			return err
		}
	}
	return nil
}

// pass plans the reading: a bit for each step, then for each exclusion, then,
// for the first ever start, none more: step 1 is read at any time.
func (fu *funnel) pass() *pass {
	p := &pass{refs: append([]*ref{}, fu.steps...), within: fu.within, other: fu.order == strict}
	for _, x := range fu.exclude {
		p.refs = append(p.refs, x.ref)
	}
	for _, key := range fu.hold {
		p.dims = append(p.dims, dimension{key: key})
	}
	if fu.windowOf != "" {
		p.numbers = []string{fu.windowOf}
	}
	if fu.first {
		p.within.from = ever().from
	}
	return p
}
