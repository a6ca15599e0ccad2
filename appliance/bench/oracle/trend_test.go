package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// answer is what DuckDB says.
func (a *asked) answer() (any, error) {
	switch a.q["kind"] {
	case "trend":
		return a.trend()
	case "segment":
		return a.segment()
	case "retention":
		return a.retention()
	case "lifecycle":
		return a.lifecycle()
	case "stickiness":
		return a.stickiness()
	case "sessions":
		return a.sessions()
	case "distribution":
		return a.distribution()
	case "funnel":
		return a.funnel()
	}
	return nil, fmt.Errorf("no SQL for the kind %v", a.q["kind"])
}

// local is an instant on the clock of the question's zone.
func (a *asked) local(us string) string {
	return fmt.Sprintf("timezone(%s, make_timestamptz(%s))", text(a.zone()), us)
}

func (a *asked) interval() string {
	if s, ok := a.q["interval"].(string); ok {
		return s
	}
	return "day"
}

// bucket is the beginning of the bucket of an instant, in microseconds. Hours
// are cut where the zone's offset from UTC is one of whole hours.
func (a *asked) bucket(us string) string {
	switch i := a.interval(); i {
	case "all":
		return "0::bigint"
	case "hour", "minute":
		length := map[string]int64{"hour": 3_600_000_000, "minute": 60_000_000}[i]
		return fmt.Sprintf("%s - %s %% %d", us, us, length)
	case "week":
		if a.q["week_starts"] == "sunday" {
			return a.instant(fmt.Sprintf("date_trunc('week', %s + interval 1 day) - interval 1 day", a.local(us)))
		}
	}
	return a.instant(fmt.Sprintf("date_trunc('%s', %s)", a.interval(), a.local(us)))
}

// instant is a local time in microseconds.
func (a *asked) instant(local string) string {
	return fmt.Sprintf("epoch_us(timezone(%s, (%s)::timestamp))", text(a.zone()), local)
}

type bucket struct {
	from, to int64
	name     string
}

// buckets are those from the one of an instant to the one that another, which
// is left out, ends.
func (a *asked) buckets(from, to string) ([]bucket, error) {
	i := a.interval()
	if i == "all" {
		rows, err := a.b.rows(fmt.Sprintf("select %s, %s", from, to))
		if err != nil {
			return nil, err
		}
		return []bucket{{rows[0][0].(int64), rows[0][1].(int64), "all"}}, nil
	}
	first, last := a.bucket("("+from+")"), a.bucket("("+to+" - 1)")
	var series string
	if i == "hour" || i == "minute" {
		length := map[string]int64{"hour": 3_600_000_000, "minute": 60_000_000}[i]
		series = fmt.Sprintf("select us, us + %d as ends from (select unnest(range(%s, %s + 1, %d)) as us)", length, first, last, length)
	} else {
		step := "interval 1 " + i
		series = fmt.Sprintf("select %s as us, %s as ends from (select unnest(generate_series(%s::date::timestamp, %s::date::timestamp, %s)) as day)",
			a.instant("day"), a.instant("day + "+step), a.local(first), a.local(last), step)
	}
	rows, err := a.b.rows(fmt.Sprintf("select us, ends from (%s) order by us", series))
	if err != nil {
		return nil, err
	}
	loc, err := time.LoadLocation(a.zone())
	if err != nil {
		return nil, err
	}
	var out []bucket
	for _, r := range rows {
		b := bucket{from: r[0].(int64), to: r[1].(int64)}
		at := time.UnixMicro(b.from).In(loc)
		if b.name = at.Format("2006-01-02"); i == "hour" || i == "minute" {
			b.name = at.Format(time.RFC3339)
		}
		out = append(out, b)
	}
	return out, nil
}

// line is one line of a trend.
type line struct {
	breakdown []any
	values    []float64
	total     float64
}

func (a *asked) trend() (any, error) {
	from, to := a.edge(a.q["from"].(string), false), a.edge(a.q["to"].(string), true)
	buckets, err := a.buckets(from, to)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, b := range buckets {
		names = append(names, b.name)
	}
	dims := a.dimensions()
	limit := 25
	for _, d := range dims {
		if k := d["limit"]; k != nil {
			limit = min(limit, int(number(k)))
		}
	}
	seen, shown := map[string]bool{}, map[string]bool{}
	var series []any
	for i, s := range a.q["series"].([]any) {
		lines, err := a.series(s.(object), from, to, buckets, dims)
		if err != nil {
			return nil, err
		}
		var before map[string][]float64
		if a.q["compare"] == "previous" {
			if before, err = a.before(s.(object), dims); err != nil {
				return nil, err
			}
		}
		for _, l := range lines {
			seen[fmt.Sprintf("%#v", l.breakdown)] = true
		}
		for _, l := range lines[:min(limit, len(lines))] {
			shown[fmt.Sprintf("%#v", l.breakdown)] = true
			one := object{"name": string(rune('A' + i)), "breakdown": l.breakdown, "values": l.values, "total": l.total}
			previous := before[fmt.Sprintf("%#v", l.breakdown)]
			if before != nil {
				if previous == nil {
					previous = make([]float64, len(l.values))
				}
				one["previous"] = previous
			}
			if a.q["cumulative"] == true {
				addUp(l.values)
				addUp(previous)
			}
			series = append(series, one)
		}
	}
	if series == nil {
		series = []any{}
	}
	return object{"buckets": names, "series": series, "other": len(seen) - len(shown)}, nil
}

