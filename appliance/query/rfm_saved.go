package query

import (
	"maps"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// CheckRFM says whether the text of an rfm can be saved: nil, or an *Error. It
// is an rfm question without compare, and without now, timezone and
// week_starts, which are those of whoever asks for its groups. Of env count
// what CheckPeople looks at.
func CheckRFM(question []byte, env Env) error {
	env = env.withDefaults()
	c := &parser{}
	if err := c.shared(&fields{}, &env); err != nil {
		return err
	}
	_, err := c.rfmOf(question, "")
	return err
}

// rfmOf reads the text of a saved rfm. The filter beside its fields is joined
// to its own references, and no other is.
func (c *parser) rfmOf(text []byte, path string) (*rfm, error) {
	v, err := parseText(text)
	if err != nil {
		return nil, err
	}
	f, err := node{v, path}.fields()
	if err != nil {
		return nil, err
	}
	if _, err := f.take("kind").oneOf(0, "rfm"); err != nil {
		return nil, err
	}
	top := c.top
	defer func() { c.top = top }()
	c.top = nil
	if c.top, err = c.filter(f.take("filter")); err != nil {
		return nil, err
	}
	r, err := c.rfm(f)
	if err != nil {
		return nil, err
	}
	return r, f.done()
}

// rfmGroup reads {"rfm": GROUP, "of": NAME}: of which saved rfm may be left out
// where there is one.
func (c *parser) rfmGroup(v node, f *fields) (*expr, error) {
	group, err := v.text()
	if err != nil {
		return nil, err
	}
	of := f.take("of")
	name, err := of.textOr("")
	if err != nil {
		return nil, err
	}
	var all map[string][]byte
	if c.rfms != nil {
		all = c.rfms()
	}
	names := slices.Sorted(maps.Keys(all))
	switch {
	case len(all) == 0:
		return nil, v.bad("no rfm is saved")
	case of.absent() && len(all) > 1:
		return nil, fail(CodeMissing, of.path, "several are saved, so one must be named: %s", someOf(names))
	case of.absent():
		name = names[0]
	case all[name] == nil:
		return nil, of.bad("there is no saved rfm %q; these are: %s", clip(name), someOf(names))
	}
	r := c.scored[name]
	if r == nil {
		if err := c.enter(v, saved{"rfm", name}); err != nil {
			return nil, err
		}
		if r, err = c.rfmOf(all[name], v.path); err != nil {
			return nil, err
		}
		c.leave()
		if c.scored == nil {
			c.scored = map[string]*rfm{}
		}
		c.scored[name] = r
	}
	at := slices.IndexFunc(r.groups, func(g rfmGroup) bool { return g.name == group })
	if at < 0 {
		var have []string
		for _, g := range r.groups {
			have = append(have, g.name)
		}
		return nil, v.bad("the rfm %q has no group %q; these are: %s", clip(name), clip(group), someOf(have))
	}
	return &expr{kind: exprRFM, rfm: r, group: at}, nil
}

// group gives the people of a group of a saved rfm, which is scored once for
// all its groups.
func (q *run) group(r *rfm, at int) (*roaring.Bitmap, error) {
	if q.scored[r] == nil {
		groups, err := r.members(q)
		if err != nil {
			return nil, err
		}
		if q.scored == nil {
			q.scored = map[*rfm][]*roaring.Bitmap{}
		}
		q.scored[r] = groups
	}
	return q.scored[r][at], nil
}
