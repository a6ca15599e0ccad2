package delivery

import (
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// quiet says whether marketing must wait for this person now, and until when.
func (d *Delivery) quiet(profile []event.Prop, now time.Time) (time.Time, bool) {
	q := d.o.Quiet
	if q.From == q.To {
		return time.Time{}, false
	}
	loc := d.zones.get(event.Lookup(profile, d.o.TZ).Text())
	if loc == nil {
		loc = d.o.Location
	}
	local := now.In(loc)
	minute := local.Hour()*60 + local.Minute()
	day := local
	switch {
	case q.From < q.To && (minute < q.From || minute >= q.To):
		return time.Time{}, false
	case q.From > q.To && minute < q.From && minute >= q.To:
		return time.Time{}, false
	case q.From > q.To && minute >= q.From: // over midnight: ends tomorrow
		day = local.AddDate(0, 0, 1)
	}
	until := time.Date(day.Year(), day.Month(), day.Day(), q.To/60, q.To%60, 0, 0, loc)
	return until.UTC(), true
}

// maxZones bounds the zones kept; there are some 600 names.
const maxZones = 1024

// zones keeps time zones that were loaded.
type zones struct {
	mu sync.Mutex
	m  map[string]*time.Location
}

// get loads a zone by its IANA name; nil if there is none of that name.
func (z *zones) get(name string) *time.Location {
	// "Local" would be the machine's, which has nothing to do with the person.
	if name == "" || name == "Local" || len(name) > 64 {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if loc, ok := z.m[name]; ok {
		return loc
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		loc = nil
	}
	if z.m == nil || len(z.m) >= maxZones {
		z.m = map[string]*time.Location{}
	}
	z.m[name] = loc
	return loc
}
