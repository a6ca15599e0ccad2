package delivery

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// What keeps a message from being replayed, to be matched with errors.Is.
var (
	// ErrNotOver: it is neither failed nor unknown.
	ErrNotOver = errors.New("delivery: the message did not fail")
	// ErrPerhapsSent: whether it was sent is unknown, and nobody said that it
	// may come twice.
	ErrPerhapsSent = errors.New("delivery: the message was perhaps sent")
)

// MaxReplay bounds the messages of one Replay.
const MaxReplay = 100

// Replayed is what Replay made of one message.
type Replayed struct {
	Message string
	As      string // the new message; it was made before if this was replayed already
	Err     error  // ErrUnknown, ErrGone, ErrNotOver or ErrPerhapsSent; As is "" then
}

// Replay makes a new message of each that failed: to the same person, of the same
// campaign, revision and variant, with what started it, due now and for as long
// as the first one lived. The gate looks at it as at any. One whose outcome is
// unknown only if perhapsTwice says that its recipient may get it twice; what it
// took of caps is given back, since it counts as not sent. A message is replayed
// once, whoever asks how often; what becomes of it can be replayed in its turn.
// Either all of this is on disk, or none of it.
func (d *Delivery) Replay(messages []string, perhapsTwice bool) ([]Replayed, error) {
	if len(messages) > MaxReplay {
		return nil, fmt.Errorf("replaying %d messages, and at most %d at once", len(messages), MaxReplay)
	}
	out := make([]Replayed, len(messages))
	err := d.db.Update(func(t *kv.Txn) error {
		for n, m := range messages {
			as, err := d.replay(t, m, perhapsTwice)
			if out[n] = (Replayed{Message: m, As: as, Err: err}); err == nil || refused(err) {
				continue
			}
			return fmt.Errorf("replaying message %.40q: %w", m, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.Committed()
	return out, nil
}

// refused says whether a message is not replayed because of what it is.
func refused(err error) bool {
	for _, e := range []error{ErrUnknown, ErrGone, ErrNotOver, ErrPerhapsSent} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (d *Delivery) replay(t *kv.Txn, message string, perhapsTwice bool) (as string, err error) {
	i, ok := parseID(message)
	if !ok {
		return "", ErrUnknown
	}
	old, err := d.load(t, i)
	switch {
	case err != nil:
		return "", err
	case old.ReplayedAs != "":
		return old.ReplayedAs, nil
	case old.State != Failed && old.State != Lost:
		return "", ErrNotOver
	case old.State == Lost && !perhapsTwice:
		return "", ErrPerhapsSent
	case d.o.Keys.Destroyed(old.Asked) || d.o.Keys.Destroyed(old.Person):
		return "", ErrGone
	}
	props, err := d.causing(old)
	if err != nil {
		return "", fmt.Errorf("opening what caused it: %w", err)
	}
	if old.State == Lost && !old.copied() {
		c, err := d.o.Programme.Content(old.Campaign, old.Revision)
		if err != nil && !errors.Is(err, ErrGone) {
			return "", fmt.Errorf("campaign %s: %w", old.Campaign, err)
		}
		if err := d.releaseCaps(t, old, c, d.o.Now()); err != nil {
			return "", err
		}
	}
	now := d.o.Now().UTC()
	h := d.o.Keys.Hash("delivery replay", i[:])
	in := Intention{
		Message: hex.EncodeToString(h[:idBytes]), Campaign: old.Campaign, Revision: old.Revision, Variant: old.Variant,
		// Of two that were one person's after all, and had one cause, the gate lets one pass.
		Person: old.Asked, Cause: "replay:" + old.Cause,
		At: now.UnixMicro(), Expires: now.Add(max(old.Expires.Sub(old.Decided), time.Minute)).UnixMicro(),
		Class: old.Class, Channel: old.Channel, Purpose: old.Purpose, Props: props, Platforms: old.Platforms,
	}
	if err := d.enqueue(t, in, func(r *record) {
		r.ReplayOf, r.Origin, r.CopyOf, r.Device = old.Message, old.origin(), old.CopyOf, old.Device
	}); err != nil {
		return "", err
	}
	old.ReplayedAs, old.Event = in.Message, nil // the new one keeps it
	return in.Message, d.save(t, old)
}
