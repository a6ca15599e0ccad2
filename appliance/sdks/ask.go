package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// want is what questions must answer when an SDK has done its part.
type want struct {
	events  map[string]int // how often each happened
	revenue float64        // the sum over orders; 0 = not asked
	orders  [2]string      // the event and property of it; "" = "Order Completed", "revenue"
	person  string         // an identity; "" = not asked
	profile map[string]any // of the person, as JSON decodes it
	consent map[string]bool
	devices int // at least
}

// answer is what was answered: lines for the reader, and what is wrong.
type answer struct {
	said  []string
	wrong []string
}

func (a *answer) check(ok bool, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	a.said = append(a.said, line)
	if !ok {
		a.wrong = append(a.wrong, line)
	}
}

// mark is an event that the trial itself sends when the SDK has ended. Where it
// is seen, so is all that was taken before it.
const mark = "Trial Ended"

// settle asks until everything is as expected, or patience ends: what an SDK
// sends again comes late. The last answer counts.
func (d *daemon) settle(ctx context.Context, w want, patience time.Duration) (answer, error) {
	body := fmt.Sprintf(`{"writeKey":%q,"anonymousId":"trial","event":%q,"messageId":"trial"}`, key, mark)
	resp, err := d.http.Post(d.collect+"/v1/track", "application/json", strings.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("marking the end: %w", err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("marking the end: %s", resp.Status)
	}
	w.events = maps.Clone(w.events)
	w.events[mark] = 1
	deadline := time.After(patience)
	for {
		a, err := d.ask(ctx, w)
		if err == nil && len(a.wrong) == 0 {
			return a, nil
		}
		select {
		case <-deadline:
			return a, err
		case <-time.After(200 * time.Millisecond): // how often to look
		}
	}
}

// ask asks once.
func (d *daemon) ask(ctx context.Context, w want) (answer, error) {
	var a answer
	if err := d.askEvents(ctx, w, &a); err != nil {
		return a, err
	}
	if w.person == "" {
		return a, nil
	}
	return a, d.askPerson(ctx, w, &a)
}

func (d *daemon) askEvents(ctx context.Context, w want, a *answer) error {
	names := slices.Sorted(maps.Keys(w.events))
	series := make([]string, 0, len(names)+1)
	for i, name := range names {
		series = append(series, fmt.Sprintf(`{"name":"S%d","event":%q,"measure":"count"}`, i, name))
	}
	if w.revenue != 0 {
		of := w.orders
		if of[0] == "" {
			of = [2]string{"Order Completed", "revenue"}
		}
		series = append(series, fmt.Sprintf(`{"name":"SR","event":%q,"measure":"sum","property":%q}`, of[0], of[1]))
	}
	var answered struct {
		Result struct {
			Series []struct {
				Name  string
				Total float64
			}
		}
	}
	question := fmt.Sprintf(`{"kind":"trend","interval":"all","series":[%s]}`, strings.Join(series, ","))
	if err := d.cloister(ctx, question, &answered, "query", "-"); err != nil {
		return err
	}
	totals := map[string]float64{}
	for _, s := range answered.Result.Series {
		totals[s.Name] = s.Total
	}
	for i, name := range names {
		got := totals[fmt.Sprint("S", i)]
		switch {
		case got != float64(w.events[name]):
			a.check(false, "%s %v, not %d", name, got, w.events[name])
		case name != mark:
			a.check(true, "%s %v", name, got)
		}
	}
	if w.revenue != 0 {
		a.check(totals["SR"] == w.revenue, "revenue %v", totals["SR"])
	}
	return nil
}

func (d *daemon) askPerson(ctx context.Context, w want, a *answer) error {
	var p struct {
		Person  int
		Devices []struct{ ID string }
		Profile map[string]any
		Consent []struct {
			Purpose string
			Granted bool
		}
	}
	if err := d.cloister(ctx, "", &p, "person", "show", w.person); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(w.profile)) {
		want, err := json.Marshal(w.profile[k])
		if err != nil {
			return err
		}
		got, err := json.Marshal(p.Profile[k])
		if err != nil {
			return err
		}
		a.check(string(got) == string(want), "%s.%s %s", w.person, k, got)
	}
	if w.devices > 0 {
		a.check(len(p.Devices) >= w.devices, "%s has %d devices", w.person, len(p.Devices))
	}
	for purpose, granted := range w.consent {
		i := slices.IndexFunc(p.Consent, func(c struct {
			Purpose string
			Granted bool
		}) bool {
			return c.Purpose == purpose
		})
		a.check(i >= 0 && p.Consent[i].Granted == granted, "consent to %s %v", purpose, i >= 0 && p.Consent[i].Granted)
	}
	return nil
}
