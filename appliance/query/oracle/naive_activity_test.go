package oracle

import (
	"math"
	"slices"
)

// around is the bucket that an instant lies in, as [from, to), found by asking
// days, or minutes, one after another.
func (n *naive) around(us int64, interval string) (from, to int64) {
	if interval == "hour" || interval == "minute" {
		return n.clockEdge(us, interval, -1), n.clockEdge(us, interval, 1)
	}
	name := n.bucketOf(us, interval)
	from = n.dayStart(name).UnixMicro()
	for date := name; ; date = addDays(date, 1) {
		if to = n.dayStart(date).UnixMicro(); n.bucketOf(to, interval) != name {
			return from, to
		}
	}
}

// times are of the events of some people that references mean.
func (n *naive) times(people []*someone, refs ...object) []int64 {
	var out []int64
	for _, p := range people {
		for _, ref := range refs {
			for _, o := range n.occurrences(ref, p) {
				out = append(out, o.time)
			}
		}
	}
	return out
}

// one is the reference of a kind that asks about one event. The filter beside
// kind is in n.top.
func one(q object) object { return object{"event": q["event"]} }

func intervalOf(q object) string {
	if s, ok := q["interval"].(string); ok {
		return s
	}
	return "day"
}

// cohortBuckets are the names of a retention's buckets, and where the last ends.
func (n *naive) cohortBuckets(q object, people []*someone) (names []string, end int64) {
	interval, s := intervalOf(q), readSpan(q)
	from, to, ok := n.closed(s, n.times(people, q["start"].(object), q["return"].(object)), interval)
	if interval == "all" {
		return []string{"all"}, to
	}
	count, counted := q["buckets"].(float64)
	first, firstGiven := q["first"].(string)
	noFrom, noTo := s.from == nil && s.fromDate == "", s.to == nil && s.toDate == ""
	if (noFrom && !firstGiven || noTo && !counted) && !ok {
		return nil, 0
	}
	if !ok { // an end that is given is where it is, also without events
		if s.from != nil {
			from = *s.from
		} else if s.fromDate != "" {
			from = n.dayStart(s.fromDate).UnixMicro()
		}
		if s.to != nil {
			to = *s.to
		} else if s.toDate != "" {
			to = n.dayStart(addDays(s.toDate, 1)).UnixMicro()
		}
	}
	if firstGiven {
		if len(first) == 10 {
			from = n.dayStart(first).UnixMicro()
		} else {
			from = *readSpan(object{"from": first}).from
		}
		from, _ = n.around(from, interval)
	}
	if !counted && from >= to {
		return nil, 0
	}
	end, _ = n.around(from, interval)
	for counted && len(names) < int(count) || !counted && end < to {
		names = append(names, n.bucketOf(end, interval))
		_, end = n.around(end, interval)
	}
	return names, end
}

func (n *naive) retention(q object) any {
	people := n.living(q)
	names, end := n.cohortBuckets(q, people)
	interval, s := intervalOf(q), readSpan(q)
	in := func(us int64) bool {
		if interval == "all" {
			from, to, ok := n.closed(s, n.times(people, q["start"].(object), q["return"].(object)), interval)
			return ok && us >= from && us < to
		}
		return n.in(s, us)
	}
	place := func(us int64) int { // the place of a bucket, past the last one if later, else -1
		if !in(us) {
			return -1
		}
		if i := slices.Index(names, n.bucketOf(us, interval)); i >= 0 || us < end {
			return i
		}
		return len(names)
	}
	rows, values := []any{}, make([][]float64, len(names))
	for i := range names {
		values[i] = make([]float64, len(names)-i)
	}
	row := -1
	l, listed := q["list"].(object)
	if listed {
		row = int(l["row"].(float64)) - 1
	}
	var members []*someone
	of := map[string][]any{}
	for _, p := range people {
		starts := map[int]bool{}
		for i, o := range n.occurrences(q["start"].(object), p) {
			if i == 0 || q["mode"] == "recurring" {
				starts[place(o.time)] = true
			}
		}
		for i := range names {
			if !starts[i] {
				continue
			}
			var own []any
			for k := range values[i] {
				came := k == 0
				for _, o := range n.occurrences(q["return"].(object), p) {
					at := place(o.time)
					came = came || at == i+k || at > i+k && q["unbounded"] == true
				}
				own = append(own, 0.0)
				if came {
					values[i][k]++
					own[k] = 1.0
				}
			}
			if i == row {
				members = append(members, p)
				of[p.identity] = own
			}
		}
	}
	for i, name := range names {
		rows = append(rows, object{"bucket": name, "size": values[i][0], "values": values[i]})
	}
	out := object{"rows": rows}
	if listed {
		list := []any{}
		for _, id := range n.listed(members, l) {
			list = append(list, object{"identity": id, "values": of[id.(string)]})
		}
		out["people"] = list
	}
	return out
}

