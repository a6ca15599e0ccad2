package query_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// mailing is a crowd that a campaign wrote to: every fifth is of the control
// group. Everybody buys for their own number, some of them late.
func mailing(crowd int) query.Env {
	numbers := make(memory.People, crowd)
	var g memory.Generation
	start := time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC)
	text := func(key, value string) event.Prop { return event.Prop{Key: key, Value: event.OfText(value)} }
	for i := range numbers {
		numbers[i].Identity = fmt.Sprintf("p%d", i+1)
		about := []event.Prop{text("campaign", "cart"), text("message", fmt.Sprint("m", i)), text("channel", "email"), text("variant", string(rune('A'+i%2)))}
		name := event.NotificationSent
		if i%5 == 0 {
			name, about = event.NotificationHeld, append(about, text("reason", "control"))
		}
		at := start.Add(time.Duration(i) * time.Minute)
		g.Rows = append(g.Rows,
			history.Row{Person: uint32(i + 1), Time: at.UnixMicro(), Name: name, Props: about},
			history.Row{Person: uint32(i + 1), Time: at.Add(time.Duration(i%13) * 24 * time.Hour).UnixMicro(), Name: "Charged", Props: []event.Prop{{Key: "n", Value: event.OfInt(int64(i))}}})
	}
	return query.Env{Data: query.Data{History: memory.New(time.UTC, g), People: numbers}, Find: numbers.Find,
		Now: func() time.Time { return start.AddDate(0, 1, 0) },
		Goal: func(campaign string) (query.Goal, bool) {
			return query.Goal{Event: []byte(`{"event":"Charged"}`), Within: 7 * 24 * time.Hour, Revenue: "n"}, campaign == "cart"
		}}
}

// TestCampaignAddsUp asks for a campaign as a whole, and by everything that
// divides its people: the parts are the whole.
func TestCampaignAddsUp(t *testing.T) {
	env := mailing(5000)
	for _, workers := range []int{1, 4} {
		env.Workers = workers
		ask := func(more string) *query.CampaignResult {
			a, err := query.Ask(t.Context(), []byte(`{"kind":"campaign","campaign":"cart"`+more+`}`), env)
			if err != nil {
				t.Fatal(err)
			}
			return a.Result.(*query.CampaignResult)
		}
		whole := ask("")
		c, r := whole.Converted, whole.Revenue
		if whole.Sent.Count != 4000 || whole.Held.People != 1000 || c.Target.People != 4000 || c.Control.People != 1000 || c.Target.Converted < 2400 || *c.P < 0.05 || *c.Test != "score" {
			t.Errorf("%+v, %+v", whole, c)
		}
		if *r.Test != "welch" || r.LiftInterval == nil || *r.LiftInterval[0] > *r.Lift || *r.LiftInterval[1] < *r.Lift {
			t.Errorf("%+v", r)
		}
		var events, converted, total float64
		parts := ask(`,"breakdown":{"of":"person","limit":5000}`)
		for _, b := range parts.Breakdown {
			events += float64(b.Converted.Target.Events)
			converted += float64(b.Converted.Control.Converted)
			total += b.Revenue.Target.Total
			if b.Converted.P != nil {
				t.Fatalf("%v is in both groups", b.Value)
			}
		}
		if len(parts.Breakdown) != 5000 || events != float64(c.Target.Events) || converted != float64(c.Control.Converted) || total != r.Target.Total {
			t.Errorf("%d people: %v events, %v converted, %v revenue", len(parts.Breakdown), events, converted, total)
		}
		variants := ask(`,"breakdown":{"property":"variant"}`).Breakdown
		if len(variants) != 2 || variants[0].Converted.Target.People+variants[1].Converted.Target.People != 4000 ||
			variants[0].Converted.Control != c.Control || variants[1].Revenue.Control != r.Control {
			t.Errorf("%+v", variants)
		}
	}
}

func TestCampaignBudget(t *testing.T) {
	env := mailing(5000)
	for _, q := range []string{
		`{"kind":"campaign","campaign":"cart"}`,
		`{"kind":"campaign","campaign":"cart","conversion":{"event":"Charged"},"breakdown":{"property":"message"}}`,
	} {
		env.Memory = 20_000
		if _, err := query.Ask(t.Context(), []byte(q), env); code(err) != query.CodeBudget {
			t.Errorf("%s within 20 kB: %v", q, err)
		}
		env.Memory = 0
		if _, err := query.Ask(t.Context(), []byte(q), env); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// TestCampaignErasedMeanwhile: who was erased after the snapshot was taken is
// in no list of values.
func TestCampaignErasedMeanwhile(t *testing.T) {
	env := mailing(30)
	env.Data.People = leaving{env.Data.People.(memory.People)}
	a, err := query.Ask(t.Context(), []byte(`{"kind":"campaign","campaign":"cart","breakdown":{"of":"person","limit":100}}`), env)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(a.Result.(*query.CampaignResult).Breakdown, func(b query.CampaignBreakdown) bool { return b.Value[0].Text() == "p3" }) {
		t.Error("they are in it")
	}
	env = mailing(3)
	env.Goal = func(string) (query.Goal, bool) { return query.Goal{Event: []byte(`{"event":`)}, true }
	if _, err := query.Ask(t.Context(), []byte(`{"kind":"campaign","campaign":"cart"}`), env); code(err) == "" {
		t.Error("a damaged goal:", err)
	}
}

// TestHugeAmounts: what a float cannot hold is no answer that JSON cannot say.
func TestHugeAmounts(t *testing.T) {
	env := mailing(0)
	var g memory.Generation
	numbers := make(memory.People, 6)
	for i := range numbers {
		numbers[i].Identity = fmt.Sprintf("p%d", i+1)
		about := []event.Prop{{Key: "campaign", Value: event.OfText("cart")}, {Key: "reason", Value: event.OfText("control")}}
		name := event.NotificationSent
		if i%2 == 0 {
			name = event.NotificationHeld
		}
		g.Rows = append(g.Rows, history.Row{Person: uint32(i + 1), Time: 1, Name: name, Props: about},
			history.Row{Person: uint32(i + 1), Time: 2, Name: "Charged", Props: []event.Prop{{Key: "n", Value: event.OfFloat(1e308 / float64(i+1))}}},
			history.Row{Person: uint32(i + 1), Time: 3, Name: "Charged", Props: []event.Prop{{Key: "n", Value: event.OfFloat(1e308)}}})
	}
	env.Data = query.Data{History: memory.New(time.UTC, g), People: numbers}
	a, err := query.Ask(t.Context(), []byte(`{"kind":"campaign","campaign":"cart"}`), env)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(a); err != nil || a.Result.(*query.CampaignResult).Converted.Target.Converted != 3 {
		t.Errorf("%s, %v", b, err)
	}
}
