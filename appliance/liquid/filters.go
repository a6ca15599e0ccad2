package liquid

import (
	"fmt"
)

// filter is one filter: how many arguments it takes and what it does.
type filter struct {
	least, most int
	apply       func(c *call, v any) (any, error)
}

func (f filter) arity() string {
	switch {
	case f.most == 0:
		return "no arguments"
	case f.least == f.most:
		return fmt.Sprintf("%d arguments", f.least)
	}
	return fmt.Sprintf("%d to %d arguments", f.least, f.most)
}

// call is one use of a filter.
type call struct {
	r     *render
	args  []any
	named map[string]any
}

// arg is an argument, nil where it was left out.
func (c *call) arg(i int) any {
	if i >= len(c.args) {
		return nil
	}
	return plainText(normal(c.args[i]))
}

// text is v as text, counted.
func (c *call) text(v any) (string, error) {
	s := toText(v)
	return s, c.r.made(len(s))
}

// list is v as a list: lists in it dissolved, anything else its only element.
func (c *call) list(v any) ([]any, error) {
	var out []any
	var add func(v any, depth int) error
	add = func(v any, depth int) error {
		if depth > maxDepth {
			return c.r.fail("lists nested deeper than %d", maxDepth)
		}
		switch x := normal(v).(type) {
		case []any:
			for _, e := range x {
				if err := c.r.step(1); err != nil {
					return err
				}
				if err := add(e, depth+1); err != nil {
					return err
				}
			}
			return nil
		case span:
			if x.size() > int64(c.r.o.Limits.Steps) {
				return c.r.past("too many steps")
			}
			for i := range x.size() {
				if err := add(x.from+i, depth+1); err != nil {
					return err
				}
			}
			return c.r.step(int(x.size()))
		default:
			out = append(out, x)
			return c.r.made(16)
		}
	}
	if v == nil {
		return nil, nil
	}
	err := add(v, 0)
	return out, err
}

// filters are all there are, by name. It is filled where each is written.
var filters = map[string]filter{}

func define(least, most int, name string, apply func(c *call, v any) (any, error)) {
	filters[name] = filter{least, most, apply}
}