func (n *naive) lifecycle(q object) any {
	people := n.living(q)
	interval := intervalOf(q)
	names := []string{}
	from, to, ok := n.closed(readSpan(q), n.times(people, one(q)), interval)
	before := "none"
	switch {
	case interval == "all":
		names = append(names, "all")
	case ok:
		from, _ = n.around(from, interval)
		_, to = n.around(to-1, interval)
		before = n.bucketOf(from-1, interval)
		for at := from; at < to; _, at = n.around(at, interval) {
			names = append(names, n.bucketOf(at, interval))
		}
	}
	zeros := func() []float64 { return make([]float64, len(names)) }
	fresh, returning, resurrecting, dormant := zeros(), zeros(), zeros(), zeros()
	for _, p := range people {
		active := map[string]bool{}
		first := ""
		for i, o := range n.occurrences(one(q), p) {
			bucket := n.bucketOf(o.time, interval)
			if interval == "all" && (!ok || o.time < from || o.time >= to) {
				bucket = "outside"
			}
			active[bucket] = true
			if i == 0 {
				first = bucket
			}
		}
		last := before
		for i, name := range names {
			switch {
			case active[name] && first == name:
				fresh[i]++
			case active[name] && active[last]:
				returning[i]++
			case active[name]:
				resurrecting[i]++
			case active[last]:
				dormant[i]++
			}
			last = name
		}
	}
	return object{"buckets": names, "new": fresh, "returning": returning, "resurrecting": resurrecting, "dormant": dormant}
}

func (n *naive) stickiness(q object) any {
	people := n.living(q)
	interval := intervalOf(q)
	from, to, ok := n.closed(readSpan(q), n.times(people, one(q)), interval)
	by, total := map[int]float64{}, 0.0
	l, listed := q["list"].(object)
	var members []*someone
	for _, p := range people {
		active := map[string]bool{}
		for _, o := range n.occurrences(one(q), p) {
			if ok && o.time >= from && o.time < to {
				active[n.bucketOf(o.time, interval)] = true
			}
		}
		if len(active) == 0 {
			continue
		}
		total++
		by[len(active)]++
		if listed && float64(len(active)) == l["count"] {
			members = append(members, p)
		}
	}
	out := object{"people": total, "by_count": by}
	if listed {
		out["people_list"] = n.listed(members, l)
	}
	return out
}

// within are the events of a range that a reference means.
func (n *naive) within(q, ref object, p *someone) []occurrence {
	return slices.DeleteFunc(n.occurrences(ref, p), func(o occurrence) bool { return !n.in(readSpan(q), o.time) })
}

