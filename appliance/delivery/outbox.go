package delivery

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Keys in kv.Delivery. A message id is 16 bytes, numbers are big endian.
//
//	m ID                    -> record (JSON): the decision, and what is sealed
//	q CHANNEL LANE AT8 ID   -> nothing: waiting, in the order of hand-off; lanes are
//	                           classes, and by themselves those that have a turn
//	z CAMPAIGN 0 ID         -> nothing: waiting for a paused campaign
//	a ID                    -> nothing: handed over, or settled but not yet told
//	w PERSON4 ID            -> nothing: not settled, by person
//	u HASH16                -> ID: the one message of a campaign, cause and person
//	k HASH16                -> entries of 24 bytes: what a cap has counted
//	s STATE1 TIME8 ID       -> CAMPAIGN 0 CONNECTOR: failed or unknown, for the list; the
//	                           time is inverted, so that the latest is first
//	i HASH16                -> ID: by connector and the provider's id
//	c CONNECTOR             -> TIME8: paused since
const (
	recordKey    = 'm'
	queueKey     = 'q'
	parkedKey    = 'z'
	attemptKey   = 'a'
	personKey    = 'w'
	uniqueKey    = 'u'
	capKey       = 'k'
	settledKey   = 's'
	providerKey  = 'i'
	pausedKey    = 'c'
	probeKey     = 'p'
	idBytes      = 16
	maxAttempts  = 20 // kept in a decision
	maxTargets   = 100
	maxEvent     = 64 << 10 // bytes kept of the event that caused a message
	sealedEvent  = "delivery event"
	sealedTarget = "delivery targets"
	sealedTo     = "delivery address"
)

type id [idBytes]byte

func (i id) String() string { return hex.EncodeToString(i[:]) }

func parseID(s string) (id, bool) {
	var i id
	if len(s) != 2*idBytes {
		return i, false
	}
	_, err := hex.Decode(i[:], []byte(s))
	return i, err == nil
}

func (i id) key(kind byte) []byte { return append([]byte{kind}, i[:]...) }

// record is all that is kept of a message.
type record struct {
	Decision
	Asked     uint32   `json:"asked"`               // the person the intention named; Person is who they are now
	Event     []byte   `json:"event,omitempty"`     // sealed under Asked: properties of the causing event
	Targets   []byte   `json:"targets,omitempty"`   // sealed under Sealed: where links lead
	To        []byte   `json:"to,omitempty"`        // sealed under Sealed: the address it was handed over for
	Sealed    uint32   `json:"sealed,omitempty"`    // Person at the latest attempt
	Platforms []string `json:"platforms,omitempty"` // of push that it may go to
	Avoid     []string `json:"avoid,omitempty"`     // connectors that sent it back since it last waited
	Device    []byte   `json:"device,omitempty"`    // that this one of several pushes to a person keeps to
	Origin    string   `json:"origin,omitempty"`    // the message that a campaign decided on; "" = this one
	Turn      bool     `json:"turn,omitempty"`      // Due is its turn in the rates that it is under
}

func (r *record) id() id { i, _ := parseID(r.Message); return i }

// origin is the message that a campaign decided on.
func (r *record) origin() string {
	if r.Origin != "" {
		return r.Origin
	}
	return r.Message
}

func (r *record) settled() bool {
	return r.State == Sent || r.State == Held || r.State == Failed || r.State == Lost
}

// queuePrefix is what the keys of one queue begin with. Those that have a turn are
// apart: their time is later than that of all that wait without, behind whom
// they would miss it.
func queuePrefix(channel, lane int, turn bool) []byte {
	if turn {
		lane += lanes
	}
	return []byte{queueKey, byte(channel), byte(lane)}
}

func (r *record) queue() []byte {
	k := queuePrefix(slices.Index(event.Channels, r.Channel), laneOf(r.Class), r.Turn)
	k = binary.BigEndian.AppendUint64(k, uint64(r.Due.UnixMicro()))
	i := r.id()
	return append(k, i[:]...)
}

