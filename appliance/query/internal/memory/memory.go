// Package memory is a small history and people in memory, for tests of query:
// made in a moment, in every shape in which rows may come (Layout), without
// files. Nothing but tests imports it.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// Layout is how a generation of rows is handed over.
type Layout uint8

// The layouts.
const (
	Arrival  Layout = iota // one stretch a partition, in order of arrival: a head
	ByPerson               // by person, time, arrival: a merged block
	ByDay                  // by day, then as ByPerson
)

// Generation is rows that arrived together, in their order.
type Generation struct {
	Rows   []history.Row
	Layout Layout
	Codes  bool // numbers are kept in dictionaries too
}

// History is a query.History.
type History struct {
	loc   *time.Location
	parts [event.Partitions][]*stretch
	days  map[string]map[int32]*roaring.Bitmap
	infos map[string]*history.NameInfo
}

type stretch struct {
	out         history.Rows
	first, last int64
	groups      []uint16
	times       block.Times
	ties        []uint32
	columns     map[string]*block.Column
}

// New makes a history of generations, the oldest first, with days in loc.
func New(loc *time.Location, generations ...Generation) *History {
	h := &History{loc: loc, days: map[string]map[int32]*roaring.Bitmap{}, infos: map[string]*history.NameInfo{}}
	for g, gen := range generations {
		order := make([]int, len(gen.Rows))
		for i, r := range gen.Rows {
			order[i] = i
			h.note(r)
		}
		slices.SortStableFunc(order, func(a, b int) int {
			x, y := &gen.Rows[a], &gen.Rows[b]
			c := cmp.Compare(event.PartitionOf(x.Person), event.PartitionOf(y.Person))
			if gen.Layout == ByDay {
				c = cmp.Or(c, cmp.Compare(h.day(x.Time), h.day(y.Time)))
			}
			if gen.Layout != Arrival {
				c = cmp.Or(c, cmp.Compare(x.Person, y.Person), cmp.Compare(x.Time, y.Time))
			}
			return c
		})
		h.add(uint64(g+1), gen, order)
	}
	return h
}

// add makes the columns of a generation, and stretches of them. Dictionaries
// are the generation's, as those of a block are the block's.
func (h *History) add(generation uint64, gen Generation, order []int) {
	rows := make([]history.Row, len(order))
	keys := map[string]bool{}
	for i, at := range order {
		rows[i] = gen.Rows[at]
		for _, p := range rows[i].Props {
			keys[p.Key] = keys[p.Key] || !p.Personal
		}
	}
	all := history.Rows{Generation: generation, Sorted: gen.Layout == ByPerson}
	codes := map[string]uint16{}
	var times []int64
	var ties []uint32
	for i, r := range rows {
		all.Persons = append(all.Persons, r.Person)
		times = append(times, r.Time)
		ties = append(ties, uint32(order[i]))
		code, ok := codes[r.Name]
		if !ok {
			code = uint16(len(codes))
			codes[r.Name] = code
			all.Names = append(all.Names, r.Name)
		}
		all.Events = append(all.Events, code)
	}
	columns := map[string]*block.Column{}
	for key, askable := range keys {
		if askable {
			columns[key] = column(rows, key, gen.Codes)
		}
	}
	for from := 0; from < len(rows); {
		p := event.PartitionOf(rows[from].Person)
		to := from
		for to < len(rows) && event.PartitionOf(rows[to].Person) == p {
			to++
		}
		s := &stretch{out: all, columns: map[string]*block.Column{}}
		s.out.Partition, s.out.Persons, s.out.Events = p, all.Persons[from:to], all.Events[from:to]
		s.times, s.ties = block.TimesOf(times[from:to]), ties[from:to]
		for key, c := range columns {
			if part := cut(c, from, to); part != nil {
				s.columns[key] = part
			}
		}
		if gen.Layout == ByDay {
			h.divide(s, from)
		}
		s.first, s.last = slices.Min(times[from:to]), slices.Max(times[from:to])
		h.parts[p] = append(h.parts[p], s)
		from = to
	}
}

// divide says what a block knows of its rows: their days, and persons by group.
// Rows are counted from the block's first, so that some lie before base.
func (h *History) divide(s *stretch, base int) {
	r := &s.out
	r.Base = base
	for row := range r.Events {
		d := h.day(s.times.At(row))
		if n := len(r.Runs); n == 0 || r.Runs[n-1].Day != d {
			r.Runs = append(r.Runs, history.Run{Day: d, From: row})
		}
		run := &r.Runs[len(r.Runs)-1]
		run.To = row + 1
		r.Last = max(r.Last, r.Persons[row])
	}
	h.group(s)
}

// group counts persons once for all their rows of a day.
func (h *History) group(s *stretch) {
	r := &s.out
	var persons []uint32
	for i := range r.Runs {
		run := &r.Runs[i]
		run.Group = len(persons)
		for row := run.From; row < run.To; row++ {
			if row == run.From || r.Persons[row] != r.Persons[row-1] {
				persons = append(persons, r.Persons[row])
				r.Starts = append(r.Starts, uint32(r.Base+row))
			}
			s.groups = append(s.groups, uint16(len(persons)-1))
		}
		run.EndGroup = len(persons)
	}
	r.Starts = append(r.Starts, uint32(r.Base+len(r.Persons)))
	r.Persons = persons
}

