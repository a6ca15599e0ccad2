package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/query"
)

// activity makes a question of one of the kinds about people's activity.
func (a *asking) activity() object {
	return a.shared(pick(a.Rand, a.retention, a.retention, a.lifecycle, a.stickiness, a.distribution, a.sessions, a.rfm, a.rfm)())
}

// shared puts parts that every kind has into a question.
func (a *asking) shared(q object) object {
	a.maybePeople(q)
	if a.chance(4) {
		q["filter"] = a.filter(1)
	}
	if a.chance(4) {
		q["timezone"] = zones[a.IntN(len(zones))]
	}
	if a.chance(5) {
		q["week_starts"] = pick(a.Rand, "sunday", "monday")
	}
	if a.chance(6) {
		q["now"] = a.instant()
	}
	return q
}

// named puts the event of a kind that asks about one into a question.
func (a *asking) named(q object) object {
	switch a.IntN(4) {
	case 0:
		q["event"] = pick(a.Rand, "D", names[len(names)-1], "nobody did this")
	case 1, 2:
		q["event"] = pick(a.Rand, "A", "B")
	}
	return q
}

// ranged puts a range of at most a few buckets into a question, or none where
// buckets are long.
func (a *asking) ranged(q object) string {
	interval := pick(a.Rand, "day", "day", "day", "week", "week", "month", "quarter", "year", "all", "hour", "minute")
	q["interval"] = interval
	if interval == "day" && a.chance(2) {
		delete(q, "interval")
	}
	switch {
	case interval == "minute" || interval == "hour":
		at := a.about().UTC().Truncate(time.Second)
		q["from"] = at.Format(time.RFC3339)
		q["to"] = at.Add(time.Duration(1+a.IntN(200)) * time.Minute).Format(time.RFC3339)
	case a.chance(2): // whole days, which bitmaps can answer
		from := a.about()
		if a.IntN(3) > 0 {
			q["from"] = from.Format("2006-01-02")
		}
		if a.IntN(3) > 0 {
			q["to"] = from.AddDate(0, 0, a.IntN(20)).Format("2006-01-02")
		}
	default:
		a.between(q)
	}
	return interval
}

func (a *asking) retention() object {
	q := object{"kind": "retention"}
	interval := a.ranged(q)
	ref := func() object {
		if a.chance(2) {
			return object{"event": pick[any](a.Rand, "A", "B", nil)}
		}
		return a.event()
	}
	q["start"], q["return"] = ref(), ref()
	if a.chance(4) {
		q["return"] = q["start"]
	}
	if a.chance(2) {
		q["mode"] = pick(a.Rand, "first_time", "recurring", "recurring")
	}
	if a.chance(3) {
		q["unbounded"] = true
	}
	if a.chance(2) {
		q["first"] = a.date()
		if a.chance(3) {
			q["first"] = a.instant()
		}
		if q["from"] != nil && a.chance(2) {
			delete(q, "from")
		}
	}
	if a.chance(2) || interval == "minute" || interval == "hour" {
		q["buckets"] = 1 + a.IntN(15)
		if interval == "all" {
			q["buckets"] = 1
		}
		if q["to"] != nil && a.IntN(3) > 0 {
			delete(q, "to")
		}
	}
	if a.chance(3) {
		l := a.list()
		l["row"] = 1 + a.IntN(3)
		q["list"] = l
	}
	return q
}

func (a *asking) lifecycle() object {
	q := a.named(object{"kind": "lifecycle"})
	a.ranged(q)
	return q
}

func (a *asking) stickiness() object {
	q := a.named(object{"kind": "stickiness"})
	a.ranged(q)
	if a.chance(3) {
		l := a.list()
		l["count"] = 1 + a.IntN(4)
		q["list"] = l
	}
	return q
}

func (a *asking) distribution() object {
	q := a.named(object{"kind": "distribution"})
	if a.IntN(3) > 0 {
		a.between(q)
	}
	switch a.IntN(4) {
	case 0:
		q["of"] = "events"
	case 1:
		q["of"], q["property"] = "property", pick(a.Rand, "amount", "amount", "hours", "sku", "tags", "missing")
	case 2:
		q["of"], q["then"] = "time", a.event()
		if a.chance(3) {
			q["ties"] = pick(a.Rand, "strict", "arrival")
		}
	}
	if a.chance(3) {
		q["bins"] = 1 + a.IntN(30)
	}
	return q
}

