package clevertap

import (
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// activeWithin is what the vendor calls now.
const activeWithin = 5 * time.Minute

var nowSplits = map[string][]string{"session_source": {"CT Source"}, "browser": technographics["browser"], "os": technographics["os"], "device": technographics["device"]}

// active counts who did something in the last five minutes.
func (d *Door) active(c *call) (answer, error) {
	o := c.body.Object()
	if err := known("", o, "user_type", "session_source", "browser", "os", "device"); err != nil {
		return nil, err
	}
	span := node{"from": c.now.Add(-activeWithin).UTC().Format(time.RFC3339Nano), "to": c.now.Add(time.Second).UTC().Format(time.RFC3339Nano)}
	n, err := c.persons(node{"did": node{}, "in": span})
	if err != nil {
		return nil, err
	}
	out := answer{"count": n}
	if isTrue(event.Lookup(o, "user_type")) {
		fresh, err := c.persons(node{"first": node{}, "in": span})
		if err != nil {
			return nil, err
		}
		out["user_type"] = map[string]any{"new": fresh, "existing": n - min(n, fresh)}
	}
	for _, name := range sorted(nowSplits) {
		if !isTrue(event.Lookup(o, name)) {
			continue
		}
		by, err := c.activeBy(span, nowSplits[name])
		if err != nil {
			return nil, err
		}
		out[name] = by
	}
	return out, nil
}

// activeBy counts the people of a span by what their events have in one of
// some properties.
func (c *call) activeBy(span node, names []string) (map[string]any, error) {
	by := map[string]any{}
	for _, name := range names {
		t, err := c.trend(node{"kind": "trend", "interval": "all", "from": span["from"], "to": span["to"],
			"series": []node{{"name": "all", "measure": "unique"}}, "breakdown": node{"property": name, "limit": maxTop}})
		if err != nil {
			return nil, err
		}
		for _, s := range t.Series {
			if len(s.Breakdown) != 1 || s.Breakdown[0].IsNull() {
				continue
			}
			value := s.Breakdown[0]
			n := any(whole(s.Total))
			if by[value.String()] != nil {
				// Under two names: whoever has both is one person.
				var tests []any
				for _, name := range names {
					tests = append(tests, property(name, "")("=", value))
				}
				if n, err = c.persons(node{"did": node{"filter": anyOf(tests)}, "in": span}); err != nil {
					return nil, err
				}
			}
			by[value.String()] = n
		}
	}
	return by, nil
}
