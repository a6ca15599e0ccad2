package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// rfm is a question of kind rfm.
func (a *asking) rfm() object {
	q := a.scoring()
	q["kind"] = "rfm"
	if a.chance(2) {
		q["now"] = a.about().UTC().Format(time.RFC3339Nano)
	}
	if a.chance(2) {
		at := a.w.now.Add(-time.Duration(a.IntN(300)) * time.Hour)
		if a.chance(2) {
			at = a.about() // the instant of an event, as a rule
		}
		q["compare"] = object{"now": at.UTC().Format(time.RFC3339Nano)}
		if a.chance(3) {
			q["compare"] = object{"now": at.Format("2006-01-02")}
		}
	}
	return q
}

// scoring is what an rfm question and a saved rfm have in common, without people.
func (a *asking) scoring() object {
	q := a.named(object{"amount": pick(a.Rand, "amount", "amount", "amount", "hours", "tags", "missing")})
	if a.chance(3) {
		a.between(q)
	}
	switch a.IntN(3) {
	case 0:
		q["frequency"] = "events"
	case 1:
		q["frequency"] = pick(a.Rand, "sku", "country", "tags", "missing")
	}
	bins := 5
	if a.chance(2) {
		bins = 2 + a.IntN(9)
		q["bins"] = bins
	}
	if a.chance(3) {
		groups := []any{}
		for i := range a.IntN(5) {
			g := object{"name": fmt.Sprint("group ", i)}
			for _, key := range []string{"r", "f", "m"} {
				if a.chance(2) {
					low := 1 + a.IntN(bins)
					g[key] = []any{low, low + a.IntN(bins-low+1)}
				}
			}
			groups = append(groups, g)
		}
		q["groups"] = append(groups, object{"name": "the rest"})
	}
	return q
}

// group is people by a group of a saved rfm.
func (a *asking) group(depth int) object {
	if len(a.w.rfms) == 0 || len(a.w.rfms) < 5 && a.chance(2) {
		q := a.scoring()
		if a.chance(3) {
			q["filter"] = a.filter(1)
		}
		if a.chance(3) {
			q["people"] = a.people(max(depth-1, 0))
		}
		b, err := json.Marshal(q)
		if err != nil {
			panic(err)
		}
		a.w.rfms[fmt.Sprint("rfm ", len(a.w.rfms))] = b
	}
	names := slices.Sorted(maps.Keys(a.w.rfms))
	name := names[a.IntN(len(names))]
	var saved struct{ Groups []struct{ Name string } }
	if err := json.Unmarshal(a.w.rfms[name], &saved); err != nil {
		panic(err)
	}
	groups := gridNames
	if len(saved.Groups) > 0 {
		groups = nil
		for _, g := range saved.Groups {
			groups = append(groups, g.Name)
		}
	}
	return object{"rfm": groups[a.IntN(len(groups))], "of": name}
}
