package oracle

import "testing"

// paths makes a question about paths: as often as not of the usual sort, by
// name and without a filter.
func (a *asking) paths() object {
	q := object{"kind": "paths"}
	if a.chance(3) {
		a.between(q)
	}
	usual := a.chance(2)
	ref := func() object {
		if usual || a.chance(2) {
			return object{"event": pick(a.Rand, "A", "B", "D", names[len(names)-1])}
		}
		return a.event()
	}
	switch a.IntN(4) {
	case 0, 1:
		q["start"] = ref()
	case 2:
		q["end"] = ref()
	}
	if a.chance(3) {
		events := []any{}
		for range 1 + a.IntN(4) {
			events = append(events, ref())
		}
		q["events"] = events
	}
	if usual && a.chance(4) { // all there is
		q["events"] = []any{object{}, object{"event": names[len(names)-1]}, object{"event": names[len(names)-2]}}
	}
	if a.IntN(3) > 0 {
		q["depth"] = 1 + a.IntN(8)
	}
	if a.chance(3) {
		q["limit"] = 1 + a.IntN(8)
	}
	if a.chance(2) {
		q["collapse"] = a.chance(4)
	}
	if a.chance(3) {
		q["by_step"] = a.chance(4)
	}
	if a.chance(2) {
		q["within"] = a.length()
	}
	if usual {
		if a.chance(3) {
			a.maybePeople(q)
		}
		return q
	}
	if a.chance(3) {
		delete(q, "within")
		q["session"] = pick(a.Rand, "sku", "country", "tags", "amount", "missing")
	}
	if a.chance(2) {
		q["by"] = pick(a.Rand, "country", "amount", "sku", "tags", "when", "missing")
	}
	return a.shared(q)
}

// TestPaths is TestOracle with paths.
func TestPaths(t *testing.T) { manyWorlds(t, 11, (*asking).paths) }

// TestPathsOnHistory is the same on the real history.
func TestPathsOnHistory(t *testing.T) { manyHistories(t, 12, (*asking).paths) }
