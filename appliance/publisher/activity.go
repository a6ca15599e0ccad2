package publisher

import (
	"context"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// Activity is how often a person did something, and when: microseconds.
type Activity struct {
	Count       int64
	First, Last int64
}

// Activities counts what some people did, by person and event name. What
// merged people did counts as their winner's.
func (p *Publisher) Activities(ctx context.Context, persons []uint32) (map[uint32]map[string]Activity, error) {
	env, release, err := p.env(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	h, w := env.Data.History, env.Data.People
	out := make(map[uint32]map[string]Activity, len(persons))
	whose := make(map[uint32]map[string]Activity) // by the rows' numbers
	var parts [event.Partitions]bool
	for _, n := range persons {
		n = w.Winner(n)
		if w.Hidden(n) || out[n] != nil {
			continue
		}
		out[n] = make(map[string]Activity)
		for _, own := range append([]uint32{n}, w.Losers(event.PartitionOf(n))[n]...) {
			whose[own] = out[n]
			parts[event.PartitionOf(own)] = true
		}
	}
	for part, asked := range parts {
		if !asked {
			continue
		}
		err := h.Scan(ctx, part, history.Want{}, func(r *history.Rows) error {
			times, err := r.Times()
			if err != nil {
				return err
			}
			if err := r.LoadPersons(); err != nil {
				return err
			}
			for row, name := range r.Events {
				did := whose[r.Person(row)]
				if did == nil {
					continue
				}
				at := times.At(row)
				a, ok := did[r.Names[name]]
				if !ok {
					a.First, a.Last = at, at
				}
				a.Count, a.First, a.Last = a.Count+1, min(a.First, at), max(a.Last, at)
				did[r.Names[name]] = a
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("counting what people did: %w", err)
		}
	}
	return out, nil
}
