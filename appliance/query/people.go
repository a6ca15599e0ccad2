package query

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

type exprKind uint8

const (
	exprAll exprKind = iota
	exprAny
	exprNot
	exprAtLeast
	exprDid
	exprFirst
	exprLast
	exprFunnel
	exprProfile
	exprIdentity
	exprReachable
	exprConsent
	exprList
	exprRFM
)

// expr is a people expression.
type expr struct {
	kind exprKind
	subs []*expr
	k    int // at_least

	ref   *ref // did, first, last
	when  period
	back  bool // when counts back from now
	conds []condition

	funnel  *funnel
	step    int // from 1
	dropped bool

	leaf       leaf     // profile
	identities []string // identity
	purpose    string   // consent
	channel    string   // consent, reachable
	list       string
	rfm        *rfm
	group      int // of rfm
}

// condition is one of the conditions of a did: a measure of the person's
// occurrences against a test.
type condition struct {
	measure  measure
	property string
	test     *test
}

var conditionNames = []string{"count", "days", "sum", "avg", "min", "max", "distinct"}

var conditionMeasures = []measure{measureCount, measureDays, measureSum, measureAvg, measureMin, measureMax, measureDistinct}

// people reads P; nil where it was left out: everyone.
func (c *parser) people(n node) (*expr, error) {
	if n.absent() {
		return nil, nil
	}
	return c.expr(n)
}

var exprKeys = []string{"did", "did_not", "first", "last", "funnel", "profile", "identity", "segment", "reachable", "consent",
	"list", "rfm", "all", "any", "not", "at_least"}

func (c *parser) expr(n node) (*expr, error) {
	f, err := n.fields()
	if err != nil {
		return nil, err
	}
	if err := c.count(n); err != nil {
		return nil, err
	}
	key := ""
	for _, k := range exprKeys {
		if f.has(k) {
			key = k
			break
		}
	}
	if key == "" {
		if err := f.done(); err != nil {
			return nil, err
		}
		return nil, fail(CodeMissing, n.path, "a people expression is needed: did, profile, segment, all, ..")
	}
	e, err := c.exprOf(key, f.take(key), f)
	if err != nil {
		return nil, err
	}
	return e, f.done()
}

func (c *parser) exprOf(key string, v node, f *fields) (*expr, error) {
	switch key {
	case "did", "did_not", "first", "last":
		return c.occurrence(key, v, f)
	case "funnel":
		return c.exprFunnel(v, f)
	case "profile":
		g, err := v.fields()
		if err != nil {
			return nil, err
		}
		e := &expr{kind: exprProfile, leaf: leaf{id: c.leaves, place: ofProfile}}
		c.leaves++
		if e.leaf.key, err = g.property(); err != nil {
			return nil, err
		}
		if e.leaf.test, err = c.test(g); err != nil {
			return nil, err
		}
		return e, g.done()
	case "identity":
		list, err := v.needList(maxChoices)
		if err != nil {
			return nil, err
		}
		e := &expr{kind: exprIdentity}
		for _, id := range list {
			s, err := id.text()
			if err != nil {
				return nil, err
			}
			e.identities = append(e.identities, s)
		}
		return e, nil
	case "segment":
		return c.saved(v)
	case "reachable":
		i, err := v.oneOf(0, event.Channels...)
		if err != nil || v.absent() {
			return nil, orMissing(v, err)
		}
		return &expr{kind: exprReachable, channel: event.Channels[i]}, nil
	case "consent":
		g, err := v.fields()
		if err != nil {
			return nil, err
		}
		e := &expr{kind: exprConsent}
		purpose, err := g.need("purpose")
		if err != nil {
			return nil, err
		}
		if e.purpose, err = purpose.text(); err != nil {
			return nil, err
		}
		channel, err := g.need("channel")
		if err != nil {
			return nil, err
		}
		i, err := channel.oneOf(0, event.Channels...)
		if err != nil {
			return nil, err
		}
		e.channel = event.Channels[i]
		return e, g.done()
	case "list":
		name, err := v.text()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(c.lists, name) {
			return nil, v.bad("there is no list %q; these are: %s", clip(name), someOf(c.lists))
		}
		return &expr{kind: exprList, list: name}, nil
	case "rfm":
		return c.rfmGroup(v, f)
	}
	return c.joined(key, v, f)
}

func orMissing(n node, err error) error {
	if err != nil {
		return err
	}
	return fail(CodeMissing, n.path, "this is needed")
}

