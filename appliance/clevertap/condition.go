package clevertap

import (
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// condition is one {name, operator, value}.
type condition struct {
	path   string
	name   string
	op     string // of the vendor
	values []event.Value
}

func readCondition(path string, o []event.Prop) (condition, error) {
	c := condition{path: path, op: "equals"}
	if err := known(path, o, "name", "operator", "value"); err != nil {
		return c, err
	}
	if c.name = event.Lookup(o, "name").Text(); c.name == "" || len(c.name) > 1024 {
		return c, wrong("%s: the name of a property is needed", join(path, "name"))
	}
	if v := event.Lookup(o, "operator"); !v.IsNull() {
		c.op = strings.ToLower(v.Text())
	}
	v := event.Lookup(o, "value")
	switch v.Kind() {
	case event.Null:
	case event.List:
		c.values = v.List()
	default:
		c.values = []event.Value{v}
	}
	if len(c.values) > maxValues {
		return c, wrong("%s: %d values, and at most %d are taken", join(path, "value"), len(c.values), maxValues)
	}
	for _, v := range c.values {
		if k := v.Kind(); k == event.Null || k == event.List || k == event.Object {
			return c, wrong("%s: a text, a number, or a list of these is needed", join(path, "value"))
		}
	}
	return c, nil
}

var ordering = map[string]string{"greater_than": ">", "greater_than_equals": ">=", "less_than": "<", "less_than_equals": "<="}

// test makes F or P of a condition; leaf says what a single test looks like,
// with a nil value where the op takes none.
func (c *condition) test(leaf func(op string, value any) any) (any, error) {
	switch c.op {
	case "exists", "does_not_exist":
		// Clients send a value with it now and then; it says nothing.
		if c.op == "exists" {
			return leaf("exists", nil), nil
		}
		return leaf("not_exists", nil), nil
	}
	if len(c.values) == 0 {
		return nil, wrong("%s: a value is needed", join(c.path, "value"))
	}
	switch c.op {
	case "equals", "not_equals":
		var all []any
		for _, v := range c.values {
			all = append(all, operands(v)...)
		}
		one, many := "=", "in"
		if c.op == "not_equals" {
			one, many = "!=", "not_in"
		}
		if len(all) == 1 {
			return leaf(one, all[0]), nil
		}
		return leaf(many, all), nil
	case "contains", "does_not_contain":
		var subs []any
		for _, v := range c.values {
			text := v.Text()
			if v.Kind() != event.Text {
				text = v.String()
			}
			if c.op == "contains" {
				subs = append(subs, leaf("contains", text))
			} else {
				subs = append(subs, leaf("not_contains", text))
			}
		}
		if c.op == "contains" {
			return anyOf(subs), nil
		}
		return allOf(subs), nil
	case "between":
		if len(c.values) != 2 {
			return nil, wrong("%s: between takes two values", join(c.path, "value"))
		}
		return leaf("between", []any{operands(c.values[0])[0], operands(c.values[1])[0]}), nil
	}
	op, ok := ordering[c.op]
	if !ok {
		return nil, wrong("%s: there is no operator %q; there are equals, not_equals, contains, does_not_contain, exists, does_not_exist, greater_than, greater_than_equals, less_than, less_than_equals and between",
			join(c.path, "operator"), clip(c.op, 64))
	}
	if len(c.values) != 1 {
		return nil, wrong("%s: %s takes one value", join(c.path, "value"), c.op)
	}
	return leaf(op, operands(c.values[0])[0]), nil
}

// operands are what a value may be stored as: booleans are the texts True and
// False in the language, and dates $D_ and seconds.
func operands(v event.Value) []any {
	switch v.Kind() {
	case event.Bool:
		return boolean(v.Bool())
	case event.Int:
		return []any{v.Int()}
	case event.Float:
		f, _ := v.Number()
		return []any{f}
	}
	s := v.Text()
	switch s {
	case "True", "true":
		return boolean(true)
	case "False", "false":
		return boolean(false)
	}
	if rest, ok := strings.CutPrefix(s, "$D_"); ok {
		if sec, err := strconv.ParseInt(rest, 10, 64); err == nil && sec > -1<<40 && sec < 1<<40 {
			if t, err := time.Parse("20060102", rest); err == nil && len(rest) == 8 {
				return []any{t.Format(time.DateOnly)}
			}
			return []any{time.Unix(sec, 0).UTC().Format(time.RFC3339)}
		}
	}
	return []any{s}
}

func boolean(b bool) []any {
	if b {
		return []any{true, "True", "true"}
	}
	return []any{false, "False", "false"}
}

func allOf(subs []any) any {
	if len(subs) == 1 {
		return subs[0]
	}
	return node{"all": subs}
}

func anyOf(subs []any) any {
	if len(subs) == 1 {
		return subs[0]
	}
	return node{"any": subs}
}

// property is a test of a property of events: of "" or "item".
func property(name, of string) func(op string, value any) any {
	return func(op string, value any) any {
		f := node{"property": name, "op": op}
		if of != "" {
			f["of"] = of
		}
		if value != nil {
			f["value"] = value
		}
		return f
	}
}

// attribute is a test of an attribute of profiles, as an expression P.
func attribute(name string) func(op string, value any) any {
	return func(op string, value any) any {
		f := node{"property": name, "op": op}
		if value != nil {
			f["value"] = value
		}
		return node{"profile": f}
	}
}
