package delivery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Reasons why a message is held. They are values of the property "reason" in
// reports and keep their text.
const (
	ReasonErased      = "erased"
	ReasonGone        = "campaign gone"
	ReasonPurpose     = "unknown purpose"
	ReasonConsent     = "no consent"
	ReasonUnreachable = "not reachable"
	ReasonSuppressed  = "suppressed"
	ReasonCap         = "cap"
	ReasonLimit       = "campaign limit"
	ReasonQuiet       = "quiet hours"
	ReasonExpired     = "expired"
	ReasonUnqualified = "no longer qualified"
	ReasonDuplicate   = "duplicate"
	ReasonControl     = "control" // of the campaign's control group: would have gone
	ReasonAborted     = "aborted by template"
	ReasonTemplate    = "template error"
	ReasonUnknown     = "unknown" // of failed: the answer was lost
)

// verdict is what the gate says of a message.
type verdict struct {
	pass   bool
	park   bool      // its campaign is paused
	until  time.Time // wait: quiet hours, a connector, a rate
	turn   bool      // until is its turn in the rates that it is under
	reason string    // hold
	detail string
}

func hold(reason string) verdict { return verdict{reason: reason} }

// judge passes a message through the gate and notes in its record what decided.
// It reads, and changes nothing else; caps are taken by reserve, once it passed.
func (d *Delivery) judge(e *entry, now time.Time) (verdict, error) {
	r := e.rec
	if d.o.Keys.Destroyed(r.Asked) || e.to.Person != 0 && d.o.Keys.Destroyed(e.to.Person) {
		return hold(ReasonErased), nil
	}
	content, err := d.o.Programme.Content(r.Campaign, r.Revision)
	if errors.Is(err, ErrGone) {
		return hold(ReasonGone), nil
	}
	if err != nil {
		return verdict{}, fmt.Errorf("campaign %s: %w", r.Campaign, err)
	}
	e.content = content
	if now.After(r.Expires) {
		return hold(ReasonExpired), nil
	}
	if content.Paused {
		return verdict{park: true}, nil
	}
	ok, why, err := d.o.Programme.Wanted(r.Campaign, r.origin())
	if err != nil {
		return verdict{}, fmt.Errorf("campaign %s: %w", r.Campaign, err)
	}
	if !ok {
		return verdict{reason: ReasonUnqualified, detail: why}, nil
	}
	purpose, ok := d.o.Purposes[r.Purpose]
	if !ok {
		return verdict{reason: ReasonPurpose, detail: r.Purpose}, nil
	}
	r.Basis, r.Consent = "contract", nil
	if !purpose.Contract {
		granted, c := e.to.Allowed(r.Purpose, r.Channel)
		r.Basis, r.Consent = "consent", &c
		if !granted {
			return hold(ReasonConsent), nil
		}
	}
	if e.address.Value == "" {
		return hold(ReasonUnreachable), nil
	}
	if r.Suppressed = e.suppressed; r.Suppressed {
		return hold(ReasonSuppressed), nil
	}
	if e.unqualified {
		return hold(ReasonUnqualified), nil
	}
	r.QuietUntil = nil
	if r.Class == Marketing {
		if until, quiet := d.quiet(e.to.Profile, now); quiet {
			r.QuietUntil = &until
			if until.After(r.Expires) {
				return hold(ReasonQuiet), nil
			}
			return verdict{until: until}, nil
		}
	}
	return verdict{pass: true}, nil
}

// reserve takes the caps and the campaign's limit for a message that passed,
// makes sure that one campaign, cause and person, as merged now, get one
// message, and last holds those of the control group: so they are people who
// would have got it, and can be compared with those who do. It runs in the transaction that records the attempt, so that two
// workers cannot both take the last place.
func (d *Delivery) reserve(t *kv.Txn, e *entry, now time.Time) (verdict, error) {
	r := e.rec
	if r.counted() {
		return verdict{pass: true}, nil
	}
	unique := d.uniqueKey(r)
	if other, err := t.Get(kv.Delivery, unique); err == nil && string(other) != r.Message {
		return verdict{reason: ReasonDuplicate, detail: string(other)}, nil
	} else if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return verdict{}, err
	}
	caps := d.capsOf(r, e.content)
	for _, c := range caps {
		n, err := d.countCap(t, c, r, now)
		if err != nil {
			return verdict{}, err
		}
		count := &CapCount{Messages: n, Allowed: c.messages}
		if c.per > 0 {
			count.Per = c.per.String()
		}
		if c.reason == ReasonCap {
			r.Cap = count
		} else {
			r.Limit = count
		}
		if n >= c.messages {
			return hold(c.reason), nil
		}
	}
	out := verdict{pass: true}
	if d.withheld(r, e.content) {
		out = verdict{reason: ReasonControl, detail: fmt.Sprintf("%d in 100 get nothing of this campaign, to compare the others with", e.content.Control)}
	}
	for _, c := range caps {
		// Who gets nothing uses up nothing that messages of other campaigns
		// would miss; but of this campaign their turns are counted as anybody's.
		if !out.pass && c.reason != ReasonLimit {
			continue
		}
		if err := d.takeCap(t, c, r, now); err != nil {
			return verdict{}, err
		}
	}
	if err := t.Set(kv.Delivery, unique, []byte(r.Message)); err != nil {
		return verdict{}, err
	}
	return out, nil
}

// withheld says whether a message's recipient belongs to its campaign's control
// group: by a keyed hash of campaign and person, so that it stays as it is,
// takes no room and cannot be chosen from outside. A larger share holds all of
// a smaller one. Transactional messages always go.
func (d *Delivery) withheld(r *record, c Content) bool {
	if c.Control <= 0 || r.Class != Marketing {
		return false
	}
	h := d.o.Keys.Hash("delivery control", []byte(r.Campaign), number(r.Person))
	return binary.BigEndian.Uint64(h[:8])%100 < uint64(c.Control)
}

func (d *Delivery) uniqueKey(r *record) []byte {
	h := d.o.Keys.Hash("delivery unique", []byte(r.Campaign), []byte(r.Cause), number(r.Person))
	return append([]byte{uniqueKey}, h[:16]...)
}

// addressFor is the address that a message goes to: of several, the one that
// became known last and is not suppressed, as people expects of a bounce that
// names none. If all are suppressed it is one of these. A push that has copies,
// and each of these, keeps to its device.
func (d *Delivery) addressFor(who *Recipient, r *record) (to event.Address, suppressed bool) {
	for _, a := range who.Addresses {
		switch {
		case !usable(a, r.Channel, r.Platforms) || r.copied() && !slices.Equal(r.Device, d.device(who, a)):
		case !d.o.People.Suppressed(r.Channel, a.Value):
			return a, false
		case to.Value == "":
			to, suppressed = a, true
		}
	}
	return to, suppressed
}

// usable says whether an address is one that a message by channel, to these
// platforms (none = any), can go to.
func usable(a event.Address, channel string, platforms []string) bool {
	return a.Channel == channel && (len(platforms) == 0 || slices.Contains(platforms, a.Platform)) &&
		!a.Removed && a.Value != "" && !hasControl(a.Value) && !hasControl(a.Extra)
}
