package publisher

import (
	"context"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
)

// Person opens what is known of the person with an identity, or a device if
// there is no such identity. The error wraps people.ErrUnknown or ErrErased.
func (p *Publisher) Person(identity string) (*people.Person, error) {
	n, ok := p.people.Find(identity)
	if !ok {
		return nil, people.ErrUnknown
	}
	return p.people.Person(n)
}

// Timeline gives at most limit events of a person before an instant (0 = all),
// newest first or, with asc, oldest first. Properties that identify someone
// are among them, marked.
func (p *Publisher) Timeline(ctx context.Context, identity string, before int64, limit int, asc bool) ([]history.Row, error) {
	n, ok := p.people.Find(identity)
	if !ok {
		return nil, people.ErrUnknown
	}
	p.moment.RLock()
	h, w := p.history.Snapshot(), p.people.Snapshot()
	p.moment.RUnlock()
	defer h.Release()
	defer w.Release()
	if n = w.Winner(n); w.Hidden(n) {
		return nil, people.ErrErased
	}
	numbers := append([]uint32{n}, w.Losers(event.PartitionOf(n))[n]...)
	rows, err := h.Timeline(ctx, numbers, before, limit, asc)
	if err != nil || len(rows) == 0 {
		return rows, err
	}
	if err := p.unseal(rows, asc); err != nil {
		return nil, fmt.Errorf("opening the personal properties of a timeline: %w", err)
	}
	return rows, nil
}

// unseal gives rows, the oldest first or the newest, the properties that were
// sealed with the number that each lies under. Several events of one number,
// name and instant are told apart by their order only, counted from the first
// row: what a limit cuts off is at the end.
func (p *Publisher) unseal(rows []history.Row, asc bool) error {
	type span struct{ first, last int64 }
	spans := make(map[uint32]span)
	type instant struct {
		person uint32
		time   int64
		name   string
	}
	at := make(map[instant][]int, len(rows))
	for i := range rows {
		r := &rows[i]
		s, ok := spans[r.Person]
		if !ok {
			s = span{r.Time, r.Time}
		}
		spans[r.Person] = span{min(s.first, r.Time), max(s.last, r.Time)}
		k := instant{r.Person, r.Time, r.Name}
		at[k] = append(at[k], i)
	}
	for n, s := range spans {
		personal, err := p.people.OpenEvents(n, s.first, s.last+1)
		if err != nil {
			return err
		}
		if !asc {
			slices.Reverse(personal)
		}
		for _, e := range personal {
			k := instant{n, e.Time, e.Name}
			if len(at[k]) == 0 {
				continue
			}
			row := &rows[at[k][0]]
			at[k] = at[k][1:]
			row.Props = append(row.Props[:len(row.Props):len(row.Props)], e.Props...)
		}
	}
	return nil
}

// Demerge gives what was merged into the person with an identity its own life
// again, with what was done and known before: how many numbers that was.
func (p *Publisher) Demerge(ctx context.Context, identity string) (parted int, err error) {
	known, err := p.Person(identity)
	if err != nil || len(known.Joined) == 0 {
		return 0, err
	}
	now := p.o.Now().UnixMicro()
	f := event.Fact{Kind: event.Demerge, Time: now, Received: now, Person: known.Number}
	if err := p.Append(ctx, []event.Fact{f}); err != nil {
		return 0, fmt.Errorf("asking for a demerge: %w", err)
	}
	return len(known.Joined), p.CaughtUp(ctx)
}

// Suspect notes that a write of the state may have failed: kv.DB.Suspect.
func (p *Publisher) Suspect(why error) { p.db.Suspect(why) }

// OptedOut says whether the person with a device does not want to be collected,
// as of the last commit.
func (p *Publisher) OptedOut(device string) bool { return p.people.OptedOut(device) }

// Suppressed says whether nothing may be sent to an address.
func (p *Publisher) Suppressed(channel, address string) bool {
	return p.people.Suppressed(channel, address)
}

// Erased says whether an identity or a device is one of somebody who was
// erased, and has not agreed anew.
func (p *Publisher) Erased(identityOrDevice string) bool { return p.people.Erased(identityOrDevice) }

// Size counts the people there are and the rows of their events.
func (p *Publisher) Size() (persons, rows int64) {
	p.moment.RLock()
	h, w := p.history.Snapshot(), p.people.Snapshot()
	p.moment.RUnlock()
	defer h.Release()
	defer w.Release()
	return int64(w.Exists().GetCardinality()), h.Rows()
}

// EventInfo is what there is of one event name.
type EventInfo struct {
	history.NameInfo
	Keys []string // of its properties
}

// Schema is what can be asked about.
type Schema struct {
	Events  []EventInfo
	Profile []string // attributes that are not personal
}

// Schema describes the publisher's vocabulary as of now.
func (p *Publisher) Schema() Schema {
	p.moment.RLock()
	h, w := p.history.Snapshot(), p.people.Snapshot()
	p.moment.RUnlock()
	defer h.Release()
	defer w.Release()
	out := Schema{Profile: w.Keys()}
	for _, n := range h.Names() {
		out.Events = append(out.Events, EventInfo{NameInfo: n, Keys: h.Keys(n.Name)})
	}
	return out
}

// Erase forgets the person with an identity: when it returns no question and
// no send can see them. The request's id leads to its certificate, which is
// there when every holder of their data has reported.
func (p *Publisher) Erase(ctx context.Context, identity string) (request string, err error) {
	n, ok := p.people.Find(identity)
	if !ok {
		return "", people.ErrUnknown
	}
	requests, err := p.EraseAll(ctx, []uint32{n})
	if err != nil {
		return "", err
	}
	return requests[0], nil
}