func (a *asking) sessions() object {
	q := a.named(object{"kind": "sessions"})
	if a.chance(2) {
		a.ranged(q)
	} else if a.chance(2) {
		a.between(q)
	}
	switch a.IntN(4) {
	case 0, 1:
		q["gap"] = a.length()
	case 2:
		q["session"] = pick(a.Rand, "sku", "country", "tags", "amount", "missing")
	}
	return q
}

// compareActivity asks both and says where they differ. sort is the kind asked
// for, and what the answer was like.
func (w *world) compareActivity(body []byte) (sort, diff string) {
	var q object
	if err := json.Unmarshal(body, &q); err != nil {
		panic(err)
	}
	n := &naive{w: w, loc: w.loc, now: w.now.UnixMicro(), sunday: q["week_starts"] == "sunday"}
	if z, ok := q["timezone"].(string); ok {
		n.loc = location(z)
	}
	if s, ok := q["now"].(string); ok {
		n.now = *readSpan(object{"from": s}).from
	}
	n.top, _ = q["filter"].(object)
	kind := q["kind"].(string)
	want := plain(map[string]func(object) any{"retention": n.retention, "lifecycle": n.lifecycle, "stickiness": n.stickiness,
		"distribution": n.distribution, "sessions": n.sessions, "rfm": n.rfm, "paths": n.paths, "campaign": n.campaign}[kind](q))
	answer, err := query.Ask(context.Background(), body, w.env())
	var refused *query.Error
	if errors.As(err, &refused) && refused.Code == query.CodeValue {
		l, _ := q["list"].(object)
		if refused.Path == "list.after" {
			return kind + " refused", ""
		}
		if rows, ok := want.(object)["rows"].([]any); ok && refused.Path == "list.row" && float64(len(rows)) < l["row"].(float64) {
			return kind + " refused", ""
		}
		if refused.Path == "compare.now" && n.momentOf(q["compare"].(object)) >= n.now {
			return kind + " refused", ""
		}
	}
	if err != nil {
		return kind, "the engine refuses: " + err.Error()
	}
	got := plain(answer.Result)
	if d := difference("", want, got); d != "" {
		wantText, _ := json.Marshal(want)
		gotText, _ := json.Marshal(got)
		return kind, fmt.Sprintf("%s\nwant %s\ngot  %s\n%s", d, wantText, gotText, w)
	}
	switch {
	case kind == "campaign" && !empty(got):
		return kind + testedBy(got.(object)), ""
	case empty(got):
		return kind + " of nothing", ""
	case answer.Rows == 0:
		return kind + " from bitmaps", ""
	}
	return kind, ""
}

// empty says whether all that an answer counts is 0.
func empty(v any) bool {
	switch v := v.(type) {
	case object:
		for _, e := range v {
			if !empty(e) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !empty(e) })
	case float64:
		return v == 0
	}
	return true
}

// askActivity compares random questions about one world, and counts them.
func (w *world) askActivity(t *testing.T, r *rand.Rand, seed uint64, counts map[string]int, ask func(*asking) object) {
	a := &asking{Rand: r, w: w}
	for range questions {
		body, err := json.Marshal(ask(a))
		if err != nil {
			t.Fatal(err)
		}
		sort, diff := w.compareActivity(body)
		if counts[sort]++; diff != "" {
			t.Fatalf("-seed %d:\n%s\n%s", seed, body, diff)
		}
	}
}

func logCounts(t *testing.T, counts map[string]int) {
	for _, sort := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%6d %s", counts[sort], sort)
	}
}

// TestActivity is TestOracle with the kinds about activity.
func TestActivity(t *testing.T) { manyWorlds(t, 9, (*asking).activity) }

// manyWorlds asks random questions about random worlds.
func manyWorlds(t *testing.T, stream uint64, ask func(*asking) object) {
	n := *worlds
	if testing.Short() {
		n = min(n, 60)
	}
	counts := map[string]int{}
	for s := *seed; s < *seed+uint64(n); s++ {
		r := rand.New(rand.NewPCG(s, stream))
		newWorld(r).askActivity(t, r, s, counts, ask)
	}
	logCounts(t, counts)
}

// TestActivityOnHistory is the same on the real history, and every second time
// on real people.
func TestActivityOnHistory(t *testing.T) { manyHistories(t, 10, (*asking).activity) }

// manyHistories is manyWorlds on the real history, a tenth as often.
func manyHistories(t *testing.T, stream uint64, ask func(*asking) object) {
	counts := map[string]int{}
	onHistory(t, stream, newWorld, func(t *testing.T, w *world, r *rand.Rand, s uint64) { w.askActivity(t, r, s, counts, ask) })
	logCounts(t, counts)
}
