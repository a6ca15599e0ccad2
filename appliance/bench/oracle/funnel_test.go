package oracle

import (
	"fmt"
	"maps"
	"math"
	"strings"
)

// funnel is an ordered one, as a chain of ASOF joins: each attempt looks for
// the next event that fits, and that is within its window or never.
func (a *asked) funnel() (any, error) {
	if order, ok := a.q["order"].(string); ok && order != "ordered" {
		return nil, fmt.Errorf("no SQL for the order %s", order)
	}
	steps := a.q["steps"].([]any)
	hold, held, on := "", "", ""
	if list, ok := a.q["hold"].([]any); ok {
		for i, key := range list {
			column, _ := a.column(key.(string), "")
			hold += fmt.Sprintf(", %s as h%d", column, i)
			held += " and " + column + " is not null"
			on += fmt.Sprintf(" and e.h%[1]d = a.h%[1]d", i)
		}
	}
	end := fmt.Sprintf("us + %d", int64(14*86_400)*1_000_000)
	if w, ok := a.q["window"].(object); ok {
		if property, ok := w["property"].(string); ok {
			column, _ := a.column(property, "")
			unit := map[string]int64{"minute": 60, "hour": 3600, "day": 86_400}[w["unit"].(string)]
			end = fmt.Sprintf("case when %[1]s >= 0 then us + (%[1]s * %[2]d)::bigint end", column, unit*1_000_000)
		} else {
			end = fmt.Sprintf("us + %d", micros(w))
		}
	}
	in := a.in(a.q)
	starts := fmt.Sprintf("select * from ev where %s and %s", a.ref(steps[0].(object)), a.among())
	if a.q["start"] == "first" {
		starts = fmt.Sprintf("select * from (%s) qualify ord = min(ord) over (partition by person)", starts)
	}
	by := ""
	dims := a.dimensions()
	for i, d := range dims {
		of, _ := d["of"].(string)
		column, _ := a.column(d["property"].(string), of)
		by += fmt.Sprintf(", %s as b%d", column, i+1)
	}
	chain := fmt.Sprintf("with a1 as (select person, ord as o1, us as t1, %s as ends%s%s from (%s) where %s%s)", end, hold, by, starts, in, held)
	for k := 2; k <= len(steps); k++ {
		step := fmt.Sprintf("select person, ord, us%s from ev where %s and %s%s", hold, a.ref(steps[k-1].(object)), in, held)
		next := fmt.Sprintf("a.o%d < e.ord", k-1)
		if a.q["ties"] == "strict" {
			group := "person, us"
			for i := range strings.Count(hold, " as h") {
				group += fmt.Sprintf(", h%d", i)
			}
			step = fmt.Sprintf("select %s, min(ord) as ord from (%s) group by %s", group, step, group)
			next = fmt.Sprintf("a.t%d < e.us", k-1)
		}
		// DuckDB joins a NULL too where it is asked for what comes after it.
		chain += fmt.Sprintf(`, a%[1]d as (select a.*, case when a.o%[2]d is not null and e.us <= a.ends then e.ord end as o%[1]d,
			case when a.o%[2]d is not null and e.us <= a.ends then e.us end as t%[1]d
			from a%[2]d a asof left join (%[3]s) e on a.person = e.person%[4]s and %[5]s)`, k, k-1, step, on, next)
	}
	depth := "1"
	for k := 2; k <= len(steps); k++ {
		depth += fmt.Sprintf(" + (o%d is not null)::int", k)
	}
	void := ""
	if list, ok := a.q["exclude"].([]any); ok {
		for _, x := range list {
			x := x.(object)
			after, before := 1, len(steps)
			if x["after_step"] != nil {
				after, before = int(number(x["after_step"])), int(number(x["before_step"]))
			}
			void += fmt.Sprintf(` and not exists (select 1 from ev x where x.person = a.person and (%s) and (%s) and x.ord > a.o%[3]d
				and (x.ord < a.o%[4]d or a.o%[4]d is null and x.us <= a.ends))`, a.ref(x), in, after, before)
		}
	}
	chain += fmt.Sprintf(", tried as (select *, %s as depth from a%d a where true%s)", depth, len(steps), void)
	counted := "tried"
	if a.q["count"] != "attempts" {
		counted = "best"
		chain += ", best as (select * from tried qualify row_number() over (partition by person order by depth desc, o1) = 1)"
	}
	shape := "count(*)"
	for k := 2; k <= len(steps); k++ {
		shape += fmt.Sprintf(", count(o%[1]d), median(t%[1]d - t%[2]d) / 1e6, avg(t%[1]d - t%[2]d) / 1e6", k, k-1)
	}
	rows, err := a.b.rows(chain + " select " + shape + " from " + counted)
	if err != nil {
		return nil, err
	}
	out := object{"steps": stepsOf(rows[0], len(steps))}
	if o, ok := a.q["over_time"].(object); ok {
		if out["over_time"], err = a.overTime(chain, o, len(steps)); err != nil {
			return nil, err
		}
	}
	if c, ok := a.q["time_to_convert"].(object); ok {
		if out["time_to_convert"], err = a.convert(chain, counted, c, len(steps)); err != nil {
			return nil, err
		}
	}
	if len(dims) > 0 {
		var names []string
		for i := range dims {
			names = append(names, fmt.Sprint("b", i+1))
		}
		group := strings.Join(names, ", ")
		order := "1 desc"
		for _, n := range names {
			order += ", " + n + " nulls first"
		}
		if rows, err = a.b.rows(fmt.Sprintf("%s select %s, %s from %s group by %s order by %s", chain, shape, group, counted, group, order)); err != nil {
			return nil, err
		}
		list := []any{}
		for _, r := range rows[:min(25, len(rows))] {
			at := len(r) - len(dims)
			list = append(list, object{"value": r[at:], "steps": stepsOf(r, len(steps))})
		}
		out["breakdown"] = list
	}
	return out, nil
}

