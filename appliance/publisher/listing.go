package publisher

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// Listing asks for events, page by page.
type Listing struct {
	Reference []byte // event reference of the question contract, that names an event
	From, To  int64  // microseconds, To exclusive
	People    []byte // expression P: only what these people did; nil = everybody
	// First, if it is there, is an expression of those whose first such event
	// ever lies in the range; listed are these firsts alone or, with Again, all
	// events but these.
	First []byte
	Again bool
	Limit int   // of a page; at least 1
	After Place // zero = the first page
}

// listedBytes bounds what the events of a page take, by their properties: a
// page that would take more ends earlier.
const listedBytes = 32 << 20

// Place is behind an event of a listing. Events come by partition, by the
// number that they lie under, by time; so pages neither repeat nor leave out
// what was there all the time.
type Place struct {
	Partition int
	Person    uint32
	Time      int64
	Same      int // events of that person and instant that came before, with this one
}

// Listed is an event of a listing. Person is whose it is now.
type Listed struct {
	Person uint32
	Time   int64
	Name   string
	Props  []event.Prop // personal ones included, marked
	At     Place        // behind it
}

// List gives the next page, and whether there may be more behind it.
func (p *Publisher) List(ctx context.Context, l Listing) (page []Listed, more bool, err error) {
	m, err := query.CompileEvent(l.Reference, p.o.Location)
	if err != nil {
		return nil, false, err
	}
	env, release, err := p.env(ctx)
	if err != nil {
		return nil, false, err
	}
	defer release()
	g := listing{Listing: l, m: m, h: env.Data.History.(*history.Snapshot), w: env.Data.People, only: env.Data.People.Exists()}
	if l.People != nil {
		if g.only, err = query.Evaluate(ctx, l.People, env); err != nil {
			return nil, false, err
		}
	}
	if l.First != nil {
		if g.firsts, err = query.Evaluate(ctx, l.First, env); err != nil {
			return nil, false, err
		}
		if err := g.findMerged(ctx); err != nil {
			return nil, false, fmt.Errorf("listing events: %w", err)
		}
	}
	for part := l.After.Partition; part < event.Partitions && len(g.page) < l.Limit; part++ {
		if err := g.partition(ctx, part); err != nil {
			return nil, false, fmt.Errorf("listing events: %w", err)
		}
	}
	if page, err = g.read(); err != nil {
		return nil, false, fmt.Errorf("listing events: %w", err)
	}
	more = len(g.page) == l.Limit || len(page) < len(g.page)
	return page, more, g.unseal(ctx, p.people, page)
}

// unseal adds what is personal of the events of a page. Those of one person
// and instant are told apart by their order alone, which what was filtered out
// is part of.
func (g *listing) unseal(ctx context.Context, p *people.People, out []Listed) error {
	sealed := make(map[uint32]map[int64][][]event.Prop) // by number and instant
	for from := 0; from < len(out); {
		n, to := out[from].At.Person, from
		for to < len(out) && out[to].At.Person == n {
			to++
		}
		personal, err := p.OpenEvents(n, out[from].Time, out[to-1].Time+1)
		if err != nil {
			return fmt.Errorf("opening the personal properties of events: %w", err)
		}
		for _, e := range personal {
			if e.Name != g.m.Event() {
				continue
			}
			if sealed[n] == nil {
				sealed[n] = make(map[int64][][]event.Prop)
			}
			sealed[n][e.Time] = append(sealed[n][e.Time], e.Props)
		}
		from = to
	}
	if len(sealed) == 0 {
		return nil
	}
	nth, err := g.order(ctx, sealed)
	if err != nil {
		return err
	}
	for i := range out {
		c := &g.page[i]
		all := sealed[c.place.Person][c.place.Time]
		if k, ok := nth[spotOf(c)]; ok && k < len(all) {
			out[i].Props = append(out[i].Props, all[k]...)
		}
	}
	return nil
}

// spot is a row of a listing, however often it is looked for.
type spot struct {
	person uint32
	time   int64
	order  [3]uint64
}

func spotOf(c *candidate) spot { return spot{c.place.Person, c.place.Time, c.order} }

