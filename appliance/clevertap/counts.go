package clevertap

import (
	"github.com/cloisterhq/cloister/appliance/query"
)

// kept gives an answer that is asked for by its req_id. Whatever can be asked
// is answered at once, with an id for clients that come for the answer later.
func (d *Door) kept(c *call) (answer, bool, error) {
	id := c.URL.Query().Get("req_id")
	if id == "" {
		return nil, false, nil
	}
	a, ok := d.results.get(c.key.Of, id, c.now)
	if !ok {
		return nil, true, unknown("there is no such req_id, or it is too old")
	}
	return a, true, nil
}

// keep gives an answer its req_id.
func (d *Door) keep(c *call, a answer) answer {
	a["status"] = "success"
	a["req_id"] = d.results.put(c.key.Of, a, resultLife, 0, c.now)
	return a
}

// where reads a call's body as a query.
func (c *call) where(also ...string) (*where, error) {
	return readWhere("", c.body.Object(), finding{c.pub}, also...)
}

func (d *Door) countEvents(c *call) (answer, error) {
	if a, asked, err := d.kept(c); asked {
		return a, err
	}
	q, err := c.where()
	if err != nil {
		return nil, err
	}
	n, err := c.count(q)
	if err != nil {
		return nil, err
	}
	return d.keep(c, answer{"count": n}), nil
}

// count counts the events that a query means.
func (c *call) count(q *where) (any, error) {
	question := q.among(q.span(node{"kind": "trend", "interval": "all", "series": q.series("count", "")}, c.now))
	t, err := c.trend(question)
	if err != nil {
		return nil, err
	}
	return whole(q.total(t)), nil
}

// series are what is measured of the query's events, and where only the first,
// or only the others, count, of these too.
func (q *where) series(measure, property string) []node {
	one := func(name, measure, property string) node {
		s := q.ref()
		s["name"], s["measure"] = name, measure
		if property != "" {
			s["property"] = property
		}
		return s
	}
	switch {
	case q.first == nil:
		return []node{one("all", measure, property)}
	case *q.first:
		return []node{one("first", "first_seen", "")}
	}
	return []node{one("all", measure, property), one("first", "first_seen", "")}
}

// total is a trend's over its range: all, or first, or all but the first.
func (q *where) total(t *query.TrendResult) float64 {
	n := 0.0
	for _, s := range t.Series {
		if s.Name == "first" && len(t.Series) > 1 {
			n -= s.Total
		} else {
			n += s.Total
		}
	}
	return n
}

func (d *Door) countProfiles(c *call) (answer, error) {
	if a, asked, err := d.kept(c); asked {
		return a, err
	}
	q, err := c.where()
	if err != nil {
		return nil, err
	}
	p, err := q.expression()
	if err != nil {
		return nil, err
	}
	n, err := c.persons(p)
	if err != nil {
		return nil, err
	}
	return d.keep(c, answer{"count": n}), nil
}

// persons counts the people that an expression means.
func (c *call) persons(expression any) (uint64, error) {
	a, err := c.ask(node{"kind": "segment", "people": expression})
	if err != nil {
		return 0, err
	}
	return a.Result.(*query.SegmentResult).Count, nil
}

// finding looks people up for queries.
type finding struct{ Publisher }

// name is an identity or a device that finds a person; "" if they are gone.
func (f finding) name(person uint32) (string, error) {
	p, err := f.Known(person)
	if gone(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if len(p.Identities) > 0 {
		return p.Identities[0].Value, nil
	}
	for _, dev := range p.Devices {
		if n, ok := f.FindDevice(dev.ID); ok && n == person {
			return dev.ID, nil
		}
	}
	return "", nil
}
