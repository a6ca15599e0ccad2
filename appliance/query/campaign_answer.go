package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// CampaignResult is the answer to a campaign.
type CampaignResult struct {
	CampaignReport
	Goal      *CampaignGoal       `json:"goal"` // nil: no conversion was asked for
	Breakdown []CampaignBreakdown `json:"breakdown,omitzero"`
	Other     *int                `json:"other,omitzero"` // values that the breakdown left out
}

// CampaignGoal says what was counted as a conversion.
type CampaignGoal struct {
	Event   string         `json:"event"`
	Window  CampaignWindow `json:"window"`
	Revenue *string        `json:"revenue"`
}

// CampaignWindow is a length of time.
type CampaignWindow struct {
	N    float64 `json:"n"`
	Unit string  `json:"unit"`
}

// CampaignBreakdown is the report of the messages with one value.
type CampaignBreakdown struct {
	Value []event.Value `json:"value"`
	CampaignReport
}

// CampaignReport is what became of messages, and what they brought about.
type CampaignReport struct {
	Sent         CampaignCount    `json:"sent"`
	Delivered    CampaignCount    `json:"delivered"`
	Opened       CampaignCount    `json:"opened"`
	Clicked      CampaignCount    `json:"clicked"`
	Replied      CampaignCount    `json:"replied"`
	Bounced      CampaignCount    `json:"bounced"`
	Unsubscribed CampaignCount    `json:"unsubscribed"`
	Failed       CampaignReasons  `json:"failed"`
	Held         CampaignReasons  `json:"held"`
	Converted    *CampaignShares  `json:"converted"` // nil without a conversion
	Revenue      *CampaignRevenue `json:"revenue"`   // nil without a property
}

// CampaignCount is events, and the persons they are about.
type CampaignCount struct {
	Count  int64 `json:"count"`
	People int64 `json:"people"`
}

// CampaignReasons are events by their reason.
type CampaignReasons struct {
	CampaignCount
	Reasons []CampaignReason `json:"reasons"`
}

// CampaignReason is one reason; nil where none was given.
type CampaignReason struct {
	Reason event.Value `json:"reason"`
	CampaignCount
}

// CampaignShares compares who converted. What cannot be said is nil: all of a
// comparison where a group is empty, a lift over nothing, an end of an interval
// that has none.
type CampaignShares struct {
	Target  CampaignConverted `json:"target"`
	Control CampaignConverted `json:"control"`
	CampaignComparison
}

// CampaignConverted is one group: its people, those who converted, their share,
// and the conversions.
type CampaignConverted struct {
	People    int64   `json:"people"`
	Converted int64   `json:"converted"`
	Rate      float64 `json:"rate"`
	Events    int64   `json:"events"`
}

// CampaignRevenue compares revenue per person. nil as in CampaignShares.
type CampaignRevenue struct {
	Target  CampaignAmount `json:"target"`
	Control CampaignAmount `json:"control"`
	CampaignComparison
}

// CampaignAmount is one group's.
type CampaignAmount struct {
	People    int64   `json:"people"`
	Total     float64 `json:"total"`
	PerPerson float64 `json:"per_person"`
}

// CampaignComparison says how much more than the control group the target group
// has: as a difference, and as a part of what the control group has (lift),
// with intervals of 95 %; and how likely chance alone makes as large a one.
type CampaignComparison struct {
	Difference         *float64     `json:"difference"`
	DifferenceInterval *[2]*float64 `json:"difference_interval"`
	Lift               *float64     `json:"lift"`
	LiftInterval       *[2]*float64 `json:"lift_interval"`
	P                  *float64     `json:"p"`
	Test               *string      `json:"test"`
}

func (c *campaignQuestion) result(q *run, sent *messageReport, arms *arms) (any, error) {
	out := &CampaignResult{CampaignReport: c.report(q, &sent.total, arms.total)}
	if c.conversion != nil {
		out.Goal = c.goal()
	}
	if !c.breakdown.any() {
		return out, nil
	}
	all := make([]ranked, 0, len(sent.parts))
	for t, m := range sent.parts {
		all = append(all, ranked{tuple: t, total: float64(m.stages[stageSent].events)})
	}
	kept, err := q.rank(all, c.breakdown.dims, c.breakdown.limit)
	if err != nil {
		return nil, err
	}
	other := len(sent.parts) - len(kept)
	out.Other, out.Breakdown = &other, []CampaignBreakdown{}
	for _, r := range kept {
		out.Breakdown = append(out.Breakdown, CampaignBreakdown{r.value, c.report(q, sent.parts[r.tuple], arms.of(r.tuple))})
	}
	return out, nil
}

