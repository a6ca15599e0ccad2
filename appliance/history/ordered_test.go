package history

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// ordered gives all rows as Ordered has them, under the numbers that as gives,
// with everybody's rows in their winner's partition.
func (h *house) ordered(w Want, winners map[uint32]uint32) (out []string) {
	h.t.Helper()
	s := h.Snapshot()
	defer s.Release()
	o := s.Ordered()
	others := make([][]uint32, event.Partitions)
	for loser, winner := range winners {
		p := event.PartitionOf(winner)
		others[p] = append(others[p], loser)
	}
	for _, day := range s.DaysOf(w.Names) {
		for part := range event.Partitions {
			as := func(person uint32) (uint32, bool) {
				if winner, ok := winners[person]; ok {
					person = winner
				}
				return person, event.PartitionOf(person) == part
			}
			err := o.Of(context.Background(), day, part, others[part], w, as, func(as uint32, row Row) error {
				out = append(out, line(day, as, row))
				return nil
			})
			if err != nil {
				h.t.Fatal(err)
			}
		}
	}
	return out
}

func line(day int32, as uint32, r Row) string {
	return fmt.Sprintf("%d %d/%d %d %s %s", day, as, r.Person, r.Time, r.Name, event.AppendJSONProps(nil, r.Props))
}

// The order is by day of the publisher's, partition, person, time and arrival,
// whatever was frozen, merged and opened again; also where a clock goes back
// over midnight, so that a day is not one stretch of time.
func TestOrdered(t *testing.T) {
	zone, err := time.LoadLocation("America/St_Johns")
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, Options{Location: zone})
	r := rand.New(rand.NewPCG(1, 2))
	winners := map[uint32]uint32{}
	for n := uint32(1); n < 120; n += 7 {
		winners[n] = n + 1
	}
	// At 0:01 of 7 November 2010 it became 23:01 of the day before.
	begin := time.Date(2010, 11, 5, 12, 0, 0, 0, time.UTC)
	type placedRow struct {
		Row
		arrived int
	}
	var all []placedRow
	for batch := range 40 {
		var rows []Row
		for range 100 {
			at := begin.Add(time.Duration(r.IntN(3*24*60)) * time.Minute).UnixMicro()
			rows = append(rows, row(1+uint32(r.IntN(130)), at, []string{"A", "B", "C"}[r.IntN(3)], prop("n", len(all)+len(rows))))
		}
		for _, one := range rows {
			all = append(all, placedRow{one, len(all)})
		}
		h.append(rows...)
		if batch%9 == 8 {
			if err := h.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	as := func(n uint32) uint32 {
		if w, ok := winners[n]; ok {
			return w
		}
		return n
	}
	day := func(us int64) int32 {
		y, m, d := time.UnixMicro(us).In(zone).Date()
		return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	}
	slices.SortFunc(all, func(a, b placedRow) int {
		x, y := as(a.Person), as(b.Person)
		return cmp.Or(cmp.Compare(day(a.Time), day(b.Time)), cmp.Compare(event.PartitionOf(x), event.PartitionOf(y)), cmp.Compare(x, y),
			cmp.Compare(a.Time, b.Time), cmp.Compare(a.arrived, b.arrived))
	})
	wants := map[string]Want{
		"everything":  {From: begin.AddDate(-1, 0, 0).UnixMicro(), To: begin.AddDate(1, 0, 0).UnixMicro()},
		"some hours":  {From: begin.Add(7 * time.Hour).UnixMicro(), To: begin.Add(40 * time.Hour).UnixMicro()},
		"some events": {From: 0, To: begin.AddDate(1, 0, 0).UnixMicro(), Names: []string{"B"}},
	}
	for _, when := range []string{"with rows in the head", "all frozen", "opened again"} {
		switch when {
		case "all frozen":
			if err := h.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
		case "opened again":
			h.restart()
		}
		for name, w := range wants {
			var want []string
			for _, one := range all {
				if one.Time >= w.From && one.Time < w.To && (w.Names == nil || slices.Contains(w.Names, one.Name)) {
					want = append(want, line(day(one.Time), as(one.Person), one.Row))
				}
			}
			got := h.ordered(w, winners)
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("%s, %s: %d rows, %d expected; line %d is %q, want %q", when, name, len(got), len(want), i, nth(got, i), nth(want, i))
				}
			}
		}
	}
}

func nth(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}
