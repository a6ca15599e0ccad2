package publisher

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/export"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// ErrPosition: an export cannot go on there.
var ErrPosition = errors.New("publisher: no such position of an export")

// ExportOptions say what is taken out. The zero value is everything but what is
// personal.
type ExportOptions struct {
	From, To int64    // microseconds, To exclusive; 0 = no bound
	Events   []string // names; nil = all. Of events only
	Segment  string   // only people who are in it now; "" = everybody
	Personal bool     // also what identifies people: attributes, properties, addresses
	After    []byte   // a position: what comes up to there is left out
}

// Export is what is taken out, as of one moment. For one goroutine. Close it.
type Export struct {
	p     *Publisher
	o     ExportOptions
	h     *history.Snapshot
	w     *people.Snapshot
	only  *roaring.Bitmap // nil = everybody
	names map[uint32]listed
	table export.Table
	each  func(ctx context.Context, fn func(*export.Record) error, mark func([]byte) error) error
}

// listed is how somebody is named in what is taken out.
type listed struct{ user, device event.Value }

// Table is the form of the records.
func (e *Export) Table() *export.Table { return &e.table }

// Each gives the records to fn and, between them, positions to mark: an export
// with ExportOptions.After goes on behind one. Records and positions are valid
// until the call returns. The order follows from the data alone, so that what
// comes behind a position is the same today and tomorrow, but for what was
// added, changed or erased since. Whoever is erased while it runs is left out
// from then on. An error of fn or mark ends it and is returned as it is.
func (e *Export) Each(ctx context.Context, fn func(*export.Record) error, mark func(position []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.p.ctx, cancel)() // the publisher closes
	return e.each(ctx, fn, mark)
}

// Close lets go of the moment.
func (e *Export) Close() {
	e.h.Release()
	e.w.Release()
}

// exportPatience is how long an export waits for the applier.
const exportPatience = 30 * time.Second

// begin opens an export of the present moment.
func (p *Publisher) begin(ctx context.Context, o ExportOptions) (*Export, error) {
	if o.To == 0 {
		o.To = math.MaxInt64
	}
	if o.From == 0 {
		o.From = math.MinInt64
	}
	// What was acknowledged before is part of it.
	waiting, cancel := context.WithTimeout(ctx, exportPatience)
	defer cancel()
	if err := p.CaughtUp(waiting); err != nil {
		return nil, fmt.Errorf("waiting for what is still to be applied: %w", err)
	}
	e := &Export{p: p, o: o, names: make(map[uint32]listed)}
	p.moment.RLock()
	e.h, e.w = p.history.Snapshot(), p.people.Snapshot()
	p.moment.RUnlock()
	if o.Segment == "" {
		return e, nil
	}
	expression, err := json.Marshal(map[string]string{"segment": o.Segment})
	if err == nil {
		e.only, err = p.evaluate(ctx, expression, query.Data{History: e.h, People: e.w})
	}
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("finding the people to be exported: %w", err)
	}
	return e, nil
}

// wanted gives the number that a person goes by, if they are to be exported.
func (e *Export) wanted(person uint32) (uint32, bool) {
	n := e.w.Winner(person)
	return n, !e.w.Hidden(n) && (e.only == nil || e.only.Contains(n))
}

// maxNames bounds the people whose names are remembered: some 10 MB.
const maxNames = 1 << 16

// named finds out how somebody is named; ok is false if they were erased.
func (e *Export) named(person uint32) (name listed, ok bool, err error) {
	if name, ok := e.names[person]; ok {
		return name, true, nil
	}
	user, device, err := e.w.Listed(person)
	if errors.Is(err, people.ErrErased) {
		return listed{}, false, nil
	}
	if err != nil {
		return listed{}, false, fmt.Errorf("naming person %d: %w", person, err)
	}
	name = listed{textOrNull(user), textOrNull(device)}
	if len(e.names) == maxNames {
		clear(e.names)
	}
	e.names[person] = name
	return name, true, nil
}

func textOrNull(s string) event.Value {
	if s == "" {
		return event.Value{}
	}
	return event.OfText(s)
}

// ExportEvents takes out what happened: by day of the publisher's, within a day
// by person, and of one person in the order in which questions see it. What
// merged people did is under the name of who they are now.
func (p *Publisher) ExportEvents(ctx context.Context, o ExportOptions) (*Export, error) {
	e, err := p.begin(ctx, o)
	if err != nil {
		return nil, err
	}
	e.table = export.Table{Columns: []export.Column{
		{Name: "user", Kind: event.Text}, {Name: "anonymous", Kind: event.Text}, {Name: "event", Kind: event.Text}, {Name: "ts", Kind: event.Time},
	}, Group: "props"}
	names := o.Events
	if names == nil {
		for _, n := range e.h.Names() {
			names = append(names, n.Name)
		}
	}
	keys := make(map[string]bool)
	for _, name := range names {
		for _, k := range e.h.Keys(name) {
			keys[k] = true
		}
	}
	e.table.Keys = slices.Sorted(maps.Keys(keys))
	after, err := parseEventPosition(o.After)
	if err != nil {
		e.Close()
		return nil, err
	}
	e.each = func(ctx context.Context, fn func(*export.Record) error, mark func([]byte) error) error {
		return (&eventExport{Export: e, fn: fn, mark: mark, after: after}).run(ctx)
	}
	return e, nil
}

