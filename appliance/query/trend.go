package query

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

const maxSeries = 20

// trend is a question of kind trend.
type trend struct {
	series     []series
	within     period
	interval   unit
	people     *expr
	breakdown  breakdown
	cumulative bool
	compare    bool
	formula    *formula
}

// series is one line of a trend.
type series struct {
	name     string
	ref      *ref
	measure  measure
	property string
	trailing *span
}

func (c *parser) trend(f *fields) (question, error) {
	t := &trend{}
	var err error
	if t.within, err = c.period(f); err != nil {
		return nil, err
	}
	if t.interval, err = f.interval("interval", unitDay); err != nil {
		return nil, err
	}
	if t.people, err = c.people(f.take("people")); err != nil {
		return nil, err
	}
	if t.breakdown, err = c.breakdown(f.take("breakdown")); err != nil {
		return nil, err
	}
	if t.cumulative, err = f.take("cumulative").bool(); err != nil {
		return nil, err
	}
	compare := f.take("compare")
	if _, err = compare.oneOf(0, "previous"); err != nil {
		return nil, err
	}
	t.compare = !compare.absent()
	n, err := f.need("series")
	if err != nil {
		return nil, err
	}
	list, err := n.list(maxSeries)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, n.bad("a trend has 1 to %d series", maxSeries)
	}
	names := []string{}
	for i, e := range list {
		s, err := c.oneSeries(e, string(rune('A'+i)))
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, s.name) {
			return nil, join2(e, "name").bad("two series have the name %q", clip(s.name))
		}
		names = append(names, s.name)
		t.series = append(t.series, s)
	}
	if form := f.take("formula"); !form.absent() {
		if slices.Contains(names, "formula") {
			return nil, form.bad("a series has the name formula already")
		}
		t.formula, err = form.formula(names)
	}
	return t, err
}

func (c *parser) oneSeries(n node, usual string) (series, error) {
	s := series{}
	f, err := n.fields()
	if err != nil {
		return s, err
	}
	if s.name, err = f.take("name").textOr(usual); err != nil {
		return s, err
	}
	if s.ref, err = c.ref(f); err != nil {
		return s, err
	}
	m, err := f.take("measure").oneOf(0, measureNames...)
	if err != nil {
		return s, err
	}
	s.measure = measure(m)
	if s.measure.needsProperty() {
		if s.property, err = f.property(); err != nil {
			return s, err
		}
	} else if p := f.take("property"); !p.absent() {
		return s, p.bad("%s is not measured of a property", measureNames[m])
	}
	if w := f.take("trailing"); !w.absent() {
		sp, err := w.span()
		if err != nil {
			return s, err
		}
		if s.measure != measureUnique {
			return s, w.bad("only unique can look at a trailing window")
		}
		if sp.n == 0 {
			return s, w.bad("a trailing window has a length")
		}
		s.trailing = &sp
	}
	return s, f.done()
}

// TrendResult is the answer to a trend.
type TrendResult struct {
	Buckets []string      `json:"buckets"`
	Series  []TrendSeries `json:"series"`
	Other   int           `json:"other"` // breakdown values that no series shows
}

// TrendSeries is one line: of one series and one breakdown value.
type TrendSeries struct {
	Name      string        `json:"name"`
	Breakdown []event.Value `json:"breakdown"`
	Values    []float64     `json:"values"`
	Total     float64       `json:"total"`
	Previous  []float64     `json:"previous,omitzero"`
}

// line is the values of one series and one breakdown value.
type line struct {
	values []float64
	total  float64
}

// lines are all lines of a trend: by series, then by breakdown value.
type lines []map[tuple]*line
