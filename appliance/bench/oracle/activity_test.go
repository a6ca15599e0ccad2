package oracle

import "fmt"

// active are the pairs of person and bucket of an event reference.
func (a *asked) active(r object, where string) string {
	return fmt.Sprintf("(select distinct person, %s as bucket from ev where %s and %s and %s)", a.bucket("us"), a.ref(r), a.among(), where)
}

// one is the event reference that stands beside kind; its filter is the one
// that is joined to every reference.
func (a *asked) one() object { return object{"event": a.q["event"]} }

// range_ is the question's, as SQL.
func (a *asked) range_() (from, to string) {
	return a.edge(a.q["from"].(string), false), a.edge(a.q["to"].(string), true)
}

// placed joins the number of its bucket, from 0, to each row that has one.
func placed(buckets []bucket) string {
	list := ""
	for i, b := range buckets {
		list += fmt.Sprintf(", (%d::bigint, %d)", b.from, i)
	}
	return "(values " + list[2:] + ") as bk(bucket, i)"
}

// retention is of whole buckets, from first, so many; nothing else is bounded.
func (a *asked) retention() (any, error) {
	first := a.edge(a.q["first"].(string), false)
	n := int(number(a.q["buckets"]))
	last := fmt.Sprintf("(%s)", a.instant(fmt.Sprintf("%s::date + interval %d %s", a.local(a.bucket("("+first+")")), n, a.interval())))
	buckets, err := a.buckets(first, last)
	if err != nil {
		return nil, err
	}
	start, back := a.q["start"].(object), a.q["return"].(object)
	starts := a.active(start, "true")
	if a.q["mode"] != "recurring" {
		starts = fmt.Sprintf("(select person, min(bucket) as bucket from %s group by person)", starts)
	}
	// Returns after the last bucket count where they may come later.
	came := "r.bucket = k.bucket"
	if a.q["unbounded"] == true {
		came = "r.bucket >= k.bucket"
	}
	rows, err := a.b.rows(fmt.Sprintf(`with bk as (select * from %s), st as (select person, i, s.bucket from %s s join bk using (bucket)), rt as (select * from %s)
		select st.i, k.i, count(distinct st.person) from st join bk k on k.i >= st.i
		where k.i = st.i or exists (select 1 from rt r where r.person = st.person and %s) group by st.i, k.i`, placed(buckets), starts, a.active(back, "true"), came))
	if err != nil {
		return nil, err
	}
	values := make([][]float64, len(buckets))
	for i := range values {
		values[i] = make([]float64, len(buckets)-i)
	}
	for _, r := range rows {
		i, k := int(number(r[0])), int(number(r[1]))
		values[i][k-i] = number(r[2])
	}
	out := []any{}
	for i, b := range buckets {
		out = append(out, object{"bucket": b.name, "size": values[i][0], "values": values[i]})
	}
	return object{"rows": out}, nil
}

// lifecycle looks at the bucket before the first one too.
func (a *asked) lifecycle() (any, error) {
	from, to := a.range_()
	before := "(" + a.instant(fmt.Sprintf("%s::date - interval 1 %s", a.local(a.bucket("("+from+")")), a.interval())) + ")"
	buckets, err := a.buckets(before, to)
	if err != nil {
		return nil, err
	}
	rows, err := a.b.rows(fmt.Sprintf(`with active as (select * from %s),
		firsts as (select person, min(bucket) as first from active group by person),
		near as (select person, first, i from active join firsts using (person) join %s using (bucket)),
		told as (select n.*, exists (select 1 from near p where p.person = n.person and p.i = n.i - 1) as stayed,
			exists (select 1 from near p where p.person = n.person and p.i = n.i + 1) as stays, b.bucket = n.first as fresh from near n join %s on b.i = n.i)
		select i, count(*) filter (fresh), count(*) filter (not fresh and stayed), count(*) filter (not fresh and not stayed), count(*) filter (not stays) from told group by i`,
		a.active(a.one(), "true"), placed(buckets), as(placed(buckets), "b")))
	if err != nil {
		return nil, err
	}
	n := len(buckets)
	names := []string{}
	fresh, returning, back, dormant := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n+1)
	for _, b := range buckets {
		names = append(names, b.name)
	}
	for _, r := range rows {
		i := int(number(r[0]))
		fresh[i], returning[i], back[i], dormant[i+1] = number(r[1]), number(r[2]), number(r[3]), number(r[4])
	}
	return object{"buckets": names[1:], "new": fresh[1:], "returning": returning[1:], "resurrecting": back[1:], "dormant": dormant[1:n]}, nil
}

// as gives the values of placed another name.
func as(values, name string) string {
	return "(select bucket, i from " + values + ") as " + name
}

func (a *asked) stickiness() (any, error) {
	from, to := a.range_()
	rows, err := a.b.rows(fmt.Sprintf("select n, count(*) from (select person, count(*) as n from %s group by person) group by n",
		a.active(a.one(), fmt.Sprintf("us >= %s and us < %s", from, to))))
	if err != nil {
		return nil, err
	}
	people, by := 0.0, object{}
	for _, r := range rows {
		by[fmt.Sprint(r[0])] = r[1]
		people += number(r[1])
	}
	return object{"people": people, "by_count": by}, nil
}

