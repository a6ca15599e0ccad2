package query_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

func askPaths(t *testing.T, env query.Env, text string) *query.PathsResult {
	t.Helper()
	a, err := query.Ask(t.Context(), []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	return a.Result.(*query.PathsResult)
}

// TestLongPaths: a person with very many events, of which each is a node of
// its own, and all are one session.
func TestLongPaths(t *testing.T) {
	const events = 200_000
	var g memory.Generation
	start := time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for i := range events {
		g.Rows = append(g.Rows, history.Row{Person: 1, Name: "A", Time: start + int64(i)*1e6,
			Props: []event.Prop{{Key: "n", Value: event.OfInt(int64(i))}}})
	}
	numbers := memory.People{{Identity: "ann"}}
	env := query.Env{Data: query.Data{History: memory.New(time.UTC, g), People: numbers}, Find: numbers.Find}
	r := askPaths(t, env, `{"kind":"paths","by":"n","depth":100}`)
	if len(r.Edges) != 99 || len(r.Paths) != 1 || len(r.Paths[0].Nodes) != 100 || r.Paths[0].Nodes[99].String() != "99" {
		t.Errorf("%d edges, %d paths", len(r.Edges), len(r.Paths))
	}
	if r = askPaths(t, env, `{"kind":"paths","by":"n","depth":3,"end":{}}`); len(r.Paths) != 1 || fmt.Sprint(r.Paths[0].Nodes) != "[199997 199998 199999]" {
		t.Error(r.Paths)
	}
	r = askPaths(t, env, `{"kind":"paths","depth":100,"collapse":false,"by_step":false}`)
	if len(r.Edges) != 1 || r.Edges[0].Count != 99 || r.Edges[0].People != 1 {
		t.Error(r.Edges)
	}
	if r = askPaths(t, env, `{"kind":"paths"}`); len(r.Edges) != 0 || len(r.Paths) != 1 || r.Paths[0].Count != 1 {
		t.Error(r)
	}
}

// TestManyPaths: of very many different paths the first few are those that the
// whole list begins with.
func TestManyPaths(t *testing.T) {
	env := crowd(12_000)
	whole := askPaths(t, env, `{"kind":"paths","by":"n","within":{"n":1,"unit":"hour"},"limit":10000,"collapse":false,"depth":2}`)
	if len(whole.Paths) != 10_000 {
		t.Fatalf("%d paths", len(whole.Paths))
	}
	for _, limit := range []int{1, 2, 3, 10, 999, 5000} {
		r := askPaths(t, env, fmt.Sprintf(`{"kind":"paths","by":"n","within":{"n":1,"unit":"hour"},"limit":%d,"collapse":false,"depth":2}`, limit))
		if len(r.Paths) != limit || fmt.Sprint(r.Paths) != fmt.Sprint(whole.Paths[:limit]) || fmt.Sprint(r.Edges) != fmt.Sprint(whole.Edges[:limit]) {
			t.Errorf("the first %d are others", limit)
		}
	}
}

// TestManyNames: where there are so many event names that not every step of a
// path is remembered, the answer is the same as from rows that a filter, which
// holds for all, has read one by one.
func TestManyNames(t *testing.T) {
	var g memory.Generation
	start := time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	const people = 700
	for p := range people {
		for k := range 12 {
			g.Rows = append(g.Rows, history.Row{Person: uint32(p + 1), Name: fmt.Sprint("E", (p*p+k*31*(p%3))%9000), Time: start + int64(k)*60e6})
		}
	}
	numbers := make(memory.People, people)
	for _, layout := range []memory.Layout{memory.Arrival, memory.ByDay} {
		g.Layout = layout
		env := query.Env{Data: query.Data{History: memory.New(time.UTC, g), People: numbers}, Find: numbers.Find}
		for _, more := range []string{``, `,"start":{"event":"E0"}`, `,"collapse":false,"depth":12`, `,"within":{"n":0,"unit":"second"}`} {
			fast := askPaths(t, env, `{"kind":"paths","limit":10000`+more+`}`)
			slow := askPaths(t, env, `{"kind":"paths","limit":10000`+more+`,"filter":{"property":"x","op":"not_exists"}}`)
			if fmt.Sprint(fast) != fmt.Sprint(slow) || len(fast.Paths) == 0 {
				t.Errorf("%s: %d paths and %d edges, %d and %d from rows one by one", more, len(fast.Paths), len(fast.Edges), len(slow.Paths), len(slow.Edges))
			}
		}
	}
}
