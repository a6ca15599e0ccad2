package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
	"github.com/cloisterhq/cloister/appliance/journal"
)

// Refused is a record that was not taken, for whoever looks after the apps.
type Refused struct {
	Dialect string      // "clevertap", "segment", ..
	Key     string      // the id of the key that it came with
	Index   int         // of the record in its request, from 0; -1 = the request itself
	Err     error       // why: an *event.Refusal, or what the dialect says
	Record  event.Value // as it came; lives no longer than the request
	// Accepted: it is no refusal. The record was taken though it breaks the
	// publisher's schema, or was left out because that says so.
	Accepted bool
}

// batch is what a dialect makes of one request: the facts that are kept and the
// records that are not. The publisher's rules are applied here and nowhere
// else. It belongs to its request and is not for concurrent use.
type batch struct {
	pub     *Publisher
	key     string
	dialect string
	now     time.Time
	limits  event.Limits // the publisher's; a dialect may raise them before the first record

	facts   []event.Fact // until they are written
	held    []Held
	refused []Refused
	noted   []Refused // accepted, and yet to be told of
}

// manyFacts is up to how many facts' memory is kept for another request.
const manyFacts = 4096

// begin makes the batch of a request that came with key.
func (d *Door) begin(dialect string, key Key) *batch {
	return &batch{pub: key.Publisher, key: key.ID, dialect: dialect, now: d.o.Now(), limits: key.Publisher.Rules.limits(),
		facts: *d.facts.Get().(*[]event.Fact)}
}

// keep takes the facts that a record made, all of them or, where the rules
// refuse one, none.
func (b *batch) keep(index int, record event.Value, made ...event.Fact) {
	before := len(b.facts)
	b.facts = append(b.facts, made...)
	var hold detect.Set
	for i := before; i < len(b.facts); i++ {
		v, err := b.pub.Rules.apply(&b.facts[i], b.now, b.limits)
		if err != nil {
			b.facts = b.facts[:before]
			if err == errInactive {
				b.note(index, record, err)
			} else {
				b.refuse(index, record, err)
			}
			return
		}
		hold |= v.hold
		if v.off != nil {
			b.note(index, record, v.off)
		}
	}
	if hold != 0 && !b.pub.Hold.Room() {
		b.facts = b.facts[:before]
		b.refuse(index, record, errHoldFull)
		return
	}
	if hold != 0 {
		b.held = append(b.held, Held{Dialect: b.dialect, Key: b.key, Kinds: hold, Facts: slices.Clone(b.facts[before:])})
		b.facts = b.facts[:before]
	}
}

// refuse notes a record that cannot be taken.
func (b *batch) refuse(index int, record event.Value, err error) {
	b.refused = append(b.refused, Refused{Dialect: b.dialect, Key: b.key, Index: index, Err: err, Record: record})
}

// note notes a record that the sender may take for accepted.
func (b *batch) note(index int, record event.Value, err error) {
	b.noted = append(b.noted, Refused{Dialect: b.dialect, Key: b.key, Index: index, Err: err, Record: record, Accepted: true})
}

// report tells whoever looks after the apps what was refused.
func (b *batch) report() {
	b.pub.tell(b.refused)
}

// errHoldFull refuses a record that would have to wait.
var errHoldFull = &event.Refusal{Code: "hold_full", Field: "record", Message: "it would have to be looked at first, and as many wait for that as can"}

// append has what waits and what goes on on disk when it returns nil. The held
// come first: they know their repeats whatever time has passed.
func (p *Publisher) append(ctx context.Context, held []Held, facts []event.Fact) error {
	if len(held) > 0 {
		if err := p.Hold.Add(held); err != nil {
			return fmt.Errorf("holding records for review: %w", err)
		}
	}
	if len(facts) == 0 {
		return nil
	}
	return p.Journal.Append(ctx, facts)
}

// tell tells whoever looks after the apps of what was refused. What the
// detectors look for is masked in it.
func (p *Publisher) tell(refused []Refused) {
	if p.Refused == nil || len(refused) == 0 {
		return
	}
	shown := slices.Clone(refused) // the dialect may answer with the records as they came
	for i := range shown {
		shown[i].Record = p.Rules.Detect.shown(shown[i].Record)
		shown[i].Err = p.Rules.Detect.shownErr(shown[i].Err)
	}
	p.Refused(shown)
}

// write reports what was refused and has the facts on disk when it returns
// true; otherwise it has answered. The batch has no facts any more.
func (d *Door) write(w http.ResponseWriter, r *http.Request, b *batch) bool {
	if err := visitOf(r).belongs(b.key, b.pub); err != nil {
		d.refuse(w, r, err)
		return false
	}
	b.report()
	facts := b.facts
	b.facts = nil
	defer d.used(facts)
	err := b.pub.append(r.Context(), b.held, facts)
	if errors.Is(err, journal.ErrOverloaded) {
		err = d.limited(b.pub.Name, limitJournal, 0)
	}
	if err != nil {
		d.refuse(w, r, err)
		return false
	}
	b.pub.tell(b.noted) // not before: a dialect may yet refuse the whole request
	if b.pub.Taken != nil && len(facts) > 0 {
		b.pub.Taken(Taken{Dialect: b.dialect, Key: b.key, Sender: libraryOf(r.UserAgent()), Facts: facts})
	}
	return true
}

// used keeps the memory of facts for another request.
func (d *Door) used(facts []event.Fact) {
	if cap(facts) > manyFacts {
		return
	}
	clear(facts)
	facts = facts[:0]
	d.facts.Put(&facts)
}

// unreadable notes a request that makes nothing at all, where its key is known.
func (d *Door) unreadable(dialect string, key Key, err error) {
	if key.Publisher == nil {
		return
	}
	b := d.begin(dialect, key)
	b.refuse(-1, event.Value{}, err)
	b.report()
}

// knownID is the id of the Identify fact that rides on the event with this id
// and stands before it.
func knownID(id string) string { return ridingID(id, "/known") }

// ridingID is the id of a fact that rides on the one with this id, so that who
// sends that again repeats both. One that would be too long is a hash.
func ridingID(id, suffix string) string {
	switch {
	case id == "":
		return ""
	case len(id)+len(suffix) > event.DefaultLimits().ID:
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return id + suffix
}
