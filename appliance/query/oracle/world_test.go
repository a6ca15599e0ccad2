package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// occurrence is one event as it arrived.
type occurrence struct {
	seq    int    // of arrival
	number uint32 // of whom, before merges
	time   int64
	name   string
	props  map[string]any // as JSON has them; a time.Time is an instant
}

// someone is one person after merges.
type someone struct {
	number   uint32
	identity string   // listed
	others   []string // of the numbers merged into this one
	profile  map[string]any
	reach    []string
	consent  [][2]string
	lists    []string
	events   []occurrence // by time, then arrival
}

// world is what is asked about, in a form for each of the two evaluators.
type world struct {
	loc    *time.Location
	now    time.Time
	people []*someone // living, by number
	saved  map[string]string
	goals  map[string]query.Goal // of campaigns
	rfms   map[string][]byte
	lists  []string // their names

	rows    []history.Row // in order of arrival
	history query.History
	numbers query.People
	find    func(identity string) (uint32, bool)
	count   int // of numbers
}

var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Asia/Beirut", "Africa/Cairo"}

func location(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return loc
}

// seasons are times of the year with a change of the clock in one of the zones.
var seasons = []time.Time{
	time.Date(2011, 3, 24, 0, 0, 0, 0, time.UTC),
	time.Date(2011, 10, 14, 0, 0, 0, 0, time.UTC),
	time.Date(2011, 10, 27, 0, 0, 0, 0, time.UTC),
	time.Date(2011, 12, 27, 0, 0, 0, 0, time.UTC), // Apia has no 30th
	time.Date(2012, 2, 24, 0, 0, 0, 0, time.UTC),
	time.Date(2010, 11, 5, 0, 0, 0, 0, time.UTC),
}

var names = []string{"A", "B", "C", "D", event.NotificationSent, event.NotificationClicked}

// newWorld makes a small world; everything about it follows from r.
func newWorld(r *rand.Rand) *world { return newWorldOf(r, names, randomProps) }

// newWorldOf is a world of events with these names and properties.
func newWorldOf(r *rand.Rand, names []string, randomProps func(*rand.Rand) map[string]any) *world {
	w := &world{loc: location(zones[r.IntN(len(zones))]), saved: map[string]string{}, rfms: map[string][]byte{}}
	base := seasons[r.IntN(len(seasons))]
	people := 1 + r.IntN(14)
	if r.IntN(8) == 0 {
		people = 150 // several to a partition
	}
	numbers := randomPeople(r, people)
	w.numbers, w.find, w.count, w.lists = numbers, numbers.Find, people, numbers.Lists()
	living := map[uint32]*someone{}
	for i, p := range numbers {
		if n := uint32(i + 1); p.Winner == 0 && !p.Erased {
			living[n] = &someone{number: n, identity: p.Identity, profile: plainProfile(p.Profile), reach: p.Reachable, consent: p.Consent, lists: slices.Clone(p.Lists)}
			w.people = append(w.people, living[n])
		}
	}
	for i, p := range numbers {
		if to := living[p.Winner]; to != nil && numbers.Winner(uint32(i+1)) != uint32(i+1) {
			to.others = append(to.others, p.Identity)
			to.lists = append(to.lists, p.Lists...)
		}
	}
	// Few instants, so that many events share one.
	step := []time.Duration{time.Minute, 30 * time.Minute, 6 * time.Hour, 20 * time.Hour}[r.IntN(4)]
	instants := 5 + r.IntN(40)
	count := r.IntN(40)
	if r.IntN(3) == 0 {
		count = r.IntN(400)
	}
	var generations []memory.Generation
	for seq := range count {
		o := occurrence{seq: seq, number: uint32(1 + r.IntN(people)), name: names[r.IntN(len(names))], props: randomProps(r)}
		o.time = base.Add(time.Duration(r.IntN(instants)) * step).UnixMicro()
		if r.IntN(10) == 0 {
			o.time += int64(r.IntN(3)) // microseconds apart
		}
		if len(generations) == 0 || r.IntN(60) == 0 {
			generations = append(generations, memory.Generation{Layout: memory.Layout(r.IntN(3)), Codes: r.IntN(2) == 0})
		}
		g := &generations[len(generations)-1]
		g.Rows = append(g.Rows, history.Row{Person: o.number, Time: o.time, Name: o.name, Props: props(o.props)})
		w.rows = append(w.rows, g.Rows[len(g.Rows)-1])
		if p := living[numbers.Winner(o.number)]; p != nil && !numbers[o.number-1].Erased {
			p.events = append(p.events, o)
		}
	}
	for _, p := range w.people {
		slices.SortStableFunc(p.events, func(a, b occurrence) int { return int(a.time - b.time) })
	}
	w.now = base.Add(time.Duration(r.IntN(instants+2)) * step)
	w.history = memory.New(w.loc, generations...)
	return w
}