func addUp(values []float64) {
	for k := 1; k < len(values); k++ {
		values[k] += values[k-1]
	}
}

// before are the values of as many days just before, by breakdown; of a range
// of dates, by day or all.
func (a *asked) before(s object, dims []object) (map[string][]float64, error) {
	first, err := time.Parse(time.DateOnly, a.q["from"].(string))
	if err != nil {
		return nil, err
	}
	last, err := time.Parse(time.DateOnly, a.q["to"].(string))
	if err != nil {
		return nil, err
	}
	days := int(last.Sub(first).Hours()/24) + 1
	from, to := a.edge(first.AddDate(0, 0, -days).Format(time.DateOnly), false), a.edge(first.Format(time.DateOnly), false)
	buckets, err := a.buckets(from, to)
	if err != nil {
		return nil, err
	}
	lines, err := a.series(s, from, to, buckets, dims)
	if err != nil {
		return nil, err
	}
	out := map[string][]float64{}
	for _, l := range lines {
		out[fmt.Sprintf("%#v", l.breakdown)] = l.values
	}
	return out, nil
}

func (a *asked) dimensions() []object {
	switch b := a.q["breakdown"].(type) {
	case object:
		return []object{b}
	case []any:
		var out []object
		for _, d := range b {
			out = append(out, d.(object))
		}
		return out
	}
	return nil
}

// spread adds a column b1, b2, .. for each dimension; a row with a list comes
// once for each of its elements.
func (a *asked) spread(hits string, dims []object) (from string, by []string) {
	for i, d := range dims {
		of, _ := d["of"].(string)
		values := "[identity]"
		if of != "person" {
			column, typ := a.column(d["property"].(string), of)
			values = "[" + column + "]"
			if strings.HasSuffix(typ, "[]") {
				values = fmt.Sprintf("(case when %s is null then [null] else list_distinct(%s) end)", column, column)
			}
		}
		name := fmt.Sprint("b", i+1)
		hits = fmt.Sprintf("(select *, unnest(%s) as %s from %s)", values, name, hits)
		by = append(by, name)
	}
	return hits, by
}

// series asks one series: its lines by total falling, then by text.
func (a *asked) series(s object, from, to string, buckets []bucket, dims []object) ([]line, error) {
	name, _ := s["measure"].(string)
	property, _ := s["property"].(string)
	hits := fmt.Sprintf("(select * from ev where %s and %s)", a.ref(s), a.among())
	switch name {
	case "first_seen":
		hits = fmt.Sprintf("(select * from %s qualify ord = min(ord) over (partition by person))", hits)
	case "last_seen":
		hits = fmt.Sprintf("(select * from %s qualify ord = max(ord) over (partition by person))", hits)
	}
	all := hits
	hits = fmt.Sprintf("(select * from %s where us >= %s and us < %s)", hits, from, to)
	spread, by := a.spread(hits, dims)
	groups := strings.Join(append(slices.Clone(by), "1 = 1"), ", ")
	select_ := strings.Join(append(slices.Clone(by), a.measure(name, property)), ", ")
	totals, err := a.b.rows(fmt.Sprintf("select %s from %s group by %s", select_, spread, groups))
	if err != nil {
		return nil, err
	}
	if len(totals) == 0 && len(dims) == 0 {
		totals = [][]any{{nil}}
	}
	place := map[int64]int{}
	for i, b := range buckets {
		place[b.from] = i
	}
	if a.interval() == "all" {
		place = map[int64]int{0: 0}
	}
	var lines []line
	index := map[string]int{}
	for _, r := range totals {
		l := line{breakdown: append([]any{}, r[:len(dims)]...), total: number(r[len(dims)]), values: make([]float64, len(buckets))}
		index[fmt.Sprintf("%#v", l.breakdown)] = len(lines)
		lines = append(lines, l)
	}
	if trailing, ok := s["trailing"].(object); ok {
		for i, b := range buckets {
			rows, err := a.b.rows(fmt.Sprintf("select count(distinct person) from %s where us >= least(%[2]d, %[3]s) - %[4]d and us < least(%[2]d, %[3]s)", all, b.to, to, micros(trailing)))
			if err != nil {
				return nil, err
			}
			lines[0].values[i] = number(rows[0][0])
		}
		return lines, nil
	}
	rows, err := a.b.rows(fmt.Sprintf("select %s, %s as bucket from %s group by %s, bucket", select_, a.bucket("us"), spread, groups))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		at, ok := index[fmt.Sprintf("%#v", r[:len(dims)])]
		if !ok {
			return nil, fmt.Errorf("a value %v without a total", r)
		}
		lines[at].values[place[r[len(dims)+1].(int64)]] = number(r[len(dims)])
	}
	slices.SortFunc(lines, func(x, y line) int {
		c := cmp.Compare(y.total, x.total)
		for i := range x.breakdown {
			c = cmp.Or(c, cmp.Compare(shownAs(x.breakdown[i]), shownAs(y.breakdown[i])))
		}
		return c
	})
	return lines, nil
}

// shownAs is the text that a value of a breakdown is ordered by; a missing one
// comes before the empty text.
func shownAs(v any) string {
	if v == nil {
		return ""
	}
	return " " + fmt.Sprint(v)
}
