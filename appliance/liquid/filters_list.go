package liquid

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

func init() {
	define(0, 1, "default", func(c *call, v any) (any, error) {
		allowed := truthy(normal(c.named["allow_false"])) && v == false
		if v == nil || v == false && !allowed || v != any(emptyValue{}) && isEmpty(v) {
			return c.arg(0), nil
		}
		return v, nil
	})
	define(0, 0, "size", func(c *call, v any) (any, error) {
		switch x := plainText(normal(v)).(type) {
		case string:
			return int64(utf8.RuneCountInString(x)), nil
		case []any:
			return int64(len(x)), nil
		case span:
			return x.size(), nil
		case Keyed:
			return int64(len(x.Keys())), nil
		}
		return int64(0), nil
	})
	define(0, 0, "first", func(c *call, v any) (any, error) { return index(v, dotted("first")), nil })
	define(0, 0, "last", func(c *call, v any) (any, error) {
		if _, ok := normal(v).(Lookup); ok {
			return nil, nil
		}
		return index(v, dotted("last")), nil
	})
	define(0, 1, "join", join)
	define(0, 0, "reverse", func(c *call, v any) (any, error) {
		l, err := c.list(v)
		slices.Reverse(l)
		return l, err
	})
	define(1, 1, "concat", func(c *call, v any) (any, error) {
		switch c.arg(0).(type) {
		case []any, span:
		default:
			return nil, c.r.fail("concat takes a list")
		}
		a, err := c.list(v)
		if err != nil {
			return nil, err
		}
		b, err := c.list(c.arg(0))
		return append(a, b...), err
	})
	define(0, 1, "compact", func(c *call, v any) (any, error) {
		return c.keep(v, func(_ int, e, key any) (bool, error) { return key != nil, nil })
	})
	define(0, 1, "uniq", func(c *call, v any) (any, error) {
		var seen []any
		return c.keep(v, func(_ int, e, key any) (bool, error) {
			if err := c.r.step(len(seen)); err != nil {
				return false, err
			}
			if slices.ContainsFunc(seen, func(s any) bool { return equal(s, key) }) {
				return false, nil
			}
			seen = append(seen, key)
			return true, nil
		})
	})
	define(1, 1, "map", mapped)
	define(0, 1, "sum", sum)
	define(0, 1, "sort", func(c *call, v any) (any, error) {
		return c.sort(v, func(a, b any) (int, bool) {
			return order(a, b)
		})
	})
	define(0, 1, "sort_natural", func(c *call, v any) (any, error) {
		return c.sort(v, func(a, b any) (int, bool) {
			return strings.Compare(strings.ToLower(shown(a)), strings.ToLower(shown(b))), true
		})
	})
	define(1, 2, "where", func(c *call, v any) (any, error) { return c.filtered(v, true) })
	define(1, 2, "reject", func(c *call, v any) (any, error) { return c.filtered(v, false) })
	define(1, 2, "find", func(c *call, v any) (any, error) {
		e, _, _, err := c.find(v)
		return e, err
	})
	define(1, 2, "find_index", func(c *call, v any) (any, error) {
		_, i, _, err := c.find(v)
		if i < 0 {
			return nil, err
		}
		return int64(i), err
	})
	define(1, 2, "has", func(c *call, v any) (any, error) {
		_, i, none, err := c.find(v)
		if none {
			return nil, err
		}
		return i >= 0, err
	})
	define(1, 2, "slice", sliced)
}

// shown is the text of an element in comparisons without regard to case.
func shown(v any) string { return toText(v) }

