package campaign

import (
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/liquid"
)

// Bounds of what one fact may write, so that no event, however large and
// however many campaigns wait for it, is too much for a transaction: that would
// stop the applier for good.
const (
	maxKept      = 8 << 10   // bytes kept of an event for one message
	maxKeptFact  = 256 << 10 // the same for all campaigns together
	maxFired     = 200       // messages and timers that one fact may cause
	maxTimers    = 128       // timers of one person, of all campaigns
	valueReserve = 8         // bytes of a value beside its contents
)

// allowance is what is left of the bounds for one fact.
type allowance struct {
	bytes, fired int
}

func newAllowance() *allowance { return &allowance{bytes: maxKeptFact, fired: maxFired} }

// fire takes one message or timer; it says whether there was one left.
func (a *allowance) fire() bool {
	a.fired--
	return a.fired >= 0
}

// keep gives those properties of an event that may be kept for a message: what
// its content refers to first, then the others in their order, as far as they
// fit. Of a list that does not fit its first elements are kept.
func (a *allowance) keep(props []event.Prop, wanted []string) []event.Prop {
	room := min(maxKept, a.bytes)
	var out []event.Prop
	take := func(want bool) {
		for _, p := range props {
			if slices.Contains(wanted, p.Key) != want {
				continue
			}
			p.Value = fitting(p.Value, room-len(p.Key)-valueReserve)
			size := len(event.AppendProps(nil, []event.Prop{p}))
			if p.Value.IsNull() || size > room {
				continue
			}
			room -= size
			a.bytes -= size
			out = append(out, p)
		}
	}
	take(true)
	take(false)
	return out
}

// fitting gives v if it fits, of a list its first elements, else nothing.
func fitting(v event.Value, room int) event.Value {
	if len(event.AppendValue(nil, v)) <= room {
		return v
	}
	var out []event.Value
	for _, e := range v.List() {
		if room -= len(event.AppendValue(nil, e)); room < valueReserve {
			break
		}
		out = append(out, e)
	}
	if out == nil {
		return event.Value{}
	}
	return event.OfList(out)
}

// wanted lists the properties of the event that a content refers to.
func wanted(c Content) []string {
	var out []string
	texts := []string{c.Subject, c.HTML, c.Text, c.Title, c.Link}
	for _, x := range c.Push.templates() {
		texts = append(texts, x.src)
	}
	for _, src := range texts {
		t, err := liquid.Parse(src)
		if err != nil {
			continue // Validate has said so
		}
		for _, f := range t.Fields() {
			if rest, ok := strings.CutPrefix(f, "Event."); ok {
				name, _, _ := strings.Cut(rest, ".")
				out = append(out, name)
			}
		}
	}
	return out
}
