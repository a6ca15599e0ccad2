package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// mailNames are the events of a world in which campaigns write to people.
var mailNames = []string{"A", "B", "A", event.NotificationSent, event.NotificationSent, event.NotificationHeld, event.NotificationHeld, event.NotificationHeld,
	event.NotificationFailed, event.NotificationDelivered, event.NotificationViewed, event.NotificationClicked, event.NotificationReplied,
	event.NotificationBounced, event.ChannelUnsubscribed}

// mailProps are properties that may be about a message.
func mailProps(r *rand.Rand) map[string]any {
	out := randomProps(r)
	for key, v := range map[string]any{
		"campaign": pick[any](r, "spring", "spring", "spring", "cart", "cart", 7, nil, []any{"cart", "spring"}),
		"message":  pick[any](r, "m1", "m2", "m3", nil), "channel": pick[any](r, "email", "sms", nil), "variant": pick[any](r, "A", "B", "", nil),
		"reason": pick[any](r, "control", "control", "control", "no consent", "refused", "", nil, 5),
	} {
		if v != nil {
			out[key] = v
		}
	}
	return out
}

// newMailing is a world with campaigns, some of which have a goal.
func newMailing(r *rand.Rand) *world {
	w := newWorldOf(r, mailNames, mailProps)
	w.goals = map[string]query.Goal{}
	for _, id := range []string{"spring", "7"} {
		if r.IntN(3) == 0 {
			continue
		}
		a := &asking{Rand: r, w: w}
		ref, err := json.Marshal(a.conversion())
		if err != nil {
			panic(err)
		}
		w.goals[id] = query.Goal{Event: ref, Within: time.Duration(r.IntN(100)) * pick(r, time.Hour, time.Minute, 24*time.Hour), Revenue: pick(r, "amount", "hours", "")}
	}
	return w
}

func (a *asking) conversion() object {
	if a.chance(3) {
		return a.event()
	}
	return object{"event": pick(a.Rand, "A", "B", "A", event.ChannelUnsubscribed, event.NotificationSent)}
}

// campaign is a question of kind campaign.
func (a *asking) campaign() object {
	q := a.maybePeople(object{"kind": "campaign"})
	if a.IntN(8) > 0 {
		q["campaign"] = pick(a.Rand, "spring", "spring", "spring", "cart", "cart", "7", "none")
	}
	if q["campaign"] == nil || a.chance(8) {
		q["message"] = pick(a.Rand, "m1", "m2", "none")
	}
	if a.chance(3) {
		a.between(q)
	}
	id, _ := q["campaign"].(string)
	_, has := a.w.goals[id]
	if a.IntN(3) > 0 {
		q["conversion"], has = a.conversion(), true
	}
	if has {
		if a.chance(2) {
			q["window"] = a.length()
		}
		if a.IntN(3) > 0 {
			q["revenue"] = pick(a.Rand, "amount", "amount", "hours", "sku", "missing")
		}
		if a.chance(3) {
			q["start"] = pick(a.Rand, "any", "any", "first")
		}
	}
	if a.chance(2) {
		dimension := func() object {
			if a.chance(3) {
				return a.dimension()
			}
			return object{"property": pick(a.Rand, "variant", "variant", "channel", "message", "tags")}
		}
		if q["breakdown"] = dimension(); a.chance(3) {
			q["breakdown"] = []any{dimension(), dimension()}
		}
	}
	if a.chance(6) {
		q["filter"] = a.filter(1)
	}
	if a.chance(4) {
		q["timezone"] = zones[a.IntN(len(zones))]
	}
	if a.chance(6) {
		q["now"] = a.instant()
	}
	return q
}

// testedBy tells what the groups of a campaign's answer were compared by.
func testedBy(got object) string {
	out := ""
	for _, key := range []string{"converted", "revenue"} {
		part, _ := got[key].(object)
		if test, ok := part["test"].(string); ok {
			out += ", " + test
		}
		if part["lift_interval"] != nil {
			out += " with lift"
		}
	}
	return out
}

// TestCampaign is TestOracle with campaigns.
func TestCampaign(t *testing.T) {
	n := *worlds / 2
	if testing.Short() {
		n = min(n, 60)
	}
	counts := map[string]int{}
	for s := *seed; s < *seed+uint64(n); s++ {
		r := rand.New(rand.NewPCG(s, 11))
		w := newMailing(r)
		w.askActivity(t, r, s, counts, (*asking).campaign)
	}
	logCounts(t, counts)
}

// newTrial is a world of one campaign that wrote to some and not to others, who
// buy more or less often, and for whom some of it is known.
func newTrial(r *rand.Rand) *world {
	w := &world{loc: time.UTC, now: seasons[0], saved: map[string]string{}, rfms: map[string][]byte{}, count: 2 + r.IntN(pick(r, 20, 100, 600))}
	numbers := make(memory.People, w.count)
	w.numbers, w.find = numbers, numbers.Find
	share, bought := r.Float64(), [2]float64{r.Float64(), r.Float64()}
	if r.IntN(3) == 0 {
		bought[1] = bought[0]
	}
	var g memory.Generation
	add := func(p *someone, at time.Duration, name string, about map[string]any) {
		o := occurrence{seq: len(w.rows), number: p.number, time: seasons[0].Add(at).UnixMicro(), name: name, props: about}
		p.events = append(p.events, o)
		w.rows = append(w.rows, history.Row{Person: o.number, Time: o.time, Name: name, Props: props(about)})
	}
	for i := range numbers {
		numbers[i].Identity = fmt.Sprintf("p%d", i+1)
		p := &someone{number: uint32(i + 1), identity: numbers[i].Identity, profile: map[string]any{}}
		w.people = append(w.people, p)
		group, name := 0, event.NotificationSent
		if r.Float64() < share {
			group, name = 1, event.NotificationHeld
		}
		add(p, 0, name, map[string]any{"campaign": "spring", "variant": pick[any](r, "A", "B"), "reason": "control"})
		for at := time.Hour; r.Float64() < bought[group]/2; at += time.Hour {
			add(p, at, "A", map[string]any{"amount": pick[any](r, 1, 9.99, 100, 0.1, -2.5, "12", "none")})
		}
	}
	g.Rows = w.rows
	w.history = memory.New(w.loc, g)
	return w
}

// TestCampaignTrials compares groups large enough for every test there is.
func TestCampaignTrials(t *testing.T) {
	counts := map[string]int{}
	for s := *seed; s < *seed+uint64(*worlds/4); s++ {
		r := rand.New(rand.NewPCG(s, 13))
		w := newTrial(r)
		for _, q := range []object{
			{"kind": "campaign", "campaign": "spring", "conversion": object{"event": "A"}, "revenue": "amount"},
			{"kind": "campaign", "campaign": "spring", "conversion": object{"event": "A"}, "revenue": "amount", "window": object{"n": 1, "unit": "hour"}, "breakdown": object{"property": "variant"}},
		} {
			body, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			sort, diff := w.compareActivity(body)
			if counts[sort]++; diff != "" {
				t.Fatalf("-seed %d:\n%s\n%.5000s", s, body, diff)
			}
		}
	}
	logCounts(t, counts)
}

// TestCampaignOnHistory is the same on the real history, and every second time
// on real people.
func TestCampaignOnHistory(t *testing.T) {
	counts := map[string]int{}
	onHistory(t, 14, newMailing, func(t *testing.T, w *world, r *rand.Rand, s uint64) {
		w.askActivity(t, r, s, counts, (*asking).campaign)
	})
	logCounts(t, counts)
}
