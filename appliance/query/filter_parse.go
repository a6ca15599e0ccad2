package query

import (
	"regexp"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

const maxChoices = 10_000

// test reads {"op", "value", "case"} beside what the caller has taken.
func (c *parser) test(f *fields) (*test, error) {
	opNode, err := f.need("op")
	if err != nil {
		return nil, err
	}
	i, err := opNode.oneOf(0, opNames...)
	if err != nil {
		return nil, err
	}
	t := &test{op: op(i), cal: c.cal}
	if t.op.textual() && t.op != opMatches {
		exact, err := f.take("case").bool()
		if err != nil {
			return nil, err
		}
		t.fold = !exact
	}
	value := f.take("value")
	switch t.op {
	case opExists, opNotExists:
		if !value.absent() {
			return nil, value.bad("%s takes no value", opNames[t.op])
		}
		return t, nil
	case opIn, opNotIn, opBetween:
		if value.absent() {
			return nil, fail(CodeMissing, value.path, "%s needs a list of values", opNames[t.op])
		}
		list, err := value.list(maxChoices)
		if err != nil {
			return nil, err
		}
		if t.op == opBetween && len(list) != 2 {
			return nil, value.bad("between needs two values, the lowest and the highest")
		}
		for _, n := range list {
			if err := t.operand(n); err != nil {
				return nil, err
			}
		}
		return t, nil
	}
	if value.absent() {
		return nil, fail(CodeMissing, value.path, "%s needs a value; for a missing property ask not_exists", opNames[t.op])
	}
	if err := t.operand(value); err != nil {
		return nil, err
	}
	switch {
	case t.op == opBefore || t.op == opAfter:
		if !t.values[0].isDate {
			return nil, value.bad("%s needs a date or an instant", opNames[t.op])
		}
	case t.op.textual():
		t.text, _ = plain(value.v)
		if t.fold {
			t.text = strings.ToLower(t.text)
		}
		if t.op == opMatches {
			if len(t.text) > 1000 {
				return nil, value.bad("the expression is longer than 1000 bytes")
			}
			if t.re, err = regexp.Compile(t.text); err != nil {
				return nil, value.bad("not an RE2 expression: %v", err)
			}
		}
	}
	return t, nil
}

func (t *test) operand(n node) error {
	switch n.v.Kind() {
	case event.Null, event.List, event.Object:
		return n.wrong("a text, a number, true or false")
	}
	t.values = append(t.values, t.cal.operand(n.v))
	return nil
}

// filter reads F; nil where it was left out.
func (c *parser) filter(n node) (*filter, error) {
	if n.absent() {
		return nil, nil
	}
	f, err := n.fields()
	if err != nil {
		return nil, err
	}
	if err := c.count(n); err != nil {
		return nil, err
	}
	out := &filter{}
	switch {
	case f.has("all"), f.has("any"):
		key := "any"
		out.joint = anyOf
		if f.has("all") {
			key, out.joint = "all", allOf
		}
		list, err := f.take(key).needList(1000)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if err := c.sub(out, e); err != nil {
				return nil, err
			}
		}
	case f.has("not"):
		out.joint = notOf
		if err := c.sub(out, f.take("not")); err != nil {
			return nil, err
		}
	default:
		if out.leaf, err = c.leaf(f); err != nil {
			return nil, err
		}
	}
	return out, f.done()
}

func (c *parser) sub(f *filter, n node) error {
	if n.absent() {
		return fail(CodeMissing, n.path, "a filter is needed here")
	}
	s, err := c.filter(n)
	f.subs = append(f.subs, s)
	return err
}

func (c *parser) leaf(f *fields) (leaf, error) {
	l := leaf{id: c.leaves}
	c.leaves++
	var err error
	if l.key, err = f.property(); err != nil {
		return l, err
	}
	p, err := f.take("of").oneOf(0, placeNames[:ofPerson]...)
	if err != nil {
		return l, err
	}
	l.place = place(p)
	if l.place == ofClock && l.key != timeMinute && l.key != timeWeekday {
		return l, fail(CodeValue, join(f.path, "property"), "of time there are minute (of the day) and weekday (1 = Monday)")
	}
	l.test, err = c.test(f)
	return l, err
}

func (f *fields) property() (string, error) {
	n, err := f.need("property")
	if err != nil {
		return "", err
	}
	return n.propertyName()
}

func (n node) propertyName() (string, error) {
	s, err := n.text()
	if err == nil && s == "" {
		return "", n.bad("a property has a name")
	}
	return s, err
}

func (n node) needList(high int) ([]node, error) {
	if n.absent() {
		return nil, n.wrong("a list")
	}
	return n.list(high)
}
