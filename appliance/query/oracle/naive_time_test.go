package oracle

import (
	"fmt"
	"time"
)

func (n *naive) at(us int64) time.Time { return time.UnixMicro(us).In(n.loc) }

func (n *naive) dateOf(us int64) string { return n.at(us).Format("2006-01-02") }

func parseDate(date string) time.Time {
	t, err := time.Parse("2006-01-02", date)
	if err != nil {
		panic(err)
	}
	return t
}

func addDays(date string, days int) string {
	return parseDate(date).AddDate(0, 0, days).Format("2006-01-02")
}

// dayStart is the first whole second whose local date is this or later, by
// halving. Dates compare as texts.
func (n *naive) dayStart(date string) time.Time {
	low := parseDate(date).Add(-40 * time.Hour).Unix()
	high := parseDate(date).Add(40 * time.Hour).Unix()
	for low < high {
		mid := (low + high) / 2
		if time.Unix(mid, 0).In(n.loc).Format("2006-01-02") >= date {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return time.Unix(low, 0)
}

// span is a range of a question.
type span struct {
	fromDate, toDate string // "" = none
	from, to         *int64 // instants
}

func readSpan(o object) span {
	var s span
	read := func(key string, date *string, instant **int64) {
		text, ok := o[key].(string)
		if !ok {
			return
		}
		if len(text) == 10 {
			*date = text
			return
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		us := t.UnixMicro()
		*instant = &us
	}
	read("from", &s.fromDate, &s.from)
	read("to", &s.toDate, &s.to)
	return s
}

// in says whether an instant lies in a range.
func (n *naive) in(s span, us int64) bool {
	date := n.dateOf(us)
	return (s.fromDate == "" || date >= s.fromDate) && (s.toDate == "" || date <= s.toDate) &&
		(s.from == nil || us >= *s.from) && (s.to == nil || us < *s.to)
}

// closed gives the instants of a range, [from, to), its open ends taken from
// the times of the events asked for: their days, hours or minutes whole.
func (n *naive) closed(s span, times []int64, interval string) (from, to int64, ok bool) {
	var first, last int64
	for _, us := range times {
		if n.in(s, us) {
			if !ok || us < first {
				first = us
			}
			if !ok || us > last {
				last = us
			}
			ok = true
		}
	}
	switch {
	case s.fromDate != "":
		from = n.dayStart(s.fromDate).UnixMicro()
	case s.from != nil:
		from = *s.from
	case !ok:
		return 0, 0, false
	case interval == "hour" || interval == "minute":
		from = n.clockEdge(first, interval, -1)
	default:
		from = n.dayStart(n.dateOf(first)).UnixMicro()
	}
	switch {
	case s.toDate != "":
		to = n.dayStart(addDays(s.toDate, 1)).UnixMicro()
	case s.to != nil:
		to = *s.to
	case !ok:
		return 0, 0, false
	case interval == "hour" || interval == "minute":
		to = n.clockEdge(last, interval, 1)
	default:
		to = n.dayStart(addDays(n.dateOf(last), 1)).UnixMicro()
	}
	return from, to, from < to
}

// bucketOf is what tells one bucket from another: the local hour or minute
// with its offset, or the first day.
func (n *naive) bucketOf(us int64, interval string) string {
	t := n.at(us)
	switch interval {
	case "minute":
		return t.Format("2006-01-02T15:04:00Z07:00")
	case "hour":
		return t.Format("2006-01-02T15:00:00Z07:00")
	case "day":
		return t.Format("2006-01-02")
	case "week":
		first := time.Monday
		if n.sunday {
			first = time.Sunday
		}
		d := parseDate(t.Format("2006-01-02"))
		for d.Weekday() != first {
			d = d.AddDate(0, 0, -1)
		}
		return d.Format("2006-01-02")
	case "month":
		return t.Format("2006-01") + "-01"
	case "quarter":
		return fmt.Sprintf("%04d-%02d-01", t.Year(), (int(t.Month())-1)/3*3+1)
	case "year":
		return t.Format("2006") + "-01-01"
	}
	return "all"
}

// clockEdge is where the hour or minute that us lies in begins, or ends.
func (n *naive) clockEdge(us int64, interval string, direction int64) int64 {
	const step = 60e6
	at := us / step * step
	bucket := n.bucketOf(us, interval)
	if direction < 0 {
		for n.bucketOf(at-step, interval) == bucket {
			at -= step
		}
		return at
	}
	for n.bucketOf(at, interval) == bucket {
		at += step
	}
	return at
}

// bucket is one bucket and its end.
type bucket struct {
	name string
	end  int64
}

// buckets walks over [from, to) and gives every bucket met.
func (n *naive) buckets(from, to int64, interval string) []bucket {
	var out []bucket
	add := func(at int64) {
		if name := n.bucketOf(at, interval); len(out) == 0 || out[len(out)-1].name != name {
			if len(out) > 0 {
				out[len(out)-1].end = at
			}
			out = append(out, bucket{name: name})
		}
	}
	switch interval {
	case "minute", "hour":
		for at := from; at < to; at = at/60e6*60e6 + 60e6 {
			add(at)
		}
	default:
		add(from)
		for date := addDays(n.dateOf(from), 1); ; date = addDays(date, 1) {
			at := n.dayStart(date).UnixMicro()
			if at >= to {
				break
			}
			add(at)
		}
	}
	if len(out) > 0 {
		out[len(out)-1].end = to
	}
	return out
}

var fixed = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour}

// shift moves an instant by n units: fixed lengths up to weeks, else months on
// the local calendar, to the last day of a month that is too short.
func (n *naive) shift(us int64, count float64, unit string, sign int) int64 {
	if d, ok := fixed[unit]; ok {
		return us + int64(sign)*int64(count*float64(d.Microseconds()))
	}
	months := int(count) * map[string]int{"month": 1, "quarter": 3, "year": 12}[unit] * sign
	t := n.at(us)
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, months, 0)
	day := min(t.Day(), first.AddDate(0, 1, -1).Day())
	return time.Date(first.Year(), first.Month(), day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), n.loc).UnixMicro()
}
