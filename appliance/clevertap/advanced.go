package clevertap

import (
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// advanced reads what people did, or did not, beside the query itself. Of the
// names of its members one was seen in the wild, so all likely ones are taken.
func (q *where) advanced(path string, v event.Value, f finder) error {
	if v.Kind() != event.Object {
		return wrong("%s: an object is needed", path)
	}
	if err := known(path, v.Object(), "did_all", "did_any", "did_not", "did_none"); err != nil {
		return err
	}
	for _, p := range v.Object() {
		if p.Value.IsNull() {
			continue
		}
		at := join(path, p.Key)
		list, count, err := advancedEvents(at, p.Value)
		if err != nil {
			return err
		}
		if len(list) > maxConditions {
			return wrong("%s: at most %d events are taken", at, maxConditions)
		}
		var subs []any
		for i, e := range list {
			one := fmt.Sprintf("%s[%d]", at, i)
			if e.Kind() != event.Object {
				return wrong("%s: an object with event_name is needed", one)
			}
			if err := known(one, e.Object(), append(slices.Clone(whereNames[:8]), "operator", "value")...); err != nil {
				return err
			}
			in, err := readBase(one, e.Object(), f)
			if err != nil {
				return err
			}
			if in.event == "" {
				return wrong("%s: event_name is needed", one)
			}
			times := count
			if own := event.Lookup(e.Object(), "value"); !own.IsNull() {
				if times, err = occurrences(one, e.Object()); err != nil {
					return err
				}
			}
			did, err := in.did(times)
			if err != nil {
				return err
			}
			subs = append(subs, did)
		}
		if len(subs) == 0 {
			continue
		}
		switch p.Key {
		case "did_all":
			q.people = append(q.people, allOf(subs))
		case "did_any":
			q.people = append(q.people, anyOf(subs))
		default:
			q.people = append(q.people, node{"not": anyOf(subs)})
		}
	}
	return nil
}

// advancedEvents reads a list of queries, or an object that holds it beside how
// often each must have happened.
func advancedEvents(path string, v event.Value) ([]event.Value, node, error) {
	if v.Kind() == event.List {
		return v.List(), nil, nil
	}
	o := v.Object()
	if v.Kind() != event.Object {
		return nil, nil, wrong("%s: a list of events is needed", path)
	}
	if err := known(path, o, "any_events", "all_events", "events", "operator", "value"); err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"any_events", "all_events", "events"} {
		if l := event.Lookup(o, name); l.Kind() == event.List {
			count, err := occurrences(path, o)
			return l.List(), count, err
		}
	}
	return nil, nil, wrong("%s: a list of events is needed", path)
}

// occurrences reads operator and value as a condition on how often.
func occurrences(path string, o []event.Prop) (node, error) {
	v := event.Lookup(o, "value")
	if v.IsNull() {
		return nil, nil
	}
	n, ok := v.Number()
	if !ok || n < 0 || n != float64(int64(n)) {
		return nil, wrong("%s: a whole number is needed", join(path, "value"))
	}
	op := event.Lookup(o, "operator").Text()
	own, ok := ordering[op]
	switch {
	case op == "" || op == "equals":
		own = "="
	case op == "not_equals":
		own = "!="
	case !ok:
		return nil, wrong("%s: there is no operator %q of how often", join(path, "operator"), clip(op, 64))
	}
	return node{"op": own, "value": int64(n)}, nil
}
