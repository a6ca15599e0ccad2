package oracle

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// object is a part of a question, as encoding/json reads it.
type object = map[string]any

// naive evaluates one question the slow and obvious way.
type naive struct {
	w   *world
	loc *time.Location
	now int64
	top object // the filter beside kind, or nil
	// sunday says that weeks start then.
	sunday bool
	groups map[string]map[*someone]string // of saved rfms, once asked for
}

// textOf is a scalar as text; ok is false for lists, objects and nothing.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case int:
		return strconv.Itoa(v), true
	case bool:
		return strconv.FormatBool(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	}
	return "", false
}

func isNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}

// numberOf is a number, or the text of one.
func numberOf(v any) (float64, bool) {
	if s, ok := v.(string); ok {
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	return isNumber(v)
}

// instantOf is the instant of what is like a date.
func (n *naive) instantOf(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		if t, err := time.Parse("2006-01-02", v); err == nil {
			return n.dayStart(t.Format("2006-01-02")), true
		}
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// compare orders two values, if they can be.
func (n *naive) compare(a, b any) (int, bool) {
	_, numA := isNumber(a)
	_, numB := isNumber(b)
	if numA || numB {
		x, ok1 := numberOf(a)
		y, ok2 := numberOf(b)
		return cmp.Compare(x, y), ok1 && ok2
	}
	if x, ok := n.instantOf(a); ok {
		if y, ok := n.instantOf(b); ok {
			return x.Compare(y), true
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	}
	if x, ok := a.(bool); ok {
		if y, ok := b.(bool); ok && x == y {
			return 0, true
		} else if ok {
			return map[bool]int{true: 1, false: -1}[x], true
		}
	}
	return 0, false
}

// holds is one condition {"op", "value", "case"} on a property's value.
func (n *naive) holds(test object, v any) bool {
	op := test["op"].(string)
	negative := op == "!=" || op == "not_in" || op == "not_contains" || op == "not_exists"
	switch op {
	case "exists":
		return v != nil
	case "not_exists":
		return v == nil
	}
	if v == nil {
		return negative
	}
	if list, ok := v.([]any); ok {
		for _, e := range list {
			if !negative && n.holds(test, e) {
				return true
			}
			if negative && !n.holds(test, e) {
				return false
			}
		}
		return negative
	}
	want := test["value"]
	order, comparable := n.compare(v, want)
	switch op {
	case "=":
		return comparable && order == 0
	case "!=":
		return !(comparable && order == 0)
	case "<":
		return comparable && order < 0
	case "<=":
		return comparable && order <= 0
	case ">":
		return comparable && order > 0
	case ">=":
		return comparable && order >= 0
	case "in", "not_in":
		in := false
		for _, e := range want.([]any) {
			order, comparable := n.compare(v, e)
			in = in || comparable && order == 0
		}
		return in == (op == "in")
	case "between":
		low, ok1 := n.compare(v, want.([]any)[0])
		high, ok2 := n.compare(v, want.([]any)[1])
		return ok1 && ok2 && low >= 0 && high <= 0
	case "before", "after":
		x, ok := n.instantOf(v)
		y, _ := n.instantOf(want)
		return ok && (op == "before" && x.Before(y) || op == "after" && x.After(y))
	}
	text, ok := textOf(v)
	if !ok {
		return negative
	}
	sought, _ := textOf(want)
	if op == "matches" {
		return regexp.MustCompile(sought).MatchString(text)
	}
	if test["case"] != true {
		text, sought = strings.ToLower(text), strings.ToLower(sought)
	}
	switch op {
	case "contains":
		return strings.Contains(text, sought)
	case "not_contains":
		return !strings.Contains(text, sought)
	case "starts_with":
		return strings.HasPrefix(text, sought)
	case "ends_with":
		return strings.HasSuffix(text, sought)
	}
	panic("no op " + op)
}

func itemsOf(o occurrence) []any {
	items := o.props["Items"]
	if items == nil {
		items = o.props["items"]
	}
	switch items := items.(type) {
	case []any:
		return items
	case map[string]any:
		return []any{items}
	}
	return nil
}

// filter is F on an event; nil holds always.
func (n *naive) filter(f any, o occurrence, p *someone) bool {
	if f == nil {
		return true
	}
	fo := f.(object)
	if all, ok := fo["all"]; ok {
		for _, e := range all.([]any) {
			if !n.filter(e, o, p) {
				return false
			}
		}
		return true
	}
	if some, ok := fo["any"]; ok {
		for _, e := range some.([]any) {
			if n.filter(e, o, p) {
				return true
			}
		}
		return false
	}
	if not, ok := fo["not"]; ok {
		return !n.filter(not, o, p)
	}
	key := fo["property"].(string)
	switch fo["of"] {
	case "profile":
		return n.holds(fo, p.profile[key])
	case "time":
		t := time.UnixMicro(o.time).In(n.loc)
		if key == "weekday" {
			return n.holds(fo, map[string]int{"Mon": 1, "Tue": 2, "Wed": 3, "Thu": 4, "Fri": 5, "Sat": 6, "Sun": 7}[t.Format("Mon")])
		}
		return n.holds(fo, t.Hour()*60+t.Minute())
	case "item":
		for _, it := range itemsOf(o) {
			if m, ok := it.(map[string]any); ok && n.holds(fo, m[key]) {
				return true
			}
		}
		return false
	}
	return n.holds(fo, o.props[key])
}

// named says whether an event is one that a reference names.
func named(ref object, o occurrence) bool {
	if ref["event"] == nil {
		return !event.Own(o.name)
	}
	return ref["event"] == o.name
}

// fits says whether an event is one that a reference means.
func (n *naive) fits(ref object, o occurrence, p *someone) bool {
	if !named(ref, o) || !n.filter(ref["filter"], o, p) {
		return false
	}
	return n.top == nil || n.filter(n.top, o, p)
}

// same makes a value comparable by ==: two are the same if their kinds and
// contents are.
func same(v any) string {
	if v == nil {
		return ""
	}
	if f, ok := isNumber(v); ok {
		return fmt.Sprintf("number %v", f)
	}
	if t, ok := v.(time.Time); ok {
		return "time " + t.String()
	}
	if list, ok := v.([]any); ok {
		out := "list"
		for _, e := range list {
			out += fmt.Sprintf(" <%s>", same(e))
		}
		return out
	}
	return fmt.Sprintf("%T %v", v, v)
}
