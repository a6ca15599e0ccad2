package oracle

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

var large = flag.Bool("large", false, "TestLarge at its full size: a person with a million events")

// The shape of a large history: half of all events are one person's, and half
// on one day; a quarter are of others of that person's partition.
const (
	largeDays = 30
	busyDay   = 17
	giant     = 7
	values    = 20_000 // distinct ones of "v"
	numbers   = 20_000 // of people
)

var largeBase = time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC)

// happened is one event of the large history.
type happened struct {
	person uint32
	at     int64
	name   string
	v, n   int
}

// makeLarge makes events in order of arrival, which is not that of time.
func makeLarge(count int) []happened {
	r := rand.New(rand.NewPCG(1, 12))
	out := make([]happened, count)
	for i := range out {
		h := happened{person: giant, name: "A", v: r.IntN(values), n: r.IntN(1000)}
		switch i % 4 {
		case 0:
			h.person = giant + event.Partitions*uint32(1+r.IntN(300))
		case 1:
			h.person = 1 + uint32(r.IntN(numbers))
		}
		if r.IntN(3) == 0 {
			h.name = "B"
		}
		day := busyDay
		if r.IntN(2) == 0 {
			day = r.IntN(largeDays)
		}
		h.at = largeBase.AddDate(0, 0, day).Add(time.Duration(r.IntN(86_400)) * time.Second).UnixMicro() // many at one instant
		out[i] = h
	}
	return out
}

