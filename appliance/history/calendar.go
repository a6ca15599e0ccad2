package history

import (
	"math"
	"time"
)

// calendar tells the local day of an instant, fast where instants lie near
// each other: it remembers the stretch of time in which the zone's offset did
// not change. A calendar is for one goroutine.
type calendar struct {
	loc      *time.Location
	from, to int64 // microseconds; the offset holds in [from, to)
	offset   int64 // microseconds
	day      int32 // the day of [start, end), which is within [from, to)
	start    int64
	end      int64
}

func newCalendar(loc *time.Location) *calendar { return &calendar{loc: loc} }

const (
	dayMicros  = 24 * 60 * 60 * 1_000_000
	hourMicros = 60 * 60 * 1_000_000
)

// of is the day of an instant, counted from 1970-01-01.
func (c *calendar) of(us int64) int32 {
	if us >= c.start && us < c.end {
		return c.day
	}
	if us < c.from || us >= c.to {
		c.turn(us)
	}
	local := us + c.offset
	d := local / dayMicros
	if local%dayMicros < 0 {
		d--
	}
	c.day = int32(d)
	c.start = max(d*dayMicros-c.offset, c.from)
	c.end = min((d+1)*dayMicros-c.offset, c.to)
	return c.day
}

// turn finds the stretch of one offset that an instant lies in.
func (c *calendar) turn(us int64) {
	t := time.UnixMicro(us).In(c.loc)
	_, off := t.Zone()
	c.offset = int64(off) * 1_000_000
	c.from, c.to = math.MinInt64/2, math.MaxInt64/2
	from, to := t.ZoneBounds()
	if !from.IsZero() {
		c.from = from.UnixMicro()
	}
	if !to.IsZero() {
		c.to = to.UnixMicro()
	}
	// Times so far away that the sums above would not fit.
	if us < c.from || us >= c.to {
		c.from, c.to = us, us+1
	}
}
