package history

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// spot is where a row of a timeline lies, and its place in the order.
type spot struct {
	rows *Rows
	row  int
	time int64
	gen  uint64
	tie  uint32
}

func (a *spot) compare(b *spot) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.gen, b.gen), cmp.Compare(a.tie, b.tie))
}

// Timeline gives at most limit rows of these people before an instant (0 =
// all), newest first or, with asc, oldest first. A row's properties are in the
// order of their keys.
func (s *Snapshot) Timeline(ctx context.Context, persons []uint32, before int64, limit int, asc bool) ([]Row, error) {
	if limit <= 0 {
		return nil, nil
	}
	to := int64(math.MaxInt64)
	if before != 0 {
		to = before
	}
	var spots []spot
	var parts [event.Partitions][]uint32
	for _, p := range persons {
		parts[event.PartitionOf(p)] = append(parts[event.PartitionOf(p)], p)
	}
	for part, who := range parts {
		if len(who) == 0 {
			continue
		}
		err := s.Scan(ctx, part, Want{From: math.MinInt64, To: to}, func(r *Rows) error {
			for row, p := range r.Persons {
				if !slices.Contains(who, p) || r.Times[row] >= to && before != 0 {
					continue
				}
				sp := spot{rows: r, row: row, time: r.Times[row], gen: r.Generation}
				if r.Ties != nil {
					sp.tie = r.Ties[row]
				}
				spots = append(spots, sp)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(spots, func(a, b spot) int { return a.compare(&b) })
	if !asc {
		slices.Reverse(spots)
	}
	spots = spots[:min(limit, len(spots))]
	return s.read(spots)
}

// read makes rows of spots.
func (s *Snapshot) read(spots []spot) ([]Row, error) {
	keys := slices.Clone(s.v.keys)
	slices.Sort(keys)
	out := make([]Row, 0, len(spots))
	for _, sp := range spots {
		row := Row{Person: sp.rows.Persons[sp.row], Time: sp.time, Name: sp.rows.Names[sp.rows.Events[sp.row]]}
		for _, key := range keys {
			col, err := sp.rows.Column(key)
			if err != nil {
				return nil, err
			}
			if col == nil {
				continue
			}
			if v := col.Value(sp.row); !v.IsNull() {
				row.Props = append(row.Props, event.Prop{Key: key, Value: v})
			}
		}
		out = append(out, row)
	}
	return out, nil
}