// keepLarge carries events into a history on real engines: frozen as they come,
// compacted, and some left in memory.
func keepLarge(t *testing.T, events []happened) query.Env {
	e := openEngines(t)
	h, err := history.Open(e.db, e.shelves, e.keys, history.Options{FreezeRows: len(events) / 3})
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(events, 5000) {
		rows := make([]history.Row, len(part))
		for i, o := range part {
			rows[i] = history.Row{Person: o.person, Time: o.at, Name: o.name, Props: []event.Prop{
				{Key: "v", Value: event.OfText(fmt.Sprintf("v%05d", o.v))}, {Key: "n", Value: event.OfInt(int64(o.n))}}}
		}
		if err := e.db.Update(func(t *kv.Txn) error { return h.Append(t, rows) }); err != nil {
			t.Fatal(err)
		}
		h.Committed()
	}
	if err := h.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := h.Snapshot()
	t.Cleanup(func() {
		s.Release()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	people := make(memory.People, numbers)
	for i := range people {
		people[i].Identity = fmt.Sprint("p", i+1)
	}
	return query.Env{Data: query.Data{History: s, People: people}, Find: people.Find, Now: func() time.Time { return largeBase.AddDate(0, 0, largeDays) }}
}

// TestLarge: a person with a million events, far more than 65,536 rows in a day
// of a partition, and twenty thousand distinct values, counted directly. The
// short form has a sixth of that.
func TestLarge(t *testing.T) {
	count := 340_000
	if *large {
		count = 2_000_000
	}
	events := makeLarge(count)
	env := keepLarge(t, events)
	d := countLarge(events)
	if most := d.busiest(events); most <= 1<<16 {
		t.Fatalf("%d rows in a day of a partition", most)
	}
	ask := func(body string) object {
		t.Helper()
		a, err := query.Ask(t.Context(), []byte(body), env)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		t.Logf("%s: %d rows", body, a.Rows)
		return plain(a.Result).(object)
	}
	same := func(what string, got, want any) {
		t.Helper()
		if diff := difference("", plain(want), got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	series := func(o object, i int) object { return o["series"].([]any)[i].(object) }

	out := ask(`{"kind":"trend","from":"2011-11-01","to":"2011-11-30","series":[{"event":"A"},{"event":"A","measure":"unique"},{"measure":"sum","property":"n"},
		{"measure":"median","property":"n"},{"measure":"p99","property":"n"},{"measure":"distinct","property":"v"}]}`)
	for i, want := range [][]float64{d.countA, d.uniqueA, d.sum, d.median, d.p99, d.distinct} {
		same(fmt.Sprint("trend, series ", i), series(out, i)["values"], want)
	}
	out = ask(`{"kind":"trend","interval":"all","series":[{"measure":"distinct","property":"v"},{"measure":"unique"}]}`)
	same("distinct values", series(out, 0)["total"], values)
	same("people", series(out, 1)["total"], len(d.people))

	out = ask(`{"kind":"trend","interval":"all","breakdown":{"property":"v","limit":5},"series":[{}]}`)
	same("values left out", out["other"], values-5)
	for i, want := range d.top(5) {
		same("a value", series(out, i)["breakdown"], []string{want.text})
		same("its total", series(out, i)["total"], want.count)
	}
	out = ask(`{"kind":"trend","interval":"all","breakdown":{"of":"person","limit":1},"series":[{}]}`)
	same("whose most are", series(out, 0)["breakdown"], []string{"p7"})
	same("how many", series(out, 0)["total"], d.people[giant])

	out = ask(`{"kind":"segment","people":{"did":{"event":"B"},"count":{"op":">=","value":20},"in":{"from":"2011-11-18","to":"2011-11-18"}}}`)
	same("who did B often", out["count"], d.often(events, 20))
	out = ask(`{"kind":"funnel","count":"attempts","window":{"n":30,"unit":"second"},"steps":[{"event":"A"},{"event":"B"}]}`)
	steps := out["steps"].([]any)
	same("attempts", steps[0].(object)["people"], d.attempts)
	same("that go on", steps[1].(object)["people"], d.converted)
	out = ask(`{"kind":"sessions","gap":{"n":60,"unit":"second"}}`)
	same("sessions", out["sessions"], d.sessions)
	same("the longest", out["max_events"], d.longest)
	out = ask(`{"kind":"distribution","of":"events"}`)
	same("the most of one person", out["max"], d.people[giant])
}

// TestBeyondCeilings: what has a name or key that there is no number left for is
// refused and said so, and nothing else is lost by it, through a freeze and a
// restart.
func TestBeyondCeilings(t *testing.T) {
	const extra = 40
	e := openEngines(t)
	refused := map[string]int{}
	o := history.Options{Refused: func(name, key string) { refused[name+"/"+key]++ }}
	h, err := history.Open(e.db, e.shelves, e.keys, o)
	if err != nil {
		t.Fatal(err)
	}
	at := largeBase.UnixMicro()
	write := func(rows ...history.Row) {
		t.Helper()
		if err := e.db.Update(func(t *kv.Txn) error { return h.Append(t, rows) }); err != nil {
			t.Fatal(err)
		}
		h.Committed()
	}
	for i := range history.MaxNames + extra {
		write(history.Row{Person: uint32(1 + i%3), Time: at, Name: fmt.Sprint("name ", i), Props: []event.Prop{{Key: "always", Value: event.OfInt(int64(i))}}})
		if i == history.MaxNames/2 {
			if err := h.Freeze(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h, err = history.Open(e.db, e.shelves, e.keys, o); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range history.MaxKeys - 1 + extra {
		write(history.Row{Person: 4, Time: at, Name: "name 0", Props: []event.Prop{{Key: fmt.Sprint("key ", i), Value: event.OfInt(1)}, {Key: "always", Value: event.OfInt(0)}}})
	}
	for i := range extra {
		if name, key := fmt.Sprintf("name %d/", history.MaxNames+i), fmt.Sprintf("name 0/key %d", history.MaxKeys-1+i); refused[name] != 1 || refused[key] != 1 {
			t.Errorf("%q %d times, %q %d times", name, refused[name], key, refused[key])
		}
	}
	if len(refused) != 2*extra {
		t.Errorf("%d are refused", len(refused))
	}
	s := h.Snapshot()
	defer s.Release()
	env := query.Env{Data: query.Data{History: s, People: memory.People{{Identity: "a"}, {Identity: "b"}, {Identity: "c"}, {Identity: "d"}}}}
	for body, want := range map[string]float64{
		`{"kind":"trend","interval":"all","series":[{}]}`:                                                       history.MaxNames + history.MaxKeys - 1 + extra,
		`{"kind":"trend","interval":"all","series":[{"measure":"distinct","property":"always"}]}`:               history.MaxNames,
		`{"kind":"trend","interval":"all","series":[{"event":"name 1023"}]}`:                                    1,
		`{"kind":"trend","interval":"all","series":[{"event":"name 1024"}]}`:                                    0,
		`{"kind":"trend","interval":"all","series":[{"filter":{"property":"key 2046","op":"exists"}}]}`:         1,
		`{"kind":"trend","interval":"all","series":[{"filter":{"property":"key 2047","op":"exists"}}]}`:         0,
		`{"kind":"trend","interval":"all","series":[{"event":"name 0","measure":"sum","property":"key 2047"}]}`: 0,
	} {
		a, err := query.Ask(t.Context(), []byte(body), env)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got := plain(a.Result).(object)["series"].([]any)[0].(object)["total"]; got != want {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
}
