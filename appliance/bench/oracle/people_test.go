package oracle

import (
	"fmt"
	"strings"
)

// people is P as a condition on a row of who.
func (a *asked) people(p any) string {
	o, ok := p.(object)
	if !ok {
		return "true"
	}
	if list, ok := o["all"].([]any); ok {
		return join(list, " and ", "true", a.people)
	}
	if list, ok := o["any"].([]any); ok {
		return join(list, " or ", "false", a.people)
	}
	if not, ok := o["not"]; ok {
		return "(not " + a.people(not) + ")"
	}
	if k, ok := o["at_least"]; ok {
		return fmt.Sprintf("(%s >= %v)", join(o["of"].([]any), " + ", "0", func(e any) string { return a.people(e) + "::int" }), k)
	}
	if list, ok := o["identity"].([]any); ok {
		return `(root in (select root from root where "user" in ` + join(list, ", ", "(null)", literal) + "))"
	}
	if test, ok := o["profile"].(object); ok {
		key := test["property"].(string)
		return condition(ident(key), a.b.profile[key], test)
	}
	when, back := a.when(o["in"])
	for _, key := range []string{"first", "last"} {
		if ref, ok := o[key].(object); ok {
			known := "true"
			if back {
				known = fmt.Sprintf("us <= %d", a.now())
			}
			which := map[string]string{"first": "min", "last": "max"}[key]
			return fmt.Sprintf("(number in (select person from (select person, %s(us) as us from ev where %s and %s group by person) where %s))", which, a.ref(ref), known, when)
		}
	}
	if ref, ok := o["did_not"].(object); ok {
		return fmt.Sprintf("(number not in (select person from ev where %s and %s))", a.ref(ref), when)
	}
	ref := o["did"].(object)
	having := "true"
	for key, measure := range map[string]string{"count": "count(*)", "days": fmt.Sprintf("count(distinct %s::date)", a.local("us"))} {
		if test, ok := o[key].(object); ok {
			having += " and " + condition(measure, "", test)
		}
	}
	for _, key := range []string{"sum", "avg", "min", "max", "distinct"} {
		if test, ok := o[key].(object); ok {
			having += " and " + condition("coalesce("+a.measure(key, test["property"].(string))+", 0)", "", test)
		}
	}
	return fmt.Sprintf("(number in (select person from ev where %s and %s group by person having %s))", a.ref(ref), when, having)
}

// among is the condition that an event is of somebody whom the question looks at.
func (a *asked) among() string {
	if a.q["people"] == nil {
		return "true"
	}
	return "person in (select number from who where " + a.people(a.q["people"]) + ")"
}

// measure is a trend's measure as an aggregate; NULL where there is nothing.
func (a *asked) measure(name, property string) string {
	column, typ := a.column(property, "")
	if typ == "VARCHAR" && name != "distinct" {
		column = "try_cast(" + column + " as double)" // the texts of numbers count too
	}
	if p, ok := strings.CutPrefix(name, "p"); ok && name != "per_person" {
		return fmt.Sprintf("list_sort(list(%[1]s) filter (%[1]s is not null))[(%[2]s * count(%[1]s) + 99) // 100]", column, p) // the nearest rank
	}
	switch name {
	case "", "count":
		return "count(*)"
	case "unique", "first_seen", "last_seen":
		return "count(distinct person)"
	case "per_person":
		return "count(*) / count(distinct person)"
	case "sum":
		return "fsum(" + column + ")"
	case "avg":
		return "favg(" + column + ")"
	case "min", "max", "median":
		return name + "(" + column + ")"
	case "distinct":
		return "count(distinct " + column + ")"
	}
	panic("no SQL for the measure " + name)
}

func (a *asked) segment() (any, error) {
	rows, err := a.b.rows("select identity from who where " + a.people(a.q["people"]) + " order by number")
	if err != nil {
		return nil, err
	}
	out := object{"count": len(rows)}
	if l, ok := a.q["list"].(object); ok {
		list, limit := []any{}, 100.0
		if k := l["limit"]; k != nil {
			limit = number(k)
		}
		for _, r := range rows[:min(len(rows), int(limit))] {
			list = append(list, r[0])
		}
		out["people"] = list
	}
	return out, nil
}
