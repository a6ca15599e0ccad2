package oracle

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// asked is one question on its way to SQL.
type asked struct {
	b *sides
	q object
}

func (a *asked) zone() string {
	if z, ok := a.q["timezone"].(string); ok {
		return z
	}
	return a.b.zone
}

func (a *asked) now() int64 {
	if s, ok := a.q["now"].(string); ok {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		return t.UnixMicro()
	}
	return a.b.now.UnixMicro()
}

// literal is a value of a question in SQL.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return text(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}

// column is a property or attribute as a column, and its type.
func (a *asked) column(key, of string) (column, typ string) {
	if of == "profile" {
		return ident("w_" + key), a.b.profile[key]
	}
	return ident("p_" + key), a.b.props[key]
}

func join(list []any, by, none string, one func(any) string) string {
	if len(list) == 0 {
		return none
	}
	var out []string
	for _, e := range list {
		out = append(out, one(e))
	}
	return "(" + strings.Join(out, by) + ")"
}

// filter is F as a condition that is never NULL.
func (a *asked) filter(f any) string {
	o := f.(object)
	if list, ok := o["all"].([]any); ok {
		return join(list, " and ", "true", a.filter)
	}
	if list, ok := o["any"].([]any); ok {
		return join(list, " or ", "false", a.filter)
	}
	if not, ok := o["not"]; ok {
		return "(not " + a.filter(not) + ")"
	}
	of, _ := o["of"].(string)
	column, typ := a.column(o["property"].(string), of)
	return condition(column, typ, o)
}

// condition is one test of a column. A list holds where an element does, a
// negative op where all do.
func condition(column, typ string, o object) string {
	op := o["op"].(string)
	switch op {
	case "exists":
		return "(" + column + " is not null)"
	case "not_exists":
		return "(" + column + " is null)"
	}
	negative := map[string]string{"!=": "=", "not_in": "in", "not_contains": "contains"}[op]
	if negative != "" {
		return "(not " + condition(column, typ, object{"op": negative, "value": o["value"], "case": o["case"]}) + ")"
	}
	test := column
	if strings.HasSuffix(typ, "[]") {
		test = "x"
	}
	var c string
	fold := func(s string) string {
		if o["case"] == true {
			return s
		}
		return "lower(" + s + ")"
	}
	switch op {
	case "=", "<", "<=", ">", ">=":
		c = fmt.Sprintf("%s %s %s", test, op, literal(o["value"]))
	case "in":
		c = test + " in " + join(o["value"].([]any), ", ", "(null)", literal)
	case "between":
		list := o["value"].([]any)
		c = fmt.Sprintf("%s between %s and %s", test, literal(list[0]), literal(list[1]))
	case "contains", "starts_with", "ends_with":
		c = fmt.Sprintf("%s(%s, %s)", op, fold(test), fold(literal(o["value"])))
	case "matches":
		c = fmt.Sprintf("regexp_matches(%s, %s)", test, literal(o["value"]))
	default:
		panic("no SQL for the op " + op)
	}
	if test == "x" {
		c = fmt.Sprintf("len(list_filter(%s, lambda x: %s)) > 0", column, c)
	}
	return "coalesce(" + c + ", false)"
}

// ref is the condition of an event reference, the filter beside kind joined.
func (a *asked) ref(r object) string {
	c := "true" // no set has events of the appliance's own
	if name, ok := r["event"].(string); ok {
		c = "name = " + text(name)
	}
	for _, f := range []any{r["filter"], a.q["filter"]} {
		if f != nil {
			c += " and " + a.filter(f)
		}
	}
	return c
}

// micros is a fixed length.
func micros(l object) int64 {
	unit := map[string]int64{"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}[l["unit"].(string)]
	if unit == 0 {
		panic("no SQL for windows of calendar lengths")
	}
	return int64(number(l["n"])) * unit * 1_000_000
}

// edge is a from or to in microseconds; the end of a date where it is a to.
func (a *asked) edge(s string, end bool) string {
	if strings.Contains(s, "T") {
		return fmt.Sprintf("epoch_us(timestamptz %s)", text(s))
	}
	day := "timestamp " + text(s)
	if end {
		day += " + interval 1 day"
	}
	return fmt.Sprintf("epoch_us(timezone(%s, %s))", text(a.zone()), day)
}

// in is the condition of lying in a range.
func (a *asked) in(o object) string {
	c := "true"
	if s, ok := o["from"].(string); ok {
		c += " and us >= " + a.edge(s, false)
	}
	if s, ok := o["to"].(string); ok {
		c += " and us < " + a.edge(s, true)
	}
	return c
}

// when is the condition of WHEN, and whether it counts back from now.
func (a *asked) when(w any) (c string, back bool) {
	o, ok := w.(object)
	if !ok {
		return "true", false
	}
	if last, ok := o["last"].(object); ok {
		return fmt.Sprintf("us between %d and %d", a.now()-micros(last), a.now()), true
	}
	return a.in(o), false
}
