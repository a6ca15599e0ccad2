package query

import (
	"math"
	"sort"
	"time"
)

const (
	second = int64(1e6) // all instants are microseconds since 1970 UTC
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
	week   = 7 * day
)

// unit is a step of time: of fixed length, or of the calendar.
type unit uint8

const (
	unitSecond unit = iota
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitQuarter
	unitYear
	unitAll // as an interval only: one bucket
)

var unitNames = []string{"second", "minute", "hour", "day", "week", "month", "quarter", "year", "all"}

var unitLengths = [...]int64{unitSecond: second, unitMinute: minute, unitHour: hour, unitDay: day, unitWeek: week}

var unitMonths = [...]int{unitMonth: 1, unitQuarter: 3, unitYear: 12}

// span is n units: in windows a fixed length up to weeks, else calendar months.
type span struct {
	n    float64 // whole, except where a property says it
	unit unit
}

// calendar counts days, weeks and months in one time zone.
type calendar struct {
	loc       *time.Location
	weekStart time.Weekday
}

// civil is a date without a zone, as days since 1970-01-01.
type civil int64

func civilOf(y int, m time.Month, d int) civil {
	return civil(floorDiv(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), 86400))
}

func (c civil) date() (int, time.Month, int) { return time.Unix(int64(c)*86400, 0).UTC().Date() }

