package query_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/store"
)

// onEngines is the stage of a case file on the real engines. Facts wait for the
// statement that needs them carried in, so that a batch is a transaction.
type onEngines struct {
	dir   string
	store *store.Store // nil until the zone is known
	facts []event.Fact
	known map[string]bool
	steps []func() error // what was asked for before the store was open
}

func (e *onEngines) add(f event.Fact) error {
	if f.Time == 0 {
		f.Time = int64(len(e.known))
	}
	f.Received = f.Time
	e.facts = append(e.facts, f)
	return nil
}

// whose sets whom a fact is about.
func whose(f event.Fact, who string) event.Fact {
	if strings.HasPrefix(who, "~") {
		f.Device = who
	} else {
		f.User = who
	}
	return f
}

func (e *onEngines) meet(who string) error {
	if e.known[who] {
		return nil
	}
	e.known[who] = true // the first to be named is known longest
	return e.add(whose(event.Fact{Kind: event.Identify}, who))
}

func (e *onEngines) event(who string, at time.Time, name string, props []event.Prop) error {
	return e.add(whose(event.Fact{Kind: event.Track, Time: at.UnixMicro(), Name: name, Props: props}, who))
}

func (e *onEngines) learn(who string, profile []event.Prop, channels []string, consents [][2]string) error {
	f := event.Fact{Kind: event.Identify}
	for _, p := range profile {
		f.Changes = append(f.Changes, event.Change{Key: p.Key, Op: event.Set, Value: p.Value})
	}
	for _, c := range channels {
		f.Addresses = append(f.Addresses, event.Address{Channel: c, Value: who + " by " + c})
	}
	for _, c := range consents {
		f.Consents = append(f.Consents, event.Consent{Purpose: c[0], Channel: c[1], Granted: true})
	}
	return e.add(whose(f, who))
}

func (e *onEngines) login(who, device string) error {
	return e.add(event.Fact{Kind: event.Identify, User: who, Device: device})
}

func (e *onEngines) merge(loser, winner string) error {
	return e.add(event.Fact{Kind: event.Alias, Previous: loser, User: winner})
}

func (e *onEngines) unmerge(who string) error {
	return e.add(whose(event.Fact{Kind: event.Demerge}, who))
}

func (e *onEngines) erase(who string) error {
	return e.add(whose(event.Fact{Kind: event.Erase, ID: "erase " + who}, who))
}

func (e *onEngines) list(name string, who []string) error {
	part := people.ListPart{Source: name, Line: 1, Lines: int64(len(who)), Last: true, People: who}
	body, err := part.Encode()
	if err != nil {
		return err
	}
	return e.add(event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: name, Body: body})
}

// step carries in what waits, and does something then.
func (e *onEngines) step(do func(context.Context) error) error {
	facts := e.facts
	e.facts = nil
	run := func() error {
		if err := e.store.Apply(facts...); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return do(ctx)
	}
	if e.store == nil {
		e.steps = append(e.steps, run)
		return nil
	}
	return run()
}

func (e *onEngines) batch() error {
	return e.step(func(context.Context) error { return nil })
}

func (e *onEngines) freeze() error {
	return e.step(func(ctx context.Context) error { return e.store.Freeze(ctx) })
}

func (e *onEngines) restart() error {
	return e.step(func(context.Context) error { return e.store.Restart() })
}

// compact also takes the erased off the disk.
func (e *onEngines) compact() error {
	return e.step(func(ctx context.Context) error {
		if err := e.store.Forget(ctx); err != nil {
			return err
		}
		return e.store.Compact(ctx)
	})
}

func (e *onEngines) data(loc *time.Location) (query.Data, func(string) (uint32, bool), func(), error) {
	fail := func(err error) (query.Data, func(string) (uint32, bool), func(), error) {
		return query.Data{}, nil, nil, err
	}
	if e.store == nil {
		var err error
		if e.store, err = store.Open(e.dir, store.Options{History: history.Options{Location: loc}}); err != nil {
			return fail(err)
		}
		for _, step := range e.steps {
			if err := step(); err != nil {
				return fail(err)
			}
		}
	} else if loc != e.store.Location() {
		return fail(fmt.Errorf("the zone is another than before"))
	}
	if err := e.batch(); err != nil {
		return fail(err)
	}
	d, release := e.store.Data()
	return d, e.store.Find, release, nil
}

func (e *onEngines) close() error {
	if e.store == nil {
		return nil
	}
	return e.store.Close()
}
