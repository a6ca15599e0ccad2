package query

import (
	"errors"
	"math"
	"slices"
	"time"
	_ "time/tzdata" // an answer does not depend on the zones that a machine has

	"github.com/cloisterhq/cloister/appliance/event"
)

// What a question may hold at most.
const (
	maxBody   = 1 << 20 // bytes
	maxNodes  = 2_000   // conditions, people expressions and event references in all
	maxNested = 16      // what is saved and names what is saved
)

// parser turns a question into typed structs. One parser reads one question.
type parser struct {
	cal     calendar
	now     int64
	top     *filter // the filter beside kind: joined to every event reference
	nodes   int
	leaves  int
	segment func(name string) ([]byte, bool)
	goal    func(campaign string) (Goal, bool)
	rfms    func() map[string][]byte
	scored  map[string]*rfm // of the saved ones, those that were read
	lists   []string
	open    []saved // what is being read, to see a circle
}

// saved is what is saved under a name.
type saved struct{ kind, name string }

// enter begins to read something saved, in place of its name.
func (c *parser) enter(n node, s saved) error {
	if slices.Contains(c.open, s) || len(c.open) >= maxNested {
		return n.bad("the %s %q leads back to itself", s.kind, clip(s.name))
	}
	c.open = append(c.open, s)
	return nil
}

func (c *parser) leave() { c.open = c.open[:len(c.open)-1] }

// body reads a question's text as fields.
func body(b []byte) (*fields, error) {
	v, err := parseText(b)
	if err != nil {
		return nil, err
	}
	return node{v: v}.fields()
}

func parseText(b []byte) (event.Value, error) {
	if len(b) > maxBody {
		return event.Value{}, fail(CodeSyntax, "", "the question is longer than %d bytes", maxBody)
	}
	v, err := event.ParseJSON(b)
	if err != nil {
		var se *event.SyntaxError
		if errors.As(err, &se) {
			return v, fail(CodeSyntax, "", "%v", se)
		}
		return v, err
	}
	return v, nil
}

// count bounds the work that one question can ask for.
func (c *parser) count(n node) error {
	if c.nodes++; c.nodes > maxNodes {
		return fail(CodeBudget, n.path, "the question has more than %d parts", maxNodes)
	}
	return nil
}

// shared reads the parts that every kind has: timezone, week_starts, now and
// filter. from, to and people are left to the kind.
func (c *parser) shared(f *fields, env *Env) error {
	c.segment, c.goal, c.rfms = env.Segment, env.Goal, env.RFMs
	if env.Data.People != nil {
		c.lists = env.Data.People.Lists()
	}
	c.cal = calendar{loc: env.Location, weekStart: time.Monday}
	if z := f.take("timezone"); !z.absent() {
		name, err := z.text()
		if err != nil {
			return err
		}
		loc, err := zone(name)
		if err != nil {
			return z.bad("%q is not the name of a time zone (Europe/Berlin)", clip(name))
		}
		c.cal.loc = loc
	}
	starts, err := f.take("week_starts").oneOf(0, "monday", "sunday")
	if err != nil {
		return err
	}
	if starts == 1 {
		c.cal.weekStart = time.Sunday
	}
	c.now = env.Now().UnixMicro()
	now, err := f.take("now").instant()
	switch {
	case err != nil:
		return err
	case now.isDate:
		c.now = c.cal.start(now.date)
	case now.set:
		c.now = now.micros
	}
	c.top, err = c.filter(f.take("filter"))
	return err
}

// zone loads a time zone by its IANA name. "Local" would be the machine's.
func zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errors.New("no zone")
	}
	return time.LoadLocation(name)
}

// ref is an event reference: a name, or any event of the apps.
type ref struct {
	name   string // "" = any
	filter *filter
}

// title is what an answer calls the reference.
func (r *ref) title() string {
	if r.name == "" {
		return "any event"
	}
	return r.name
}

// matches says whether the reference can mean an event of that name.
func (r *ref) matches(name string) bool {
	if r.name == "" {
		return !event.Own(name)
	}
	return r.name == name
}