func (c civil) String() string { return time.Unix(int64(c)*86400, 0).UTC().Format(time.DateOnly) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func (k calendar) at(us int64) time.Time { return time.UnixMicro(us).In(k.loc) }

// day is the local date of an instant.
func (k calendar) day(us int64) civil {
	y, m, d := k.at(us).Date()
	return civilOf(y, m, d)
}

// start is the first instant whose local date is c or later. That is local
// midnight, except where a change of the clock skips or repeats it (or, once
// in Samoa, the whole day).
func (k calendar) start(c civil) int64 {
	y, m, d := c.date()
	t := time.Date(y, m, d, 0, 0, 0, 0, k.loc)
	from, to := t.ZoneBounds()
	if k.day(t.UnixMicro()) < c {
		// Midnight does not exist and Date looked at it with the offset after
		// the change: the day begins with the change.
		return to.UnixMicro()
	}
	if from.IsZero() {
		return t.UnixMicro()
	}
	// With the offset that held before the latest change the same midnight may
	// lie earlier: before the change if the hour is repeated, after it (so not
	// at all) if it is skipped.
	_, before := from.Add(-time.Second).Zone()
	earlier := int64(c)*day - int64(before)*second
	if change := from.UnixMicro(); earlier < change {
		return min(earlier, t.UnixMicro())
	} else if k.day(change) >= c && k.day(change-1) < c {
		return change
	}
	return t.UnixMicro()
}

// first is the first day of the bucket of a unit that c lies in.
func (k calendar) first(c civil, u unit) civil {
	y, m, _ := c.date()
	switch u {
	case unitWeek:
		weekday := time.Weekday((int64(c)%7 + 11) % 7) // 1970-01-01 was a Thursday
		return c - civil((weekday-k.weekStart+7)%7)
	case unitMonth:
		return civilOf(y, m, 1)
	case unitQuarter:
		return civilOf(y, m-(m-1)%3, 1)
	case unitYear:
		return civilOf(y, 1, 1)
	}
	return c
}

// next is the first day of the bucket after the one that begins on c.
func (k calendar) next(c civil, u unit) civil {
	y, m, d := c.date()
	switch u {
	case unitWeek:
		return c + 7
	case unitMonth, unitQuarter, unitYear:
		return civilOf(y, m+time.Month(unitMonths[u]), d)
	}
	return c + 1
}

// clock is the start of the hour or minute that an instant lies in, as the
// local clock shows it; a change of the clock begins a new one.
func (k calendar) clock(us int64, u unit) int64 {
	t := k.at(us)
	_, offset := t.Zone()
	length, shift := unitLengths[u], int64(offset)*second
	start := floorDiv(us+shift, length)*length - shift
	if from, _ := t.ZoneBounds(); !from.IsZero() {
		start = max(start, from.UnixMicro())
	}
	return start
}

// add moves an instant by n spans, back if negative. Calendar spans keep the
// local clock and stop at the last day of a shorter month.
func (k calendar) add(us int64, s span, sign int) int64 {
	if s.unit <= unitWeek {
		d := s.n * float64(unitLengths[s.unit])
		if d > maxSpan {
			d = maxSpan
		}
		return us + int64(sign)*int64(math.Round(d))
	}
	t := k.at(us)
	y, m, d := t.Date()
	months := int(min(s.n, maxSpan/float64(28*day)) * float64(unitMonths[s.unit]))
	target := civilOf(y, m+time.Month(sign*months), 1)
	last := k.next(target, unitMonth) - 1
	ty, tm, _ := target.date()
	_, _, lastDay := last.date()
	h, mi, sec := t.Clock()
	return time.Date(ty, tm, min(d, lastDay), h, mi, sec, t.Nanosecond(), k.loc).UnixMicro()
}

// maxSpan bounds a span, in microseconds: about 1,000 years.
const maxSpan = 3.2e16

// buckets are consecutive stretches of time: bucket i is from edges[i] up to,
// not including, edges[i+1]. The first and last are cut to the range.
type buckets struct {
	edges []int64
	names []string
}

// maxBuckets bounds one answer: minutes of a month and more.
const maxBuckets = 100_000

func (b *buckets) len() int { return len(b.names) }

// find is the bucket of an instant, -1 if it lies in none.
func (b *buckets) find(us int64) int {
	if len(b.names) == 0 || us < b.edges[0] || us >= b.edges[len(b.edges)-1] {
		return -1
	}
	return sort.Search(len(b.edges), func(i int) bool { return b.edges[i] > us }) - 1
}

// cut makes the buckets of [from, to).
func (k calendar) cut(from, to int64, u unit) (*buckets, error) {
	b := &buckets{}
	if from >= to && u != unitAll { // all is one bucket, also of nothing
		return b, nil
	}
	add := func(start int64, name string) error {
		if len(b.edges) >= maxBuckets {
			return fail(CodeBudget, "interval", "the range holds more than %d buckets: take a longer interval or a shorter range", maxBuckets)
		}
		b.edges = append(b.edges, start)
		b.names = append(b.names, name)
		return nil
	}
	switch u {
	case unitAll:
		if err := add(from, "all"); err != nil {
			return nil, err
		}
	case unitSecond, unitMinute, unitHour:
		for at := k.clock(from, u); at < to; {
			if err := add(max(at, from), k.at(at).Format(time.RFC3339)); err != nil {
				return nil, err
			}
			at = k.afterClock(at, u)
		}
	default:
		for c := k.first(k.day(from), u); ; c = k.next(c, u) {
			start := k.start(c)
			if start >= to {
				break
			}
			end := k.start(k.next(c, u))
			if end <= from || end == start { // end == start: a day that the zone skipped
				continue
			}
			if err := add(max(start, from), c.String()); err != nil {
				return nil, err
			}
		}
	}
	b.edges = append(b.edges, to)
	return b, nil
}

// afterClock is the start of the hour or minute after the one that begins at.
func (k calendar) afterClock(at int64, u unit) int64 {
	t := k.at(at)
	_, offset := t.Zone()
	length, shift := unitLengths[u], int64(offset)*second
	next := (floorDiv(at+shift, length)+1)*length - shift
	if _, to := t.ZoneBounds(); !to.IsZero() {
		next = min(next, to.UnixMicro())
	}
	return next
}

// around is the bucket of a unit that an instant lies in, as [from, to).
func (k calendar) around(us int64, u unit) (from, to int64) {
	if u < unitDay {
		from = k.clock(us, u)
		return from, k.afterClock(from, u)
	}
	c := k.first(k.day(us), u)
	return k.start(c), k.start(k.next(c, u))
}
