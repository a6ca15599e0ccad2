package publisher

import (
	"context"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
)

// gatherErasures is how long erasures are gathered: each batch rewrites what
// holds the persons and makes a new checkpoint.
const gatherErasures = time.Minute

// openErasure opens the ledger and names every holder of people's data.
func (p *Publisher) openErasure() (err error) {
	p.erasure, err = erasure.Open(p.db, erasure.Options{
		Publisher: p.o.Name, Keys: p.o.Keys,
		// The checkpoint copies what the two before it have let go of, and only
		// then does the journal go that mentions them.
		Inside: append(slices.Clone(p.o.Holders),
			holder{"people: lists, consent ledger and personal properties of events", p.sweepPeople},
			holder{"history: rows, blocks and shelves", p.eraseHistory},
			holder{"journal and checkpoint", func(ctx context.Context, _ []erasure.Forgotten) error { return p.Checkpoint(ctx) }},
		),
		Outside: []erasure.Holder{holder{"connectors", p.tellConnectors}},
		Within:  []string{"people: identities, devices, profile, consent, addresses", "campaigns: timers", "delivery: messages and decisions"},
		Kept: []string{
			"Keyed hashes of the person's ids and addresses, so that a later import cannot bring them back.",
			"Backups made before: what they hold of the person is sealed under a key that is destroyed.",
		},
		Gather: gatherErasures, Board: p.o.Board, Now: p.o.Now, Logger: p.o.Logger,
	})
	return err
}

// holder is a function as a holder.
type holder struct {
	name   string
	forget func(context.Context, []erasure.Forgotten) error
}

func (h holder) Name() string { return h.name }

func (h holder) Forget(ctx context.Context, persons []erasure.Forgotten) error {
	return h.forget(ctx, persons)
}

func (p *Publisher) sweepPeople(ctx context.Context, _ []erasure.Forgotten) error {
	for left := true; left; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if left, err = p.people.Sweep(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) eraseHistory(ctx context.Context, persons []erasure.Forgotten) error {
	var numbers []uint32
	for _, f := range persons {
		numbers = append(numbers, f.Numbers...)
	}
	return p.history.Erase(ctx, numbers)
}

func (p *Publisher) tellConnectors(ctx context.Context, persons []erasure.Forgotten) error {
	var addresses []event.Address
	for _, f := range persons {
		addresses = append(addresses, f.Addresses...)
	}
	if len(addresses) == 0 {
		return nil
	}
	return p.o.Forgetter.Forget(ctx, addresses)
}

// Erasure tells how far a request has come: erasure.ErrUnknown if there is none.
func (p *Publisher) Erasure(request string) (erasure.Status, error) {
	return p.erasure.Status(request)
}

// Certificate gives a request's certificate: erasure.ErrPending until every
// holder has reported.
func (p *Publisher) Certificate(request string) (erasure.Certificate, error) {
	return p.erasure.Certificate(request)
}
