package people

import (
	"encoding/binary"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// An address that does not work now (its mailbox is full, its server away) is
// suppressed once that many messages to it came back in a row, over at least
// softFor: a row ends with the first one that is known to have arrived.
const (
	softInARow = 5
	softFor    = 3 * day
)

// soft is a row of messages that came back from an address that may work again.
type soft struct {
	n     byte
	first int64 // time of the first
}

// reached takes what a fact of the appliance's own says of whether addresses
// work.
func (a *applying) reached() error {
	switch a.f.Name {
	case event.NotificationBounced:
		return a.bounced(event.Lookup(a.f.Props, event.PropKind).Text())
	case event.AppUninstalled:
		if a.f.Person != 0 { // a library may tell so too, and names no token
			return a.bounced("gone")
		}
	case event.NotificationDelivered, event.NotificationViewed, event.NotificationClicked, event.NotificationReplied:
		if len(a.p.soft.committed)+len(a.p.soft.pending) > 0 {
			return a.arrived()
		}
	}
	return nil
}

// bounced puts the address that a message went to on the suppression list, or
// counts that it came back. The fact carries it in Addresses; if it does not, it
// is the one that delivery takes, the newest of the channel that is not
// suppressed. For push, which goes to every device, an address left out means
// none; and a token that was registered since the fact's time is another life's.
func (a *applying) bounced(kind string) error {
	why := sendable
	switch kind {
	case "hard", "gone":
		why = suppressedBounce
	case "complaint":
		why = suppressedComplaint
	case "soft":
	default:
		return nil // a block is not the address's fault
	}
	r, err := a.record()
	if err != nil {
		return err
	}
	var hit []hash
	for _, ad := range a.f.Addresses {
		if i := r.address(ad.Channel, ad.Value); ad.Channel == "push" && i >= 0 && r.addresses[i].since > a.time {
			continue
		}
		hit = append(hit, a.p.hashAddress(ad.Channel, ad.Value))
	}
	channel := event.Lookup(a.f.Props, event.PropChannel).Text()
	if len(a.f.Addresses) == 0 && channel != "push" {
		for i := len(r.addresses) - 1; i >= 0 && len(hit) == 0; i-- {
			h := a.p.hashAddress(channel, r.addresses[i].Value)
			if r.addresses[i].Channel == channel && a.p.suppress.find(h) == sendable {
				hit = append(hit, h)
			}
		}
	}
	for _, h := range hit {
		one := why
		if kind == "soft" {
			if one, err = a.p.softBounce(a.t, h, a.time); err != nil {
				return err
			}
		}
		if one == sendable || a.p.suppress.find(h) != sendable && one == suppressedSoft {
			continue
		}
		if err := a.p.setSoft(a.t, h, soft{}); err != nil {
			return err
		}
		if err := a.p.setSuppressed(a.t, h, one, a.time); err != nil {
			return err
		}
	}
	return nil
}

// softBounce counts one more of a row, and says whether that is enough.
func (p *People) softBounce(t *kv.Txn, h hash, time int64) (suppression, error) {
	s := p.soft.find(h)
	if s.n == 0 || time < s.first {
		s.first = time
	}
	s.n = min(s.n+1, softInARow)
	if s.n == softInARow && time-s.first >= softFor {
		return suppressedSoft, nil
	}
	return sendable, p.setSoft(t, h, s)
}

// arrived ends the rows of the addresses that a message reached: those that the
// fact names, or else all of the person's on its channel.
func (a *applying) arrived() error {
	var hit []hash
	for _, ad := range a.f.Addresses {
		hit = append(hit, a.p.hashAddress(ad.Channel, ad.Value))
	}
	if len(hit) == 0 {
		r, err := a.record()
		if err != nil {
			return err
		}
		channel := event.Lookup(a.f.Props, event.PropChannel).Text()
		for _, ad := range r.addresses {
			if ad.Channel == channel {
				hit = append(hit, a.p.hashAddress(channel, ad.Value))
			}
		}
	}
	for _, h := range hit {
		if err := a.p.setSoft(a.t, h, soft{}); err != nil {
			return err
		}
	}
	return nil
}

func (p *People) setSoft(t *kv.Txn, h hash, s soft) error {
	if p.soft.find(h) == s {
		return nil
	}
	p.soft.pending[h] = s
	var err error
	if s.n == 0 {
		err = t.Delete(kv.People, hashKey(keySoft, h))
	} else {
		err = t.Set(kv.People, hashKey(keySoft, h), binary.BigEndian.AppendUint64([]byte{s.n}, uint64(s.first)))
	}
	if err != nil {
		return fmt.Errorf("counting what came back from an address: %w", err)
	}
	return nil
}

func (p *People) loadSoft(key, val []byte) error {
	if len(val) != 9 {
		return fmt.Errorf("%w: a row of what came back of %d bytes", ErrDamaged, len(val))
	}
	p.soft.committed[hash(key)] = soft{val[0], int64(binary.BigEndian.Uint64(val[1:]))}
	return nil
}