// cut is a stretch of a column, nil where no row has a value.
func cut(c *block.Column, from, to int) *block.Column {
	if c.Nums != nil {
		if !slices.ContainsFunc(c.Nums[from:to], func(f float64) bool { return !math.IsNaN(f) }) {
			return nil
		}
		return &block.Column{Nums: c.Nums[from:to]}
	}
	if !slices.ContainsFunc(c.Codes[from:to], func(code uint32) bool { return code != 0 }) {
		return nil
	}
	return &block.Column{Codes: c.Codes[from:to], Dict: c.Dict}
}

func (h *History) day(us int64) int32 {
	y, m, d := time.UnixMicro(us).In(h.loc).Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func (h *History) note(r history.Row) {
	days := h.days[r.Name]
	if days == nil {
		days = map[int32]*roaring.Bitmap{}
		h.days[r.Name] = days
		h.infos[r.Name] = &history.NameInfo{Name: r.Name, First: r.Time, Last: r.Time}
	}
	info := h.infos[r.Name]
	info.Rows++
	info.First, info.Last = min(info.First, r.Time), max(info.Last, r.Time)
	d := h.day(r.Time)
	if days[d] == nil {
		days[d] = roaring.New()
	}
	days[d].Add(r.Person)
}

// given is a stretch as a Scan that wants some properties gives it.
type given struct {
	*stretch
	keys []string
}

// People implements history.Source.
func (g given) People() (*block.People, error) { return nil, nil }

// Groups implements history.Source.
func (g given) Groups() ([]uint16, error) { return g.groups, nil }

// Times implements history.Source.
func (g given) Times() (block.Times, error) { return g.times, nil }

// Ties implements history.Source.
func (g given) Ties() ([]uint32, error) { return g.ties, nil }

// Column implements history.Source.
func (g given) Column(key string) (*block.Column, error) {
	if !slices.Contains(g.keys, key) {
		return nil, fmt.Errorf("memory: the property %q was not wanted", key)
	}
	return g.columns[key], nil
}

// wanted says whether a row may match.
func (s *stretch) wanted(w history.Want) bool {
	return s.first < w.To && s.last >= w.From &&
		(w.Names == nil || slices.ContainsFunc(s.out.Names, func(n string) bool { return slices.Contains(w.Names, n) }))
}

func column(rows []history.Row, key string, codes bool) *block.Column {
	values := make([]event.Value, len(rows))
	for i, r := range rows {
		if j := slices.IndexFunc(r.Props, func(p event.Prop) bool { return p.Key == key && !p.Personal }); j >= 0 {
			values[i] = r.Props[j].Value
		}
	}
	return Column(values, codes)
}

// Column makes a column of values; of numbers alone it has Nums, unless codes.
func Column(values []event.Value, codes bool) *block.Column {
	numeric := !codes
	for _, v := range values {
		f, _ := v.Number()
		numeric = numeric && (v.IsNull() || v.IsNumber() && event.OfFloat(f).Equal(v))
	}
	c := &block.Column{}
	known := map[string]uint32{}
	for _, v := range values {
		if numeric {
			f, ok := v.Number()
			if !ok {
				f = math.NaN()
			}
			c.Nums = append(c.Nums, f)
			continue
		}
		code := uint32(0)
		if !v.IsNull() {
			enc := string(event.AppendValue(nil, v))
			if code = known[enc]; code == 0 {
				c.Dict = append(c.Dict, v)
				code = uint32(len(c.Dict))
				known[enc] = code
			}
		}
		c.Codes = append(c.Codes, code)
	}
	return c
}

// Scan hands over the stretches of a partition that have a row that is wanted.
func (h *History) Scan(ctx context.Context, partition int, w history.Want, fn func(*history.Rows) error) error {
	for _, s := range h.parts[partition] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.wanted(w) {
			continue
		}
		if err := fn(s.out.Of(given{s, w.Keys})); err != nil {
			return err
		}
	}
	return nil
}

// People are those with an event on a day.
func (h *History) People(name string, day int32) (*roaring.Bitmap, error) {
	if b := h.days[name][day]; b != nil {
		return b, nil
	}
	return roaring.New(), nil
}

// AnyPeople are those with any event of the apps on a day.
func (h *History) AnyPeople(day int32) (*roaring.Bitmap, error) {
	out := roaring.New()
	for name, days := range h.days {
		if b := days[day]; b != nil && !event.Own(name) {
			out.Or(b)
		}
	}
	return out, nil
}

// Days are the days with an event.
func (h *History) Days(name string) []int32 {
	var out []int32
	for d := range h.days[name] {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// Names are the event names there are.
func (h *History) Names() []history.NameInfo {
	var out []history.NameInfo
	for _, n := range h.infos {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b history.NameInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
