package flow

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
)

// run is what is applied in one transaction.
type run struct {
	a  *Applier
	t  *kv.Txn
	at cursor

	rows     []history.Row
	rowBytes int

	facts, repeats, messages int
	refused                  map[string]int64
}

// errNoRoom: the disk is at the reserve of the state, and nothing was begun.
var errNoRoom = errors.New("flow: no room for a transaction")

// run applies facts from the front of batch until the transaction has enough,
// commits, and makes it visible. It gives how many records are done with.
func (a *Applier) run(batch []journal.Record) (done int, err error) {
	began := time.Now()
	r := &run{a: a, at: a.position(), refused: make(map[string]int64)}
	maxBytes, maxKeys := a.db.Limits()
	err = a.db.Update(func(t *kv.Txn) error {
		r.t = t // from here on memory runs ahead of the disk
		for done < len(batch) {
			rec := &batch[done]
			for int(r.at.skip) < len(rec.Facts) {
				// An erasure begins a run, so that it finds committed what it forgets.
				if r.full(maxBytes, maxKeys) || rec.Facts[r.at.skip].Kind == event.Erase && r.facts > 0 {
					return r.finish()
				}
				if err := r.fact(&rec.Facts[r.at.skip]); err != nil {
					return fmt.Errorf("record %v, fact %d (%s): %w", rec.Cursor, r.at.skip, &rec.Facts[r.at.skip], err)
				}
				r.at.skip++
			}
			r.at = cursor{record: rec.Cursor}
			done++
		}
		return r.finish()
	})
	if r.t == nil && errors.Is(err, kv.ErrFull) {
		return 0, fmt.Errorf("%w: %w", errNoRoom, err)
	}
	if err != nil {
		return 0, fmt.Errorf("applying: %w", err)
	}
	r.publish()
	a.counts.add(r, time.Since(began))
	a.move(r.at) // last: who waits for it may look at everything else
	return done, nil
}

// full leaves room for what one more fact may write at most, and for the rows,
// which are written last.
func (r *run) full(maxBytes, maxKeys int64) bool {
	return r.facts >= runFacts || r.rowBytes >= rowBytes ||
		int64(r.t.Size()+r.rowBytes) > maxBytes/3 || int64(r.t.Keys()) > maxKeys/3
}

func (r *run) finish() error {
	if len(r.rows) > 0 {
		if err := r.a.s.History.Append(r.t, r.rows); err != nil {
			return fmt.Errorf("writing %d rows: %w", len(r.rows), err)
		}
	}
	return r.at.save(r.t)
}

// publish makes visible what was committed, people and history at one moment.
func (r *run) publish() {
	s := &r.a.s
	s.Repeats.Committed()
	func() {
		r.a.o.Moment.Lock()
		defer r.a.o.Moment.Unlock()
		s.People.Committed()
		s.History.Committed()
	}()
	s.Programme.Committed()
	s.Campaigns.Committed()
	s.Delivery.Committed()
	s.Erasure.Committed()
	r.a.o.Applied(r.rows)
}

// fact carries one fact through the stages.
func (r *run) fact(f *event.Fact) error {
	r.facts++
	s := &r.a.s
	if f.ID != "" {
		seen, err := s.Repeats.Seen(r.t, sender(f)+f.ID, f.Received)
		if err != nil {
			return err
		}
		if seen {
			r.repeats++
			return nil
		}
	}
	if f.Kind == event.Programme && f.Name != event.TypeCampaign && f.Name != event.TypeList && f.Name != event.TypeSuppression {
		return s.Programme.Apply(r.t, f)
	}
	who, err := s.People.Apply(r.t, f)
	if err != nil {
		return err
	}
	if who.Refused != "" {
		r.refused[who.Refused]++
		return nil
	}
	if f.Kind == event.Erase {
		return r.erase(f, who.Person)
	}
	if who.Merged != nil {
		if err := s.Campaigns.Merge(r.t, who.Merged.Winner, who.Merged.Loser); err != nil {
			return err
		}
	}
	if who.OptedOut {
		r.refused[people.RefusedOptedOut]++
	} else {
		if f.Kind == event.Track {
			if err := r.row(f, who.Number); err != nil {
				return err
			}
		}
		if err := r.decide(f, who.Person); err != nil {
			return err
		}
	}
	for i := range who.Events {
		own := &who.Events[i]
		if err := r.row(own, own.Person); err != nil {
			return err
		}
		if err := r.decide(own, own.Person); err != nil {
			return err
		}
	}
	return nil
}

// sender keeps the ids that the appliance gives to its own facts apart from
// those that come from outside, so that nobody can take one away in advance.
func sender(f *event.Fact) string {
	if f.Person != 0 {
		return "\x00"
	}
	return ""
}

// row keeps an event: what is personal of it with the person, the rest as a row.
func (r *run) row(f *event.Fact, person uint32) error {
	var personal []event.Prop
	for _, p := range f.Props {
		if p.Personal {
			personal = append(personal, p)
		}
		r.rowBytes += len(p.Key) + 8
		if k := p.Value.Kind(); k >= event.Text {
			r.rowBytes += len(p.Value.String())
		}
	}
	if len(personal) > 0 {
		if err := r.a.s.People.SealEvent(r.t, person, f.Time, f.Name, personal); err != nil {
			return err
		}
	}
	r.rowBytes += len(f.Name) + 16
	r.rows = append(r.rows, history.Row{Person: person, Time: f.Time, Name: f.Name, Props: f.Props})
	return nil
}

// decide shows a fact to the campaigns and puts what they decide in the outbox.
func (r *run) decide(f *event.Fact, person uint32) error {
	s := &r.a.s
	intentions, err := s.Campaigns.Apply(r.t, f, person, func(key string) event.Value { return s.People.Profile(person, key) })
	if err != nil {
		return err
	}
	for _, in := range intentions {
		if err := s.Delivery.Enqueue(r.t, delivery.Intention(in)); err != nil {
			return err
		}
		r.messages++
	}
	return nil
}

// erase forgets a person in every room that has something of them in this
// database; the ledger sees to the rest, and to the keys.
func (r *run) erase(f *event.Fact, person uint32) error {
	s := &r.a.s
	gone := erasure.Forgotten{Numbers: s.People.Numbers(person)}
	known, err := s.People.Person(person)
	switch {
	case err == nil:
		gone.Addresses = known.Addresses
	case !errors.Is(err, people.ErrUnknown) && !errors.Is(err, people.ErrErased):
		// An unreadable record must not keep its person from being forgotten.
		r.a.o.Logger.Warn("the addresses of a person to be erased cannot be read, so connectors cannot be told", "person", person, "error", err)
	}
	for _, n := range gone.Numbers {
		if err := s.Campaigns.Forget(r.t, n); err != nil {
			return err
		}
		if err := s.Delivery.Forget(r.t, n); err != nil {
			return err
		}
	}
	if err := s.People.Erase(r.t, person); err != nil {
		return err
	}
	return s.Erasure.Begin(r.t, f.ID, f.Time, gone)
}
