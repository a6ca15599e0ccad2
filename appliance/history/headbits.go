package history

import (
	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// headBits are a head's people by name and day, made when somebody asks and
// carried on from there.
type headBits struct {
	upTo [event.Partitions]uint32 // rows that are in
	rows int
	sets map[uint64]*roaring.Bitmap // by pair of name and day
}

func (b *headBits) extend(v *headView, cal *calendar) {
	if b.sets == nil {
		b.sets = make(map[uint64]*roaring.Bitmap)
	}
	for part := range event.Partitions {
		from := b.upTo[part]
		persons, times, events, _ := v.rowsOf(part)
		if int(from) >= len(persons) {
			continue
		}
		for i := int(from); i < len(persons); i++ {
			key := pair(events[i], cal.of(times[i]))
			set := b.sets[key]
			if set == nil {
				set = roaring.New()
				b.sets[key] = set
			}
			set.Add(persons[i])
		}
		b.upTo[part] = uint32(len(persons))
	}
	b.rows = v.rows
}

// daySets are a head's people by name and day, and those with any event of the
// apps by day, as of a view. They do not change.
type daySets struct {
	by  map[uint64]*roaring.Bitmap // by pair of name and day
	any map[int32]*roaring.Bitmap
}

// daySets makes them: of what other views asked for, unless somebody asked for
// later rows already, which this view must not see.
func (v *headView) daySets(cal *calendar, own func(name uint16) bool) *daySets {
	out := &daySets{by: make(map[uint64]*roaring.Bitmap), any: make(map[int32]*roaring.Bitmap)}
	v.head.bitsMu.Lock()
	b := &v.head.bits
	if b.rows > v.rows {
		v.head.bitsMu.Unlock()
		b = &headBits{}
		b.extend(v, cal)
		out.by = b.sets
	} else {
		b.extend(v, cal)
		for key, set := range b.sets {
			out.by[key] = set.Clone()
		}
		v.head.bitsMu.Unlock()
	}
	for key, set := range out.by {
		name, day := unpair(key)
		if own(name) {
			continue
		}
		if out.any[day] == nil {
			out.any[day] = roaring.New()
		}
		out.any[day].Or(set)
	}
	return out
}