func join(c *call, v any) (any, error) {
	l, err := c.list(v)
	if err != nil {
		return nil, err
	}
	sep := " "
	if len(c.args) > 0 {
		sep = toText(c.arg(0))
	}
	var b strings.Builder
	for i, e := range l {
		if i > 0 {
			b.WriteString(sep)
		}
		s := toText(e)
		if err := c.r.made(len(s) + len(sep)); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// errNothing ends a filter without a result: an element has no properties.
var errNothing = errors.New("no properties")

// property is an element's property, as the filters over lists understand it.
func (c *call) property(e, key any) (any, error) {
	switch x := plainText(normal(e)).(type) {
	case Lookup:
		if s, ok := key.(string); ok {
			v, _ := x.Get(s)
			return normal(v), nil
		}
		return nil, nil
	case string:
		s, ok := key.(string)
		if !ok {
			return nil, errNothing
		}
		if strings.Contains(x, s) {
			return s, nil
		}
		return nil, nil
	case int64, float64:
		if equal(x, key) {
			return true, nil
		}
		if _, ok := key.(string); ok {
			return nil, c.r.fail("a number has no properties")
		}
		return nil, nil
	}
	return nil, errNothing
}

// matches says whether an element is one that where, reject, find and has mean.
func (c *call) matches(e any) (bool, error) {
	p, err := c.property(e, c.arg(0))
	if err != nil {
		return false, err
	}
	if want := c.arg(1); want != nil {
		return equal(p, want), nil
	}
	return truthy(p), nil
}

func (c *call) filtered(v any, want bool) (any, error) {
	l, err := c.list(v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, e := range l {
		if err := c.r.step(1); err != nil {
			return nil, err
		}
		ok, err := c.matches(e)
		if err == errNothing {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if ok == want {
			out = append(out, e)
		}
	}
	return out, nil
}

// find gives the first element that matches, or -1; none says that the list
// holds something that cannot be asked.
func (c *call) find(v any) (e any, i int, none bool, err error) {
	l, err := c.list(v)
	if err != nil {
		return nil, -1, false, err
	}
	for i, e := range l {
		if err := c.r.step(1); err != nil {
			return nil, -1, false, err
		}
		ok, err := c.matches(e)
		if err == errNothing {
			return nil, -1, true, nil
		}
		if err != nil {
			return nil, -1, false, err
		}
		if ok {
			return e, i, false, nil
		}
	}
	return nil, -1, false, nil
}

// key is what an element is compared by: itself, or the property that is named.
func (c *call) key(e any) (any, error) {
	if c.arg(0) == nil {
		return e, nil
	}
	if l, ok := normal(e).(Lookup); ok {
		v, _ := l.Get(toText(c.arg(0)))
		return normal(v), nil
	}
	return nil, c.r.fail("an element has no properties")
}

func (c *call) keep(v any, keep func(i int, e, key any) (bool, error)) (any, error) {
	l, err := c.list(v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for i, e := range l {
		key, err := c.key(e)
		if err != nil {
			return nil, err
		}
		ok, err := keep(i, e, key)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

func mapped(c *call, v any) (any, error) {
	l, err := c.list(v)
	if err != nil {
		return nil, err
	}
	out := make([]any, 0, len(l))
	for _, e := range l {
		x, ok := normal(e).(Lookup)
		if !ok {
			return nil, c.r.fail("map: an element has no properties")
		}
		var p any
		if key, ok := c.arg(0).(string); ok {
			p, _ = x.Get(key)
		}
		out = append(out, normal(p))
	}
	return out, nil
}

func sum(c *call, v any) (any, error) {
	l, err := c.list(v)
	if err != nil {
		return nil, err
	}
	total := any(int64(0))
	for _, e := range l {
		key, err := c.key(e)
		if err != nil {
			return nil, err
		}
		plus := &call{r: c.r, args: []any{numberOr0(key)}}
		if total, err = filters["plus"].apply(plus, total); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// sort sorts by the elements or their property; what has none comes last.
func (c *call) sort(v any, compare func(a, b any) (int, bool)) (any, error) {
	l, err := c.list(v)
	if err != nil {
		return nil, err
	}
	// As many comparisons as it may take, counted before they are made.
	for n := len(l); n > 1; n /= 2 {
		if err := c.r.step(len(l)); err != nil {
			return nil, err
		}
	}
	type keyed struct{ e, key any }
	all := make([]keyed, len(l))
	for i, e := range l {
		key, err := c.key(e)
		if err != nil {
			return nil, err
		}
		all[i] = keyed{e, key}
	}
	ok := true
	slices.SortStableFunc(all, func(a, b keyed) int {
		if a.key == nil || b.key == nil {
			return cmp.Compare(rank(a.key), rank(b.key))
		}
		n, can := compare(a.key, b.key)
		ok = ok && can
		return n
	})
	if !ok {
		return nil, c.r.fail("sort: elements of different kinds")
	}
	for i := range all {
		l[i] = all[i].e
	}
	return l, nil
}

func rank(v any) int {
	if v == nil {
		return 1
	}
	return 0
}

func sliced(c *call, v any) (any, error) {
	from, err := c.wholeNumber(0)
	if err != nil {
		return nil, err
	}
	n := int64(1)
	if c.arg(1) != nil {
		if n, err = c.wholeNumber(1); err != nil {
			return nil, err
		}
	}
	if l, ok := normal(v).([]any); ok {
		from, to := cut(from, n, int64(len(l)))
		return l[from:to:to], nil
	}
	s, err := c.text(v)
	if err == nil {
		err = c.r.made(4 * len(s))
	}
	if err != nil {
		return nil, err
	}
	r := []rune(s)
	from, to := cut(from, n, int64(len(r)))
	return string(r[from:to]), nil
}

func (c *call) wholeNumber(i int) (int64, error) {
	if n, ok := number(c.arg(i)).(int64); ok {
		return n, nil
	}
	return 0, c.r.fail("slice: not a whole number")
}

// cut is where a slice of n from from begins and ends in something of that size.
func cut(from, n, size int64) (int64, int64) {
	if from < 0 {
		from += size
	}
	if from < 0 || from >= size || n <= 0 {
		return 0, 0
	}
	return from, from + min(n, size-from)
}
