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

// people gives a copy of the people with an event on a day, as of the view;
// nil where there is nobody.
func (v *headView) people(name uint16, day int32, cal *calendar) *roaring.Bitmap {
	v.head.bitsMu.Lock()
	defer v.head.bitsMu.Unlock()
	b := &v.head.bits
	if b.rows > v.rows {
		// Somebody asked later rows in already; this view must not see them.
		return v.fresh(name, day, cal)
	}
	b.extend(v, cal)
	if set := b.sets[pair(name, day)]; set != nil {
		return set.Clone()
	}
	return nil
}

// fresh reads the rows through.
func (v *headView) fresh(name uint16, day int32, cal *calendar) *roaring.Bitmap {
	var set *roaring.Bitmap
	for part := range event.Partitions {
		persons, times, events, _ := v.rowsOf(part)
		for i, e := range events {
			if e == name && cal.of(times[i]) == day {
				if set == nil {
					set = roaring.New()
				}
				set.Add(persons[i])
			}
		}
	}
	return set
}