func (c *campaignQuestion) goal() *CampaignGoal {
	out := &CampaignGoal{Event: c.conversion.title(), Window: CampaignWindow{c.window.n, unitNames[c.window.unit]}}
	if c.revenue != "" {
		out.Revenue = &c.revenue
	}
	return out
}

func (c *campaignQuestion) report(q *run, m *messageCell, groups pair) CampaignReport {
	count := func(s stage) CampaignCount { return CampaignCount{m.stages[s].events, m.stages[s].people} }
	out := CampaignReport{
		Sent: count(stageSent), Delivered: count(stageDelivered), Opened: count(stageOpened), Clicked: count(stageClicked),
		Replied: count(stageReplied), Bounced: count(stageBounced), Unsubscribed: count(stageUnsubscribed),
		Failed: CampaignReasons{count(stageFailed), q.reasons(m.reasons[0])},
		Held:   CampaignReasons{count(stageHeld), q.reasons(m.reasons[1])},
	}
	if c.conversion == nil {
		return out
	}
	out.Converted = compareShares(&groups)
	if c.revenue != "" {
		out.Revenue = compareRevenue(&groups)
	}
	return out
}

// reasons orders them by count falling, then by text.
func (q *run) reasons(by map[uint32]*told) []CampaignReason {
	out := make([]CampaignReason, 0, len(by))
	for id, t := range by {
		out = append(out, CampaignReason{q.values.value(id), CampaignCount{t.events, t.people}})
	}
	slices.SortFunc(out, func(a, b CampaignReason) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), byText(a.Reason, b.Reason))
	})
	return out
}

func compareShares(g *pair) *CampaignShares {
	group := func(a *arm) CampaignConverted {
		return CampaignConverted{a.people, a.converted, ratio(a.converted, a.people), a.events}
	}
	out := &CampaignShares{Target: group(&g.target), Control: group(&g.control)}
	if g.target.people == 0 || g.control.people == 0 {
		return out
	}
	s := shares{float64(g.target.converted), float64(g.target.people), float64(g.control.converted), float64(g.control.people)}
	out.Difference, out.DifferenceInterval = known(out.Target.Rate-out.Control.Rate), s.difference().shown()
	p, test := s.p()
	out.P, out.Test = known(p), &test
	if out.Control.Rate > 0 {
		out.Lift = known(out.Target.Rate/out.Control.Rate - 1)
	}
	if s.x1+s.x2 > 0 { // else every lift is as likely
		r := s.ratio()
		out.LiftInterval = ends{r.low - 1, r.high - 1}.shown()
	}
	return out
}

func compareRevenue(g *pair) *CampaignRevenue {
	sum1, squares1 := g.target.sums()
	sum2, squares2 := g.control.sums()
	group := func(a *arm, sum float64) CampaignAmount {
		out := CampaignAmount{People: a.people, Total: finite(sum)}
		if a.people > 0 {
			out.PerPerson = finite(sum / float64(a.people))
		}
		return out
	}
	out := &CampaignRevenue{Target: group(&g.target, sum1), Control: group(&g.control, sum2)}
	if g.target.people == 0 || g.control.people == 0 {
		return out
	}
	w, ok := means{float64(g.target.people), sum1, squares1, float64(g.control.people), sum2, squares2}.welch()
	out.Difference = known(w.m1 - w.m2)
	if w.m2 > 0 { // a part of a loss, or of nothing, says nothing
		out.Lift = known(w.m1/w.m2 - 1)
	}
	if !ok {
		return out
	}
	test := testWelch
	out.P, out.Test = known(w.p()), &test
	out.DifferenceInterval = w.difference().shown()
	if r, bounded := w.ratio(); bounded && w.m2 > 0 {
		out.LiftInterval = ends{r.low - 1, r.high - 1}.shown()
	}
	return out
}

// known is a number where it is one.
func known(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

func (e ends) shown() *[2]*float64 { return &[2]*float64{known(e.low), known(e.high)} }
