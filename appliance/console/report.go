package console

import (
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

// reportJSON is what became of a campaign's messages.
type reportJSON struct {
	Decided      int64        `json:"decided"`
	Sent         int64        `json:"sent"`
	Delivered    int64        `json:"delivered"`
	Opened       int64        `json:"opened"`
	Clicked      int64        `json:"clicked"`
	Unsubscribed int64        `json:"unsubscribed"`
	Bounced      int64        `json:"bounced"`
	Failed       []reasonJSON `json:"failed"`
	Held         []reasonJSON `json:"held"`
	Waiting      int64        `json:"waiting"`
	ByDay        byDayJSON    `json:"by_day"`
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
		Name      string    `json:"name"`
		Breakdown []any     `json:"breakdown"`
		Values    []float64 `json:"values"`
		Total     float64   `json:"total"`
	} `json:"series"`
}

// series of a report: messages are counted, what people do is counted in
// people, since an open is told as often as somebody looks.
var reported = []struct{ name, event, measure string }{
	{"sent", event.NotificationSent, "count"},
	{"delivered", event.NotificationDelivered, "count"},
	{"opened", event.NotificationViewed, "unique"},
	{"clicked", event.NotificationClicked, "unique"},
	{"unsubscribed", event.ChannelUnsubscribed, "unique"},
	{"bounced", event.NotificationBounced, "count"},
}

// report asks two ordinary trends about the appliance's own events.
func (c *Console) report(r *request) error {
	if err := known(r, "from", "to"); err != nil {
		return err
	}
	s, err := r.publisher.Campaigns().Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	q := r.URL.Query()
	question := func(interval string) map[string]any {
		out := map[string]any{
			"kind": "trend", "interval": interval,
			"filter": map[string]any{"property": event.PropCampaign, "op": "=", "value": s.ID},
		}
		for _, end := range []string{"from", "to"} {
			if v := q.Get(end); v != "" {
				out[end] = v
			}
		}
		return out
	}
	byDay := question("day")
	var series []map[string]any
	for _, x := range reported {
		series = append(series, map[string]any{"name": x.name, "event": x.event, "measure": x.measure})
	}
	byDay["series"] = series
	var days trend
	if err := c.ask(r, byDay, &days); err != nil {
		return err
	}
	byReason := question("all")
	byReason["series"] = []map[string]any{
		{"name": "failed", "event": event.NotificationFailed, "measure": "count"},
		{"name": "held", "event": event.NotificationHeld, "measure": "count"},
	}
	byReason["breakdown"] = map[string]any{"property": event.PropReason, "limit": 100}
	var reasons trend
	if err := c.ask(r, byReason, &reasons); err != nil {
		return err
	}
	return ok(r, makeReport(days, reasons, s.Progress))
}

func makeReport(days, reasons trend, run *campaign.Progress) reportJSON {
	out := reportJSON{
		Failed: []reasonJSON{}, Held: []reasonJSON{},
		ByDay: byDayJSON{Buckets: list(days.Buckets), Sent: []int64{}, Opened: []int64{}, Clicked: []int64{}},
	}
	for _, s := range days.Series {
		total := int64(s.Total)
		switch s.Name {
		case "sent":
			out.Sent, out.ByDay.Sent = total, whole(s.Values)
		case "delivered":
			out.Delivered = total
		case "opened":
			out.Opened, out.ByDay.Opened = total, whole(s.Values)
		case "clicked":
			out.Clicked, out.ByDay.Clicked = total, whole(s.Values)
		case "unsubscribed":
			out.Unsubscribed = total
		case "bounced":
			out.Bounced = total
		}
	}
	out.Decided = out.Sent
	for _, s := range reasons.Series {
		if s.Total == 0 {
			continue
		}
		reason := "not said"
		if len(s.Breakdown) > 0 {
			if text, is := s.Breakdown[0].(string); is && text != "" {
				reason = text
			}
		}
		line := reasonJSON{reason, int64(s.Total)}
		switch s.Name {
		case "failed":
			out.Failed = append(out.Failed, line)
		case "held":
			out.Held = append(out.Held, line)
		}
		out.Decided += line.Count
	}
	// Of a run it is known how many went into the outbox; what did not come out
	// of it yet is waiting. With a range the events tell only part of it.
	if run != nil {
		out.Waiting = max(0, int64(run.Enqueued)-out.Decided)
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
