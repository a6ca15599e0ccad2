package publisher

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

// What a door for servers asks of people beyond what the console does: by
// number, by address, many at once.

// Whom gives the people that an expression P of the question contract means
// now. The bitmap is the caller's; a wrong expression is a *query.Error.
func (p *Publisher) Whom(ctx context.Context, expression []byte) (*roaring.Bitmap, error) {
	return audience{p}.People(ctx, expression)
}

// Known opens what is known of a person. The error wraps people.ErrUnknown or
// ErrErased.
func (p *Publisher) Known(person uint32) (*people.Person, error) { return p.people.Person(person) }

// FindIdentity gives the person with an identity.
func (p *Publisher) FindIdentity(identity string) (person uint32, ok bool) {
	return p.people.FindIdentity(identity)
}

// FindDevice gives the person with a device.
func (p *Publisher) FindDevice(device string) (person uint32, ok bool) {
	return p.people.FindDevice(device)
}

// With gives the people who have an address, by number.
func (p *Publisher) With(channel, address string) ([]uint32, error) {
	return p.people.With(channel, address)
}

// ReachableOn gives the people with a push address of a platform. The bitmap
// is shared and must not be changed.
func (p *Publisher) ReachableOn(platform string) *roaring.Bitmap {
	w := p.people.Snapshot()
	defer w.Release()
	return w.ReachableOn(platform)
}

// Personal says whether an attribute of profiles rests sealed with its person
// and cannot be asked about.
func (p *Publisher) Personal(attribute string) bool { return p.people.Personal(attribute) }

// Tell appends facts about known people and waits until they are visible. They
// are the appliance's own: each has its Person.
func (p *Publisher) Tell(ctx context.Context, facts []event.Fact) error {
	now := p.o.Now().UnixMicro()
	for i := range facts {
		facts[i].Time, facts[i].Received = now, now
	}
	if err := p.Append(ctx, facts); err != nil {
		return err
	}
	return p.CaughtUp(ctx)
}

// EraseAll is Erase of several people, with one wait; the requests are in their
// order.
func (p *Publisher) EraseAll(ctx context.Context, persons []uint32) (requests []string, err error) {
	facts := make([]event.Fact, len(persons))
	for i, n := range persons {
		var id [12]byte
		rand.Read(id[:])
		requests = append(requests, hex.EncodeToString(id[:]))
		facts[i] = event.Fact{Kind: event.Erase, ID: requests[i], Person: n}
	}
	if err := p.Tell(ctx, facts); err != nil {
		return nil, fmt.Errorf("asking for %d erasures: %w", len(persons), err)
	}
	return requests, nil
}

// sendBytes is how much of messages asked for is appended at once.
const sendBytes = 2 << 20

// Send asks for a message of a campaign of type "api" to each of some people:
// content is what it says, by the names of campaign.Content, in Liquid. It
// returns once that is on disk; whether a message may go, the gate says at
// hand-off. If it fails, sent of them were asked for all the same.
func (p *Publisher) Send(ctx context.Context, campaign string, persons []uint32, content []event.Prop) (sent int, err error) {
	var id [12]byte
	rand.Read(id[:])
	now := p.o.Now().UnixMicro()
	size := len(event.AppendProps(nil, content)) + 64
	for from := 0; from < len(persons); {
		to := min(len(persons), from+max(1, sendBytes/size))
		facts := make([]event.Fact, 0, to-from)
		for i := from; i < to; i++ {
			facts = append(facts, event.Fact{
				Kind: event.Send, ID: fmt.Sprintf("%x-%d", id, i), Time: now, Received: now, Person: persons[i], Ref: campaign, Props: content,
			})
		}
		if err := p.Append(ctx, facts); err != nil {
			return from, fmt.Errorf("asking for %d messages: %w", len(persons)-from, err)
		}
		from = to
	}
	return len(persons), nil
}