func (w *world) env() query.Env {
	return query.Env{
		Data: query.Data{History: w.history, People: w.numbers}, Location: w.loc, Now: func() time.Time { return w.now },
		Segment: func(name string) ([]byte, bool) { s, ok := w.saved[name]; return []byte(s), ok },
		Goal:    func(campaign string) (query.Goal, bool) { g, ok := w.goals[campaign]; return g, ok },
		RFMs:    func() map[string][]byte { return w.rfms },
		Find:    w.find,
	}
}

func randomPeople(r *rand.Rand, n int) memory.People {
	out := make(memory.People, n)
	for i := range out {
		p := &out[i]
		p.Identity = fmt.Sprintf("p%d", i+1)
		p.Profile = map[string]event.Value{}
		for _, key := range []string{"plan", "age", "tags"} {
			if v := randomValue(r, key); v != nil && r.IntN(4) > 0 {
				p.Profile[key] = value(v)
			}
		}
		for _, channel := range []string{"email", "sms", "push"} {
			if r.IntN(2) == 0 {
				p.Reachable = append(p.Reachable, channel)
			}
			if r.IntN(2) == 0 {
				p.Consent = append(p.Consent, [2]string{"offers", channel})
			}
		}
		for _, list := range []string{"vips", "staff"} {
			if r.IntN(3) == 0 {
				p.Lists = append(p.Lists, list)
			}
		}
		p.Codes = r.IntN(4) == 0
		p.Erased = r.IntN(8) == 0
	}
	if r.IntN(3) > 0 {
		for i := range out {
			w := r.IntN(n)
			if r.IntN(4) == 0 && i != w && out[w].Winner == 0 && !slices.ContainsFunc(out, func(p memory.Person) bool { return p.Winner == uint32(i+1) }) {
				out[i].Winner = uint32(w + 1)
				out[i].Erased = out[w].Erased
			}
		}
	}
	return out
}

func randomProps(r *rand.Rand) map[string]any {
	out := map[string]any{}
	for _, key := range []string{"country", "amount", "sku", "tags", "hours", "when", "Items", "items"} {
		if v := randomValue(r, key); v != nil {
			out[key] = v
		}
	}
	return out
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomValue is a value that a property may have, nil for none. They are few,
// so that equal ones meet, and not always of one kind.
func randomValue(r *rand.Rand, key string) any {
	if r.IntN(5) == 0 {
		return nil
	}
	switch key {
	case "country":
		return pick[any](r, "IN", "DE", "de", "", "IN", "Côte d’Ivoire", 7, true)
	case "amount":
		return pick[any](r, 1, 2, 3, 10, 2.5, -1, "3", "2.50", "many", 1e3, 0.1)
	case "age":
		return pick[any](r, 18, 30, 30.5, 64, 18, 30)
	case "plan":
		return pick[any](r, "free", "gold", "Gold", "free", 1)
	case "sku":
		return pick[any](r, "x", "y", 1, "1")
	case "hours":
		return pick[any](r, 1, 2, 0, 24, 0.5, "6", -1, "soon")
	case "when":
		return pick[any](r, "2011-11-01", "2011-03-27T02:30:00Z", "later", time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC), 5)
	case "tags":
		return pick[any](r, []any{"new", "Red"}, []any{}, []any{"red", "red", 3}, "red", []any{1, nil}, []any{"new"})
	case "Items", "items":
		if r.IntN(3) > 0 {
			return nil
		}
		one := func() map[string]any {
			m := map[string]any{"sku": pick[any](r, "x", "y", 1), "price": pick[any](r, 5, 10, "10", 2.5)}
			if r.IntN(3) == 0 {
				delete(m, "price")
			}
			if r.IntN(4) == 0 {
				m["tags"] = []any{"red", "new"}
			}
			return m
		}
		return pick[any](r, []any{one(), one()}, []any{one()}, []any{}, one())
	}
	return nil
}

// value turns what JSON has into a Value, as the door would.
func value(v any) event.Value {
	if t, ok := v.(time.Time); ok {
		return event.OfTime(t)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	out, err := event.ParseJSON(b)
	if err != nil {
		panic(err)
	}
	return out
}

func props(m map[string]any) []event.Prop {
	var out []event.Prop
	for key, v := range m {
		out = append(out, event.Prop{Key: key, Value: value(v)})
	}
	return out
}

func plainProfile(m map[string]event.Value) map[string]any {
	out := map[string]any{}
	for key, v := range m {
		var plain any
		if err := json.Unmarshal(v.AppendJSON(nil), &plain); err != nil {
			panic(err)
		}
		out[key] = plain
	}
	return out
}
