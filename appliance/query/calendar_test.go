package query

import (
	"testing"
	"time"
)

// TestDays: a day begins with the first instant whose local date is its own or
// a later one, in zones whose clocks change at midnight, and in one that
// skipped a day.
func TestDays(t *testing.T) {
	from, to := 2009, 2013
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut",
		"Africa/Cairo", "Asia/Amman", "Asia/Gaza", "Pacific/Apia", "Asia/Kolkata", "Australia/Lord_Howe", "America/Asuncion", "Asia/Tehran"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		k := calendar{loc: loc, weekStart: time.Monday}
		for c := civilOf(from, 1, 1); c < civilOf(to, 1, 1); c++ {
			start, next := k.start(c), k.start(c+1)
			if k.day(start) < c || k.day(start-1) >= c {
				t.Fatalf("%s: %s begins at %s", name, c, k.at(start))
			}
			if next < start || next-start > 25*hour || next > start && next-start < 22*hour {
				t.Fatalf("%s: %s has %d hours", name, c, (next-start)/hour)
			}
			// Hours and minutes tile the day.
			for at := start; at < next; {
				end := k.afterClock(at, unitHour)
				if k.clock(at, unitHour) != at || k.clock(end-1, unitHour) != at || end <= at || end-at > hour {
					t.Fatalf("%s: an hour from %s to %s", name, k.at(at), k.at(end))
				}
				at = end
			}
		}
	}
}

func TestUnits(t *testing.T) {
	k := calendar{loc: time.UTC, weekStart: time.Monday}
	at := func(s string) int64 {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixMicro()
	}
	for _, c := range []struct {
		from string
		s    span
		sign int
		want string
	}{
		{"2011-01-31T10:00:00Z", span{1, unitMonth}, 1, "2011-02-28T10:00:00Z"},
		{"2012-01-31T10:00:00Z", span{1, unitMonth}, 1, "2012-02-29T10:00:00Z"},
		{"2011-03-31T10:00:00Z", span{1, unitMonth}, -1, "2011-02-28T10:00:00Z"},
		{"2012-02-29T10:00:00Z", span{1, unitYear}, 1, "2013-02-28T10:00:00Z"},
		{"2011-01-15T10:00:00Z", span{3, unitQuarter}, -1, "2010-04-15T10:00:00Z"},
		{"2011-01-15T10:00:00Z", span{1.5, unitDay}, 1, "2011-01-16T22:00:00Z"},
		{"2011-01-15T10:00:00Z", span{1, unitWeek}, -1, "2011-01-08T10:00:00Z"},
	} {
		if got := k.add(at(c.from), c.s, c.sign); got != at(c.want) {
			t.Errorf("%s and %d times %v: %s", c.from, c.sign, c.s, k.at(got))
		}
	}
	for u, want := range map[unit]string{unitWeek: "2011-11-21", unitMonth: "2011-11-01", unitQuarter: "2011-10-01", unitYear: "2011-01-01"} {
		if got := k.first(civilOf(2011, 11, 27), u); got.String() != want {
			t.Errorf("%s of 2011-11-27 begins on %s", unitNames[u], got)
		}
	}
	k.weekStart = time.Sunday
	if got := k.first(civilOf(2011, 11, 27), unitWeek); got.String() != "2011-11-27" {
		t.Errorf("the week of a Sunday begins on %s", got)
	}
}
