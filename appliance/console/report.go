package console

import (
	"encoding/json"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

// reportJSON is what became of a campaign's messages, and what they brought
// about. The last three are as the question campaign answers them.
type reportJSON struct {
	Decided      int64           `json:"decided"`
	Sent         int64           `json:"sent"`
	Delivered    int64           `json:"delivered"`
	Opened       int64           `json:"opened"`
	Clicked      int64           `json:"clicked"`
	Unsubscribed int64           `json:"unsubscribed"`
	Bounced      int64           `json:"bounced"`
	Failed       []reasonJSON    `json:"failed"`
	Held         []reasonJSON    `json:"held"`
	Waiting      int64           `json:"waiting"`
	ByDay        byDayJSON       `json:"by_day"`
	Goal         json.RawMessage `json:"goal"`
	Converted    json.RawMessage `json:"converted"`
	Revenue      json.RawMessage `json:"revenue"`
}

type reasonJSON struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

type byDayJSON struct {
	Buckets []string `json:"buckets"`
	Sent    []int64  `json:"sent"`
	Opened  []int64  `json:"opened"`
	Clicked []int64  `json:"clicked"`
}

// trend is the answer to a trend, as far as reports need it.
type trend struct {
	Buckets []string `json:"buckets"`
	Series  []struct {
		Name   string    `json:"name"`
		Values []float64 `json:"values"`
	} `json:"series"`
}

// told is a part of the answer to a campaign: events, and persons.
type told struct {
	Count  int64 `json:"count"`
	People int64 `json:"people"`
}

// campaignAnswer is the answer to a campaign, as far as reports need it.
type campaignAnswer struct {
	Sent         told            `json:"sent"`
	Delivered    told            `json:"delivered"`
	Opened       told            `json:"opened"`
	Clicked      told            `json:"clicked"`
	Unsubscribed told            `json:"unsubscribed"`
	Bounced      told            `json:"bounced"`
	Failed       reasons         `json:"failed"`
	Held         reasons         `json:"held"`
	Goal         json.RawMessage `json:"goal"`
	Converted    json.RawMessage `json:"converted"`
	Revenue      json.RawMessage `json:"revenue"`
}

type reasons struct {
	Reasons []struct {
		Reason any   `json:"reason"`
		Count  int64 `json:"count"`
	} `json:"reasons"`
}

// list names the reasons.
func (r reasons) list() []reasonJSON {
	out := []reasonJSON{}
	for _, x := range r.Reasons {
		reason, _ := x.Reason.(string)
		if reason == "" {
			reason = "not said"
		}
		out = append(out, reasonJSON{reason, x.Count})
	}
	return out
}

// report asks two ordinary questions about the appliance's own events.
func (c *Console) report(r *request) error {
	if err := known(r, "from", "to"); err != nil {
		return err
	}
	s, err := r.publisher.Campaigns().Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	q := r.URL.Query()
	ask := func(question map[string]any, answer any) error {
		for _, end := range []string{"from", "to"} {
			if v := q.Get(end); v != "" {
				question[end] = v
			}
		}
		return c.ask(r, question, answer)
	}
	var became campaignAnswer
	if err := ask(map[string]any{"kind": "campaign", "campaign": s.ID}, &became); err != nil {
		return err
	}
	var days trend
	copies := map[string]any{"property": event.PropCopyOf, "op": "exists"}
	err = ask(map[string]any{
		"kind": "trend", "interval": "day",
		"filter": map[string]any{"property": event.PropCampaign, "op": "=", "value": s.ID},
		// Messages are counted, what people do is counted in people, since an
		// open is told as often as somebody looks.
		"series": []map[string]any{
			{"name": "sent", "event": event.NotificationSent, "measure": "count"},
			{"name": "opened", "event": event.NotificationViewed, "measure": "unique"},
			{"name": "clicked", "event": event.NotificationClicked, "measure": "unique"},
			{"name": "copies sent", "event": event.NotificationSent, "filter": copies, "measure": "count"},
			{"name": "copies failed", "event": event.NotificationFailed, "filter": copies, "measure": "count"},
			{"name": "copies held", "event": event.NotificationHeld, "filter": copies, "measure": "count"},
		},
	}, &days)
	if err != nil {
		return err
	}
	return ok(r, makeReport(became, days, s.Progress))
}

func makeReport(became campaignAnswer, days trend, run *campaign.Progress) reportJSON {
	out := reportJSON{
		Sent: became.Sent.Count, Delivered: became.Delivered.Count, Bounced: became.Bounced.Count,
		Opened: became.Opened.People, Clicked: became.Clicked.People, Unsubscribed: became.Unsubscribed.People,
		Failed: became.Failed.list(), Held: became.Held.list(),
		Goal: became.Goal, Converted: became.Converted, Revenue: became.Revenue,
		ByDay: byDayJSON{Buckets: list(days.Buckets), Sent: []int64{}, Opened: []int64{}, Clicked: []int64{}},
	}
	var copies int64 // to further devices of somebody: of these no run knows beforehand
	for _, s := range days.Series {
		switch s.Name {
		case "sent":
			out.ByDay.Sent = whole(s.Values)
		case "opened":
			out.ByDay.Opened = whole(s.Values)
		case "clicked":
			out.ByDay.Clicked = whole(s.Values)
		case "copies sent", "copies failed", "copies held":
			for _, n := range whole(s.Values) {
				copies += n
			}
		}
	}
	out.Decided = out.Sent
	for _, x := range out.Failed {
		out.Decided += x.Count
	}
	for _, x := range out.Held {
		out.Decided += x.Count
	}
	// Of a run it is known how many went into the outbox; what did not come out
	// of it yet is waiting. With a range the events tell only part of it.
	if run != nil {
		out.Waiting = max(0, int64(run.Enqueued)-(out.Decided-copies))
		out.Decided += out.Waiting
	}
	return out
}

func whole(values []float64) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	return out
}