// ref reads "event" and "filter" among fields that may hold more.
func (c *parser) ref(f *fields) (*ref, error) {
	n := f.take("event")
	if err := c.count(n); err != nil {
		return nil, err
	}
	name, err := n.textOr("")
	if err != nil {
		return nil, err
	}
	if !n.absent() && name == "" {
		return nil, n.bad("an event has a name; leave it out for any event")
	}
	own, err := c.filter(f.take("filter"))
	if err != nil {
		return nil, err
	}
	return &ref{name: name, filter: both(c.top, own)}, nil
}

// onlyRef reads an object that holds an event reference and nothing else.
func (c *parser) onlyRef(n node) (*ref, error) {
	f, err := n.fields()
	if err != nil {
		return nil, err
	}
	r, err := c.ref(f)
	if err != nil {
		return nil, err
	}
	return r, f.done()
}

// period is a range of time, [from, to); an end that was left out is the
// beginning or end of time.
type period struct {
	from, to         int64
	fromOpen, toOpen bool
}

func ever() period {
	return period{from: math.MinInt64, to: math.MaxInt64, fromOpen: true, toOpen: true}
}

func (p period) has(us int64) bool { return us >= p.from && us < p.to }

// period reads from and to.
func (c *parser) period(f *fields) (period, error) {
	p := ever()
	n := f.take("from")
	from, err := n.instant()
	if err != nil {
		return p, err
	}
	if from.set {
		p.from, p.fromOpen = from.micros, false
		if from.isDate {
			p.from = c.cal.start(from.date)
		}
	}
	n = f.take("to")
	to, err := n.instant()
	if err != nil {
		return p, err
	}
	if to.set {
		p.to, p.toOpen = to.micros, false
		if to.isDate {
			p.to = c.cal.start(to.date + 1)
		}
	}
	if p.from > p.to || from.isDate && to.isDate && from.date > to.date {
		return p, n.bad("the range ends before it begins")
	}
	return p, nil
}

// when reads WHEN: a last span up to now with both ends in, a range, or ever.
// back says that it counts back from now.
func (c *parser) when(n node) (p period, back bool, err error) {
	if n.absent() {
		return ever(), false, nil
	}
	f, err := n.fields()
	if err != nil {
		return p, false, err
	}
	if last := f.take("last"); !last.absent() {
		s, err := last.span()
		if err != nil {
			return p, false, err
		}
		return period{from: c.cal.add(c.now, s, -1), to: c.now + 1}, true, f.done()
	}
	if p, err = c.period(f); err != nil {
		return p, false, err
	}
	return p, false, f.done()
}

// interval reads an interval by the name of its field.
func (f *fields) interval(key string, def unit) (unit, error) {
	i, err := f.take(key).oneOf(int(def)-1, unitNames[1:]...) // a second is no interval
	return unit(i + 1), err
}

// dimension is one part of a breakdown.
type dimension struct {
	place place
	key   string
}

type breakdown struct {
	dims  []dimension
	limit int
}

func (b *breakdown) any() bool { return len(b.dims) > 0 }

const maxDimensions = 3

// breakdown reads one {"property", "of", "limit"} or a list of up to 3.
func (c *parser) breakdown(n node) (breakdown, error) {
	b := breakdown{limit: 25}
	if n.absent() {
		return b, nil
	}
	list := []node{n}
	if n.v.Kind() == event.List {
		var err error
		if list, err = n.list(maxDimensions); err != nil {
			return b, err
		}
	}
	limited := false
	for _, e := range list {
		f, err := e.fields()
		if err != nil {
			return b, err
		}
		p, err := f.take("of").oneOf(0, placeNames...)
		if err != nil {
			return b, err
		}
		d := dimension{place: place(p)}
		if d.place == ofClock {
			return b, fail(CodeValue, join(f.path, "of"), "there is no breakdown by time; interval cuts it up")
		}
		if d.place != ofPerson {
			if d.key, err = f.property(); err != nil {
				return b, err
			}
		}
		// The tuples are limited, not each dimension: the tightest limit holds.
		limit := f.take("limit")
		k, err := limit.int(b.limit, 1, 10_000)
		if err != nil {
			return b, err
		}
		if !limit.absent() && (!limited || k < b.limit) {
			b.limit, limited = k, true
		}
		b.dims = append(b.dims, d)
		if err := f.done(); err != nil {
			return b, err
		}
	}
	return b, nil
}
