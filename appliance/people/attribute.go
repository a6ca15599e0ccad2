package people

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// altered is the value that a change makes of an old one; ok is false where
// the change does not fit it. A Null result takes the attribute away.
func altered(old event.Value, c *event.Change) (v event.Value, ok bool) {
	switch c.Op {
	case event.Set:
		return c.Value, true
	case event.SetOnce:
		if old.IsNull() {
			return c.Value, true
		}
		return old, true
	case event.Delete:
		return event.Value{}, true
	case event.Add:
		return joined(elements(old), elements(c.Value)), true
	case event.Remove:
		gone := elements(c.Value)
		kept := slices.DeleteFunc(slices.Clone(elements(old)), func(e event.Value) bool { return slices.ContainsFunc(gone, e.Equal) })
		if len(kept) == 0 {
			return event.Value{}, true
		}
		return event.OfList(kept), true
	case event.Increase:
		return increased(old, c.Value)
	}
	return event.Value{}, false
}

// elements are those of a list; a scalar is one.
func elements(v event.Value) []event.Value {
	switch v.Kind() {
	case event.Null:
		return nil
	case event.List:
		return v.List()
	}
	return []event.Value{v}
}

// joined is a list without repeats, the oldest pushed out beyond maxElements.
func joined(old, more []event.Value) event.Value {
	out := make([]event.Value, 0, len(old)+len(more))
	for _, e := range slices.Concat(old, more) {
		if !slices.ContainsFunc(out, e.Equal) {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return event.Value{}
	}
	return event.OfList(out[max(0, len(out)-maxElements):])
}

// increased adds two numbers, exactly where both are whole and the sum is one.
func increased(old, by event.Value) (event.Value, bool) {
	if !by.IsNumber() {
		return event.Value{}, false
	}
	if old.IsNull() {
		return by, true
	}
	if old.Kind() == event.Int && by.Kind() == event.Int {
		a, b := old.Int(), by.Int()
		if sum := a + b; (sum > a) == (b > 0) {
			return event.OfInt(sum), true
		}
	}
	a, ok := old.Number()
	b, _ := by.Number()
	sum := a + b
	if !ok || sum-sum != 0 {
		return event.Value{}, false
	}
	return event.OfFloat(sum), true
}

// change alters an attribute of the person at hand.
func (a *applying) change(c *event.Change) error {
	r, err := a.record()
	if err != nil {
		return err
	}
	i, there := r.find(c.Key)
	var now attribute
	if there {
		now = r.attributes[i]
	} else {
		now.key = c.Key
	}
	v, ok := altered(now.value, c)
	if !ok {
		a.drop(c.Key)
		return nil
	}
	marked := now.personal || c.Personal
	if v.Equal(now.value) && marked == now.personal && !now.absorbed {
		return nil
	}
	oldSize := now.size
	now.value, now.personal, now.absorbed = v, marked, false
	now.size = len(now.key) + len(event.AppendValue(nil, v))
	ask := a.p.askable(&now) && !v.IsNull()
	if !there && len(r.attributes) >= maxAttributes ||
		ask && a.p.columns[c.Key] == nil && len(a.p.columns) >= maxColumns ||
		r.weight()-oldSize+now.size > maxWeight {
		a.drop(c.Key)
		return nil
	}
	switch {
	case v.IsNull() && there:
		r.attributes = slices.Delete(r.attributes, i, i+1)
	case v.IsNull():
		return nil
	case there:
		r.attributes[i] = now
	default:
		r.attributes = slices.Insert(r.attributes, i, now)
	}
	a.changed = true
	if a.p.exists.has(a.person) {
		if !ask {
			v = event.Value{}
		}
		a.p.showAttribute(a.person, c.Key, v)
	}
	return nil
}