// idOf is the message whose place in the queue a key is.
func idOf(key []byte) id { return id(key[len(key)-idBytes:]) }

func (r *record) parked() []byte {
	k := append([]byte{parkedKey}, r.Campaign...)
	i := r.id()
	return append(append(k, 0), i[:]...)
}

func (r *record) person() []byte {
	k := binary.BigEndian.AppendUint32([]byte{personKey}, r.Asked)
	i := r.id()
	return append(k, i[:]...)
}

// Delivery is one publisher's. Enqueue and Forget run in a caller's
// transaction; everything else may be used concurrently.
type Delivery struct {
	db *kv.DB
	o  Options

	templates templates
	zones     zones
	counts    counts
	channels  []*channel
	routes    routes
	pausing   sync.Mutex // a connector is paused or resumed
	early     early

	goneMu sync.Mutex
	gone   [][]byte // keys of messages that are told, to be removed

	ctx    context.Context // ends what waits, when Close begins
	cancel context.CancelFunc
	hard   context.Context // ends what is being sent, when Close gives up waiting
	kill   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	started bool
	closed  bool
}

// Open opens the outbox in db. Nothing is sent before Start. Close it.
func Open(db *kv.DB, o Options) (*Delivery, error) {
	d := &Delivery{db: db, o: o.withDefaults()}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.hard, d.kill = context.WithCancel(context.Background())
	d.templates.init()
	d.counts.init()
	d.routes = routes{d: d, m: map[string]*connectorState{}}
	err := db.View(func(t *kv.Txn) error {
		for n, name := range event.Channels {
			c := newChannel(d, n, name)
			waiting := 0
			err := t.Scan(kv.Delivery, []byte{queueKey, byte(n)}, nil, func(_, _ []byte) error {
				waiting++
				return nil
			})
			if err != nil {
				return err
			}
			d.counts.waiting[n].Store(int64(waiting))
			d.channels = append(d.channels, c)
		}
		if err := d.routes.loadPaused(t); err != nil {
			return err
		}
		return t.Scan(kv.Delivery, []byte{parkedKey}, nil, func(_, _ []byte) error {
			d.counts.parked.Add(1)
			return nil
		})
	})
	if err != nil {
		d.cancel()
		d.kill()
		return nil, fmt.Errorf("opening the outbox: %w", err)
	}
	return d, nil
}

// Enqueue puts an intention into the outbox, in the caller's transaction, which
// commits within the process's one applier or a broadcast's worker. A message
// that is known, waiting or settled, is left as it is. Call Committed afterwards.
func (d *Delivery) Enqueue(t *kv.Txn, in Intention) error {
	return d.enqueue(t, in, func(*record) {})
}

// enqueue takes an intention; mark notes in its record which message it comes of.
func (d *Delivery) enqueue(t *kv.Txn, in Intention, mark func(*record)) error {
	i, ok := parseID(in.Message)
	n := slices.Index(event.Channels, in.Channel)
	switch {
	case !ok:
		return fmt.Errorf("outbox: message id %q is not 32 hexadecimal digits", in.Message)
	case n < 0:
		return fmt.Errorf("outbox: message %s is for the unknown channel %q", in.Message, in.Channel)
	case in.Class != Marketing && in.Class != Transactional:
		return fmt.Errorf("outbox: message %s is of the unknown class %q", in.Message, in.Class)
	}
	if _, err := t.Get(kv.Delivery, i.key(recordKey)); err == nil {
		return nil
	} else if !errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("outbox: message %s: %w", in.Message, err)
	}
	r := record{Asked: in.Person, Platforms: in.Platforms, Decision: Decision{
		Message: in.Message, Campaign: in.Campaign, Revision: in.Revision, Variant: in.Variant,
		Person: in.Person, Cause: in.Cause, Class: in.Class, Channel: in.Channel, Purpose: in.Purpose,
		State: Waiting, Decided: d.o.Now().UTC(), Due: micros(in.At), Expires: micros(in.Expires),
	}}
	mark(&r)
	plain := event.AppendProps(nil, in.Props)
	if len(plain) > maxEvent {
		// The applier must never stand still for one large event.
		r.Detail, in.Props = "the event had too many bytes to keep", nil
	}
	if len(in.Props) > 0 {
		sealed, err := d.o.Keys.SealPerson(in.Person, aad(sealedEvent, i), plain)
		if err != nil && !d.o.Keys.Destroyed(in.Person) {
			return fmt.Errorf("outbox: sealing message %s: %w", in.Message, err)
		}
		r.Event = sealed
	}
	if err := d.save(t, &r); err != nil {
		return err
	}
	if err := d.join(t, &r); err != nil {
		return err
	}
	if err := t.Set(kv.Delivery, r.person(), nil); err != nil {
		return err
	}
	d.counts.enqueued.Add(1)
	return nil
}