// overTime counts a person once in every bucket that an attempt starts in.
func (a *asked) overTime(chain string, o object, steps int) (any, error) {
	in := &asked{b: a.b, q: maps.Clone(a.q)}
	delete(in.q, "interval")
	if o["interval"] != nil {
		in.q["interval"] = o["interval"]
	}
	first := 1
	if k := o["from_step"]; k != nil {
		first = int(number(k))
	}
	from, to := in.range_()
	buckets, err := in.buckets(from, to)
	if err != nil {
		return nil, err
	}
	rows, err := a.b.rows(fmt.Sprintf("%s select %s as bucket, count(distinct person) filter (depth >= %d), count(distinct person) filter (depth = %d) from tried group by bucket",
		chain, in.bucket("t1"), first, steps))
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, b := range buckets {
		entered, converted := any(0), any(0)
		for _, r := range rows {
			if r[0].(int64) == b.from || in.interval() == "all" {
				entered, converted = r[1], r[2]
			}
		}
		out = append(out, object{"bucket": b.name, "entered": entered, "converted": converted})
	}
	return out, nil
}

// convert is how long it took from one step to another, in bins of whole seconds.
func (a *asked) convert(chain, counted string, c object, steps int) (any, error) {
	from, to, bins := 1, steps, 10
	for key, v := range map[string]*int{"from_step": &from, "to_step": &to, "bins": &bins} {
		if k := c[key]; k != nil {
			*v = int(number(k))
		}
	}
	took := fmt.Sprintf("%s, took as (select (t%d - t%d) / 1e6 as v from %s where o%d is not null and depth >= %d)", chain, to, from, counted, to, to)
	rows, err := a.b.rows(took + " select count(*), avg(v), median(v), min(v), max(v) from took")
	if err != nil {
		return nil, err
	}
	out := object{"people": rows[0][0], "mean_seconds": rows[0][1], "median_seconds": rows[0][2], "bins": []any{}}
	if number(rows[0][0]) == 0 {
		return out, nil
	}
	low, width := number(rows[0][3]), math.Ceil((number(rows[0][4])-number(rows[0][3]))/float64(bins))
	if width == 0 {
		out["bins"] = []any{[]any{low, rows[0][0]}}
		return out, nil
	}
	if rows, err = a.b.rows(fmt.Sprintf("%s select least(floor((v - %v) / %v), %d) as bin, count(*) from took group by bin order by bin", took, low, width, bins-1)); err != nil {
		return nil, err
	}
	list := []any{}
	for _, r := range rows {
		for float64(len(list)) <= number(r[0]) {
			list = append(list, []any{low + float64(len(list))*width, 0})
		}
		list[len(list)-1].([]any)[1] = r[1]
	}
	out["bins"] = list
	return out, nil
}

func stepsOf(r []any, n int) []any {
	var out []any
	entered := number(r[0])
	share := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	before := entered
	for k := range n {
		s := object{"people": entered, "conversion": share(entered, entered), "step_conversion": share(entered, entered), "median_seconds": nil, "mean_seconds": nil}
		if k > 0 {
			c := r[3*k-2 : 3*k+1]
			s = object{"people": number(c[0]), "conversion": share(number(c[0]), entered), "step_conversion": share(number(c[0]), before)}
			before = number(c[0])
			if before > 0 {
				s["median_seconds"], s["mean_seconds"] = number(c[1]), number(c[2])
			} else {
				s["median_seconds"], s["mean_seconds"] = nil, nil
			}
		}
		out = append(out, s)
	}
	return out
}