// eventPosition is behind all events of a person on a day.
type eventPosition struct {
	day       int32
	partition int // -1 = before the first
	person    uint32
}

func (a eventPosition) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b[:0], uint32(a.day))
	return binary.BigEndian.AppendUint32(append(b, byte(a.partition)), a.person)
}

func parseEventPosition(b []byte) (eventPosition, error) {
	if len(b) == 0 {
		return eventPosition{day: math.MinInt32, partition: -1}, nil
	}
	if len(b) != 9 || b[4] >= event.Partitions {
		return eventPosition{}, ErrPosition
	}
	return eventPosition{int32(binary.BigEndian.Uint32(b)), int(b[4]), binary.BigEndian.Uint32(b[5:])}, nil
}

// eventExport is ExportEvents at work.
type eventExport struct {
	*Export
	fn    func(*export.Record) error
	mark  func([]byte) error
	after eventPosition

	now      *people.Snapshot // of this moment: whoever was erased meanwhile is hidden there
	at       eventPosition    // of the person at hand; 0 = nobody yet
	record   export.Record
	gone     bool          // the person at hand was erased meanwhile
	rows     []history.Row // of the person at hand, where personal properties are wanted
	position []byte
}

func (x *eventExport) run(ctx context.Context) error {
	x.record.Cells = make([]event.Value, len(x.table.Columns))
	others := make([][]uint32, event.Partitions)
	for part := range others {
		for winner, losers := range x.w.Losers(part) {
			if _, ok := x.wanted(winner); ok {
				others[part] = append(others[part], losers...)
			}
		}
		slices.Sort(others[part])
	}
	ordered := x.h.Ordered()
	for _, day := range x.h.DaysOf(x.o.Events) {
		for part := range event.Partitions {
			if day < x.after.day || day == x.after.day && part < x.after.partition {
				continue
			}
			x.now = x.p.people.Snapshot()
			x.at = eventPosition{day: day, partition: part}
			as := func(person uint32) (uint32, bool) {
				n, ok := x.wanted(person)
				behind := day != x.after.day || part != x.after.partition || n > x.after.person
				return n, ok && behind && event.PartitionOf(n) == part
			}
			want := history.Want{From: x.o.From, To: x.o.To, Names: x.o.Events}
			err := ordered.Of(ctx, day, part, others[part], want, as, x.row)
			if err == nil {
				err = x.finish()
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// row takes the next row.
func (x *eventExport) row(person uint32, row history.Row) error {
	if person != x.at.person {
		if err := x.finish(); err != nil {
			return err
		}
		x.at.person = person
		name, ok, err := x.named(person)
		if err != nil {
			return err
		}
		x.gone = !ok || x.now.Hidden(person)
		x.record.Cells[0], x.record.Cells[1] = name.user, name.device
	}
	switch {
	case x.gone:
		return nil
	case x.o.Personal:
		row.Props = slices.Clone(row.Props)
		x.rows = append(x.rows, row)
		if len(x.rows) >= maxJoined && row.Time != x.rows[len(x.rows)-2].Time {
			last := x.rows[len(x.rows)-1]
			x.rows = x.rows[:len(x.rows)-1]
			if err := x.join(); err != nil {
				return err
			}
			x.rows = append(x.rows, last)
		}
		return nil
	}
	return x.give(row)
}

// maxJoined is how many events of a person are joined with their personal
// properties at once: less than people.OpenEvents gives.
const maxJoined = 5000

// join gives the rows at hand with what is personal of them.
func (x *eventExport) join() error {
	if len(x.rows) == 0 {
		return nil
	}
	err := x.p.unseal(x.rows, true)
	switch {
	case errors.Is(err, people.ErrErased):
		x.rows, x.gone = x.rows[:0], true
		return nil
	case err != nil:
		return fmt.Errorf("opening the personal properties of events: %w", err)
	}
	for _, row := range x.rows {
		if err := x.give(row); err != nil {
			return err
		}
	}
	x.rows = x.rows[:0]
	return nil
}

func (x *eventExport) give(row history.Row) error {
	x.record.Cells[2], x.record.Cells[3] = event.OfText(row.Name), event.OfMicros(row.Time)
	x.record.Group = row.Props
	return x.fn(&x.record)
}

// finish ends the person at hand.
func (x *eventExport) finish() error {
	if x.at.person == 0 {
		return nil
	}
	if err := x.join(); err != nil {
		return err
	}
	x.position = x.at.append(x.position)
	x.at.person = 0
	return x.mark(x.position)
}