// order numbers the rows of instants, those that do not match included.
func (g *listing) order(ctx context.Context, of map[uint32]map[int64][][]event.Prop) (map[spot]int, error) {
	var all []candidate
	for part := range event.Partitions {
		if !slices.ContainsFunc(g.page, func(c candidate) bool { return c.place.Partition == part }) {
			continue
		}
		err := g.scan(ctx, part, func(*history.Rows) error { return nil }, func(c candidate) {
			if of[c.place.Person][c.place.Time] != nil {
				all = append(all, c)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return a.compare(&b) })
	nth := make(map[spot]int, len(all))
	k := 0
	for i := range all {
		if k++; i == 0 || all[i-1].place.Person != all[i].place.Person || all[i-1].place.Time != all[i].place.Time {
			k = 0
		}
		nth[spotOf(&all[i])] = k
	}
	return nth, nil
}

// listing is a page being made.
type listing struct {
	Listing
	m    *query.Matcher
	h    *history.Snapshot
	w    query.People
	only *roaring.Bitmap
	page []candidate

	firsts *roaring.Bitmap // nil = all events count alike
	merged map[uint32]first
}

// candidate is an event that may be on the page.
type candidate struct {
	rows  *history.Rows
	row   int
	place Place
	order [3]uint64 // of equal instants: generation, tie, the scan's
}

func (a *candidate) compare(b *candidate) int {
	return cmp.Or(cmp.Compare(a.place.Person, b.place.Person), cmp.Compare(a.place.Time, b.place.Time), slices.Compare(a.order[:], b.order[:]))
}

// candidates are the first of a partition, the last of them on top.
type candidates struct{ list []candidate }

func (c *candidates) Len() int           { return len(c.list) }
func (c *candidates) Less(i, j int) bool { return c.list[i].compare(&c.list[j]) > 0 }
func (c *candidates) Swap(i, j int)      { c.list[i], c.list[j] = c.list[j], c.list[i] }
func (c *candidates) Push(x any)         { c.list = append(c.list, x.(candidate)) }
func (c *candidates) Pop() any {
	last := c.list[len(c.list)-1]
	c.list = c.list[:len(c.list)-1]
	return last
}

// scan gives the rows of a partition that can be listed, in the order of the
// snapshot, which is the same each time: begin is called for each stretch.
func (g *listing) scan(ctx context.Context, part int, begin func(*history.Rows) error, fn func(c candidate)) error {
	name := g.m.Event()
	var scanned uint64
	want := history.Want{From: g.From, To: g.To, Names: []string{name}, Keys: g.h.Keys(name)}
	return g.h.Scan(ctx, part, want, func(r *history.Rows) error {
		scanned++
		code := slices.Index(r.Names, name)
		if code < 0 {
			return nil
		}
		times, err := r.Times()
		if err != nil {
			return err
		}
		ties, err := r.Ties()
		if err != nil {
			return err
		}
		if err := r.LoadPersons(); err != nil {
			return err
		}
		if err := begin(r); err != nil {
			return err
		}
		for row, e := range r.Events {
			at, n := times.At(row), r.Person(row)
			if int(e) != code || at < g.From || at >= g.To {
				continue
			}
			if w := g.w.Winner(n); g.w.Hidden(n) || !g.only.Contains(w) {
				continue
			}
			c := candidate{rows: r, row: row, place: Place{Partition: part, Person: n, Time: at}, order: [3]uint64{r.Generation, 0, scanned<<32 | uint64(row)}}
			if ties != nil {
				c.order[1] = uint64(ties[row])
			}
			fn(c)
		}
		return nil
	})
}

// partition adds the events of one. Those of the instant that the last page
// ended in are all looked at: how many of them went before is known.
func (g *listing) partition(ctx context.Context, part int) error {
	after := g.After
	if part != after.Partition {
		after = Place{Time: math.MinInt64}
	}
	limit := g.Limit - len(g.page) + after.Same
	var best candidates
	var cols columns
	var props []event.Prop
	name, keys := g.m.Event(), g.h.Keys(g.m.Event())
	begin := func(r *history.Rows) (err error) {
		cols, err = columnsOf(r, keys)
		return err
	}
	firsts, err := g.firstsIn(ctx, part)
	if err != nil {
		return err
	}
	err = g.scan(ctx, part, begin, func(c candidate) {
		if n := c.place.Person; n < after.Person || n == after.Person && c.place.Time < after.Time {
			return
		}
		if props = cols.read(c.row, props[:0]); !g.m.MatchAt(name, c.place.Time, props, nil) || !g.wanted(&c, firsts) {
			return
		}
		switch {
		case len(best.list) < limit:
			heap.Push(&best, c)
		case c.compare(&best.list[0]) < 0:
			best.list[0] = c
			heap.Fix(&best, 0)
		}
	})
	if err != nil {
		return err
	}
	slices.SortFunc(best.list, func(a, b candidate) int { return a.compare(&b) })
	for i := range best.list {
		at := &best.list[i].place
		at.Same = 1
		if i > 0 && best.list[i-1].place.Person == at.Person && best.list[i-1].place.Time == at.Time {
			at.Same += best.list[i-1].place.Same
		}
		if at.Person == after.Person && at.Time == after.Time && at.Same <= after.Same {
			continue // on the page before
		}
		if len(g.page) < g.Limit {
			g.page = append(g.page, best.list[i])
		}
	}
	return nil
}

// read makes events of the page.
func (g *listing) read() ([]Listed, error) {
	keys := g.h.Keys(g.m.Event())
	opened := make(map[*history.Rows]columns)
	out := make([]Listed, 0, len(g.page))
	bytes := 0
	for i := range g.page {
		c := &g.page[i]
		cols, ok := opened[c.rows]
		if !ok {
			var err error
			if cols, err = columnsOf(c.rows, keys); err != nil {
				return nil, err
			}
			opened[c.rows] = cols
		}
		one := Listed{Person: g.w.Winner(c.place.Person), Time: c.place.Time, Name: g.m.Event(), Props: cols.read(c.row, nil), At: c.place}
		if bytes += len(event.AppendProps(nil, one.Props)); bytes > listedBytes && len(out) > 0 {
			break
		}
		out = append(out, one)
	}
	return out, nil
}

type columns []struct {
	key string
	col *block.Column
}

func columnsOf(r *history.Rows, keys []string) (columns, error) {
	var out columns
	for _, key := range keys {
		col, err := r.Column(key)
		if err != nil {
			return nil, err
		}
		if col != nil {
			out = append(out, struct {
				key string
				col *block.Column
			}{key, col})
		}
	}
	return out, nil
}

func (c columns) read(row int, props []event.Prop) []event.Prop {
	for _, one := range c {
		if row >= one.col.Len() {
			continue
		}
		if v := one.col.Value(row); !v.IsNull() {
			props = append(props, event.Prop{Key: one.key, Value: v})
		}
	}
	return props
}