// Committed tells that a transaction with Enqueue is on disk.
func (d *Delivery) Committed() {
	for _, c := range d.channels {
		c.wakeUp()
	}
}

// Forget drops what waits for the person, in the applier's transaction. What
// was sent to them keeps its decision, which names nobody; where its links led
// was sealed under the key that erasure destroys.
func (d *Delivery) Forget(t *kv.Txn, person uint32) error {
	var drop []id
	prefix := binary.BigEndian.AppendUint32([]byte{personKey}, person)
	err := t.Scan(kv.Delivery, prefix, nil, func(key, _ []byte) error {
		drop = append(drop, id(key[len(prefix):]))
		return nil
	})
	if err != nil {
		return fmt.Errorf("outbox: what waits for a person to be forgotten: %w", err)
	}
	for _, i := range drop {
		r, err := d.load(t, i)
		if err != nil {
			return err
		}
		if r.State != Waiting {
			continue // on its way: its outcome settles it
		}
		if err := d.leaveQueue(t, r); err != nil {
			return err
		}
		if err := t.Delete(kv.Delivery, r.person()); err != nil {
			return err
		}
		r.Event = nil
		// No fact follows, so it needs no attempt key: there is nobody left
		// that it could be about.
		d.settle(r, Held, ReasonErased, "")
		if err := d.save(t, r); err != nil {
			return err
		}
	}
	return nil
}

// join puts a message into the queue of its channel.
func (d *Delivery) join(t *kv.Txn, r *record) error {
	d.counts.wait(r.Channel, 1)
	key := r.queue()
	t.OnCommit(func() { d.channels[key[1]].joined(key) })
	return t.Set(kv.Delivery, key, nil)
}

// leaveQueue takes a waiting message out of the queue, or from among those of
// paused campaigns.
func (d *Delivery) leaveQueue(t *kv.Txn, r *record) error {
	_, err := t.Get(kv.Delivery, r.parked())
	if err == nil {
		d.counts.parked.Add(-1)
		return t.Delete(kv.Delivery, r.parked())
	}
	if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	d.counts.wait(r.Channel, -1)
	return t.Delete(kv.Delivery, r.queue())
}

func (d *Delivery) load(t *kv.Txn, i id) (*record, error) {
	b, err := t.Get(kv.Delivery, i.key(recordKey))
	if err != nil {
		if errors.Is(err, kv.ErrNotFound) {
			err = ErrUnknown
		}
		return nil, fmt.Errorf("message %s: %w", i, err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("message %s: its record is damaged: %w", i, err)
	}
	return &r, nil
}

func (d *Delivery) save(t *kv.Txn, r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("message %s: %w", r.Message, err)
	}
	if err := t.Set(kv.Delivery, r.id().key(recordKey), b); err != nil {
		return fmt.Errorf("message %s: %w", r.Message, err)
	}
	return nil
}

// settle notes how a message ended.
func (d *Delivery) settle(r *record, state, reason, detail string) {
	now := d.o.Now().UTC()
	r.State, r.Reason, r.Detail, r.Settled = state, reason, detail, &now
	d.counts.settled(state, reason)
}

func aad(use string, i id) []byte { return append([]byte(use+"\x00"), i[:]...) }

func micros(us int64) time.Time { return time.UnixMicro(us).UTC() }