// joined reads all, any, not and at_least.
func (c *parser) joined(key string, v node, f *fields) (*expr, error) {
	e := &expr{}
	list := v
	switch key {
	case "not":
		sub, err := c.expr(v)
		return &expr{kind: exprNot, subs: []*expr{sub}}, err
	case "all":
		e.kind = exprAll
	case "any":
		e.kind = exprAny
	case "at_least":
		e.kind = exprAtLeast
		if v.absent() {
			return nil, v.wrong("a number")
		}
		var err error
		if e.k, err = v.int(0, 0, 1000); err != nil {
			return nil, err
		}
		if list, err = f.need("of"); err != nil {
			return nil, err
		}
	}
	subs, err := list.needList(1000)
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		sub, err := c.expr(s)
		if err != nil {
			return nil, err
		}
		e.subs = append(e.subs, sub)
	}
	return e, nil
}

// occurrence reads did, did_not, first and last.
func (c *parser) occurrence(key string, v node, f *fields) (*expr, error) {
	r, err := c.onlyRef(v)
	if err != nil {
		return nil, err
	}
	e := &expr{kind: exprDid, ref: r}
	if e.when, e.back, err = c.when(f.take("in")); err != nil {
		return nil, err
	}
	switch key {
	case "did_not":
		return &expr{kind: exprNot, subs: []*expr{e}}, nil
	case "first":
		e.kind = exprFirst
		return e, nil
	case "last":
		e.kind = exprLast
		return e, nil
	}
	for i, name := range conditionNames {
		n := f.take(name)
		if n.absent() {
			continue
		}
		cond, err := c.condition(n, conditionMeasures[i])
		if err != nil {
			return nil, err
		}
		e.conds = append(e.conds, cond)
	}
	return e, nil
}

func (c *parser) condition(n node, m measure) (condition, error) {
	cond := condition{measure: m}
	f, err := n.fields()
	if err != nil {
		return cond, err
	}
	if m != measureCount && m != measureDays {
		if cond.property, err = f.property(); err != nil {
			return cond, err
		}
	}
	if cond.test, err = c.test(f); err != nil {
		return cond, err
	}
	switch cond.test.op {
	case opEq, opNe, opLt, opLe, opGt, opGe, opIn, opNotIn, opBetween:
	default:
		return cond, join2(n, "op").bad("%s does not compare numbers", opNames[cond.test.op])
	}
	for _, v := range cond.test.values {
		if !v.isNum {
			return cond, join2(n, "value").wrong("a number")
		}
	}
	return cond, f.done()
}

func join2(n node, key string) node { return node{path: join(n.path, key)} }

// exprFunnel reads {"funnel": {..}, "step": k, "dropped": false}.
func (c *parser) exprFunnel(v node, f *fields) (*expr, error) {
	g, err := v.fields()
	if err != nil {
		return nil, err
	}
	e := &expr{kind: exprFunnel}
	if e.funnel, err = c.nestedFunnel(g); err != nil {
		return nil, err
	}
	if err := g.done(); err != nil {
		return nil, err
	}
	e.step, e.dropped, err = c.reached(f, len(e.funnel.steps))
	return e, err
}

// reached reads {"step", "dropped"}.
func (c *parser) reached(f *fields, steps int) (step int, dropped bool, err error) {
	n := f.take("step")
	if step, err = n.int(steps, 1, steps); err != nil {
		return 0, false, err
	}
	if dropped, err = f.take("dropped").bool(); err != nil {
		return 0, false, err
	}
	if dropped && step == 1 {
		return 0, false, n.bad("nobody drops out before step 1: with dropped take step 2 or later")
	}
	return step, dropped, nil
}

// saved reads a saved segment in place of its name.
func (c *parser) saved(n node) (*expr, error) {
	name, err := n.text()
	if err != nil {
		return nil, err
	}
	if err := c.enter(n, saved{"segment", name}); err != nil {
		return nil, err
	}
	defer c.leave()
	var text []byte
	ok := false
	if c.segment != nil {
		text, ok = c.segment(name)
	}
	if !ok {
		return nil, n.bad("there is no segment %q", clip(name))
	}
	v, err := parseText(text)
	if err != nil {
		return nil, err
	}
	inner := node{v, n.path}
	if v.Kind() == event.Object {
		if p := event.Lookup(v.Object(), "people"); !p.IsNull() {
			inner.v = p // saved as a whole question
		}
	}
	// The question's filter is joined to the references in the question, and
	// those of a saved segment are not in it.
	top := c.top
	defer func() { c.top = top }()
	c.top = nil
	return c.expr(inner)
}