func (n *naive) distribution(q object) any {
	var values []float64
	for _, p := range n.living(q) {
		events := n.within(q, one(q), p)
		switch q["of"] {
		case "property":
			for _, o := range events {
				if f, ok := numberOf(o.props[q["property"].(string)]); ok {
					values = append(values, f)
				}
			}
		case "time":
			if len(events) == 0 {
				continue
			}
			from := events[0]
			for _, o := range n.within(q, q["then"].(object), p) {
				later := o.time > from.time || o.time == from.time && o.seq > from.seq && q["ties"] != "strict"
				if later {
					values = append(values, float64(o.time-from.time)/1e6)
					break
				}
			}
		default:
			if len(events) > 0 {
				values = append(values, float64(len(events)))
			}
		}
	}
	slices.Sort(values)
	k := len(values)
	out := object{"count": float64(k), "mean": 0.0, "median": 0.0, "min": 0.0, "max": 0.0, "p90": 0.0, "bins": []any{}}
	if k == 0 {
		return out
	}
	sum, whole := 0.0, true
	for i, v := range values {
		sum += v
		whole = whole && v == math.Floor(v)
		if float64(i+1)*10 >= 9*float64(k) && float64(i)*10 < 9*float64(k) {
			out["p90"] = v
		}
	}
	out["mean"], out["median"], out["min"], out["max"] = sum/float64(k), (values[(k-1)/2]+values[k/2])/2, values[0], values[k-1]
	bins := 10.0
	if b, ok := q["bins"].(float64); ok {
		bins = b
	}
	spread := values[k-1] - values[0]
	width := math.Ceil(spread / bins)
	if q["of"] == "property" && !whole && spread < bins {
		width = spread / bins
	}
	place := func(v float64) int {
		if spread == 0 {
			return 0
		}
		return int(min(math.Floor((v-values[0])/width), bins-1))
	}
	list := []any{}
	for i := range place(values[k-1]) + 1 {
		in := 0.0
		for _, v := range values {
			if place(v) == i {
				in++
			}
		}
		list = append(list, []any{values[0] + float64(i)*width, in})
	}
	out["bins"] = list
	return out
}

func (n *naive) sessions(q object) any {
	type session struct {
		from, to int64
		events   float64
	}
	people := n.living(q)
	interval, series := q["interval"].(string)
	from, to, ok := n.closed(readSpan(q), n.times(people, one(q)), interval)
	var all []session
	for _, p := range people {
		events := n.within(q, one(q), p)
		if property, ok := q["session"].(string); ok {
			by := map[string]*session{}
			for _, o := range events {
				v := o.props[property]
				if v == nil {
					continue
				}
				s := by[same(v)]
				if s == nil {
					s = &session{from: o.time}
					by[same(v)] = s
				}
				s.to = o.time
				s.events++
			}
			for _, s := range by {
				all = append(all, *s)
			}
			continue
		}
		count, unit := 30.0, "minute"
		if g, ok := q["gap"].(object); ok {
			count, unit = g["n"].(float64), g["unit"].(string)
		}
		for i, o := range events {
			if i == 0 || o.time > n.shift(events[i-1].time, count, unit, 1) {
				all = append(all, session{from: o.time})
			}
			s := &all[len(all)-1]
			s.to = o.time
			s.events++
		}
	}
	keys := []string{"sessions", "mean_seconds", "median_seconds", "events_per_session", "max_events", "bounces"}
	measured := func(some []session) object {
		out := object{}
		for _, key := range keys {
			out[key] = 0.0
		}
		var lengths []float64
		events, sum, most, bounces := 0.0, 0.0, 0.0, 0.0
		for _, s := range some {
			length := float64(s.to-s.from) / 1e6
			lengths = append(lengths, length)
			sum += length
			events += s.events
			most = max(most, s.events)
			if s.events == 1 {
				bounces++
			}
		}
		k := len(some)
		if k == 0 {
			return out
		}
		slices.Sort(lengths)
		out["sessions"], out["mean_seconds"], out["median_seconds"] = float64(k), sum/float64(k), (lengths[(k-1)/2]+lengths[k/2])/2
		out["events_per_session"], out["max_events"], out["bounces"] = events/float64(k), most, bounces
		return out
	}
	out := measured(all)
	if !series {
		return out
	}
	names, arrays := []string{}, object{}
	for _, key := range keys {
		arrays[key] = []any{}
	}
	switch {
	case ok:
		for _, b := range n.buckets(from, to, interval) {
			names = append(names, b.name)
		}
	case interval == "all":
		names = append(names, "all")
	}
	for _, name := range names {
		var some []session
		for _, s := range all {
			if n.bucketOf(s.from, interval) == name {
				some = append(some, s)
			}
		}
		for key, v := range measured(some) {
			arrays[key] = append(arrays[key].([]any), v)
		}
	}
	out["buckets"], out["arrays"] = names, arrays
	return out
}