func (a *asked) sessions() (any, error) {
	from, to := a.range_()
	hits := fmt.Sprintf("(select * from ev where %s and %s and us >= %s and us < %s)", a.ref(a.one()), a.among(), from, to)
	var cut string
	if property, ok := a.q["session"].(string); ok {
		column, _ := a.column(property, "")
		cut = fmt.Sprintf("select person, %[1]s as session, min(us) as begins, max(us) - min(us) as long, count(*) as n from %[2]s where %[1]s is not null group by all", column, hits)
	} else {
		gap := int64(30 * 60 * 1_000_000)
		if g, ok := a.q["gap"].(object); ok {
			gap = micros(g)
		}
		cut = fmt.Sprintf(`select person, session, min(us) as begins, max(us) - min(us) as long, count(*) as n from (
			select *, sum(begins) over (partition by person order by ord) as session from (
			select *, (us - lag(us, 1, -4000000000000000) over (partition by person order by ord) > %d)::int as begins from %s)) group by all`, gap, hits)
	}
	const measures = "count(*), avg(long) / 1e6, median(long) / 1e6, sum(n) / count(*), max(n), count(*) filter (n = 1)"
	keys := []string{"sessions", "mean_seconds", "median_seconds", "events_per_session", "max_events", "bounces"}
	rows, err := a.b.rows(fmt.Sprintf("select %s from (%s)", measures, cut))
	if err != nil {
		return nil, err
	}
	out := object{}
	for i, key := range keys {
		out[key] = number(rows[0][i])
	}
	if a.q["interval"] == nil {
		return out, nil
	}
	buckets, err := a.buckets(from, to)
	if err != nil {
		return nil, err
	}
	if rows, err = a.b.rows(fmt.Sprintf("select i, %s from (%s) join %s on bucket = %s group by i", measures, cut, placed(buckets), a.bucket("begins"))); err != nil {
		return nil, err
	}
	names, arrays := []string{}, map[string][]float64{}
	for _, b := range buckets {
		names = append(names, b.name)
	}
	for _, key := range keys {
		arrays[key] = make([]float64, len(buckets))
	}
	for _, r := range rows {
		for i, key := range keys {
			arrays[key][int(number(r[0]))] = number(r[i+1])
		}
	}
	out["buckets"], out["arrays"] = names, arrays
	return out, nil
}

func (a *asked) distribution() (any, error) {
	from, to := a.range_()
	hits := func(r object) string {
		return fmt.Sprintf("(select * from ev where %s and %s and us >= %s and us < %s)", a.ref(r), a.among(), from, to)
	}
	var values string
	switch a.q["of"] {
	case "property":
		column, typ := a.column(a.q["property"].(string), "")
		if typ == "VARCHAR" {
			column = "try_cast(" + column + " as double)"
		}
		values = fmt.Sprintf("select %[1]s::double as v from %[2]s where %[1]s is not null", column, hits(a.one()))
	case "time":
		after := "t.ord > f.ord"
		if a.q["ties"] == "strict" {
			after = "t.us > f.us"
		}
		values = fmt.Sprintf("select (min(t.us) - any_value(f.us)) / 1e6 as v from (select person, min(ord) as ord, min(us) as us from %s group by person) f join %s t on t.person = f.person and %s group by f.person",
			hits(a.one()), hits(a.q["then"].(object)), after)
	default:
		values = fmt.Sprintf("select count(*)::double as v from %s group by person", hits(a.one()))
	}
	rows, err := a.b.rows(fmt.Sprintf("select count(*), favg(v), median(v), min(v), max(v), list_sort(list(v))[(90 * count(v) + 99) // 100], bool_and(v = floor(v)) from (%s)", values))
	if err != nil {
		return nil, err
	}
	out := object{"bins": []any{}}
	for i, key := range []string{"count", "mean", "median", "min", "max", "p90"} {
		out[key] = number(rows[0][i])
	}
	if number(rows[0][0]) == 0 {
		return out, nil
	}
	bins := 10.0
	if n := a.q["bins"]; n != nil {
		bins = number(n)
	}
	low, spread := number(rows[0][3]), number(rows[0][4])-number(rows[0][3])
	if a.q["of"] == "property" && rows[0][6] == false && spread < bins || spread == 0 {
		delete(out, "bins") // bins of a fraction are this project's own choice
		return out, nil
	}
	if rows, err = a.b.rows(fmt.Sprintf("with v as (%[1]s), w as (select ceil((max(v) - min(v)) / %[2]v) as width, min(v) as low from v) select least(floor((v - low) / width), %[2]v - 1) as bin, any_value(width), count(*) from v, w group by bin order by bin", values, bins)); err != nil {
		return nil, err
	}
	list := []any{}
	for _, r := range rows {
		for float64(len(list)) < number(r[0]) {
			list = append(list, []any{low + float64(len(list))*number(r[1]), 0})
		}
		list = append(list, []any{low + number(r[0])*number(r[1]), r[2]})
	}
	out["bins"] = list
	return out, nil
}
