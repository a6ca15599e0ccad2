package people

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// ErrPage: a page of the suppression list is asked for after one that was none.
var ErrPage = errors.New("people: no such page")

// MaxSuppress bounds the addresses that one fact puts on the suppression list,
// or takes off.
const MaxSuppress = 10_000

// suppressScan bounds how many entries are looked at for one page.
const suppressScan = 100_000

// Reasons for which an address is on the suppression list.
const (
	SuppressedBounce    = "bounce"    // the provider says that it will never work
	SuppressedComplaint = "complaint" // its owner called a message spam
	SuppressedErased    = "erased"    // its owner was erased, and has not agreed anew
	SuppressedSoft      = "soft"      // too many messages in a row came back
	SuppressedOperator  = "operator"  // somebody put it there
)

var reasons = map[suppression]string{
	suppressedBounce: SuppressedBounce, suppressedComplaint: SuppressedComplaint, suppressedErased: SuppressedErased,
	suppressedSoft: SuppressedSoft, suppressedOperator: SuppressedOperator,
}

// Reasons are all of them, for whoever asks for one.
var Reasons = []string{SuppressedBounce, SuppressedComplaint, SuppressedSoft, SuppressedOperator, SuppressedErased}

// suppressed reads an entry of the list.
func suppressed(val []byte) (Suppression, error) {
	if len(val) != 9 {
		return Suppression{}, fmt.Errorf("%w: a suppressed address of %d bytes", ErrDamaged, len(val))
	}
	return Suppression{Reason: reasons[suppression(val[0])], Since: int64(binary.BigEndian.Uint64(val[1:]))}, nil
}

// SuppressionBody is the Body of a Programme fact of event.TypeSuppression: what
// is to be done, and to which addresses. It holds their keyed hashes, so that
// neither the journal nor a copy of it knows who does not want to be written to.
func (p *People) SuppressionBody(remove bool, addresses []event.Address) []byte {
	out := []byte{suppressAdd}
	if remove {
		out[0] = suppressRemove
	}
	for _, a := range addresses {
		h := p.hashAddress(a.Channel, a.Value)
		out = append(out, h[:]...)
	}
	return out
}

const (
	suppressAdd    = 1
	suppressRemove = 2
)

// applySuppression carries a fact about the list. What is on it for another
// reason stays as it is. Off comes what an operator put there, and what is there
// for another reason while somebody has the address: of somebody who was erased
// it stays, and they come off by agreeing anew.
func (a *applying) applySuppression() error {
	b := a.f.Body
	if len(b) == 0 || (b[0] != suppressAdd && b[0] != suppressRemove) || (len(b)-1)%len(hash{}) != 0 || (len(b)-1)/len(hash{}) > MaxSuppress {
		// The door makes them; what is wrong here all the same must not stop the publisher.
		a.p.log.Error("a fact about the suppression list in the journal is not one and was left out", "bytes", len(b))
		return nil
	}
	for c := range slices.Chunk(b[1:], len(hash{})) {
		h, to := hash(c), suppressedOperator
		if b[0] == suppressRemove {
			to = sendable
		}
		may, err := a.mayChange(h, to)
		if err != nil {
			return err
		}
		if !may {
			continue
		}
		if err := a.p.setSoft(a.t, h, soft{}); err != nil {
			return err
		}
		if err := a.p.setSuppressed(a.t, h, to, a.time); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) mayChange(h hash, to suppression) (bool, error) {
	have := a.p.suppress.find(h)
	switch {
	case to == suppressedOperator:
		return have == sendable, nil
	case have == suppressedOperator:
		return true, nil
	case have == sendable || have == suppressedErased:
		return false, nil
	}
	holders, err := a.p.holders(a.t, h)
	return slices.ContainsFunc(holders, func(n uint32) bool { return !a.p.erased.has(n) }), err
}

// Suppression is an address on the suppression list. Only its keyed hash is
// kept: which address it is, is known while somebody has it.
type Suppression struct {
	Reason string
	Since  int64 // microseconds since 1970; 0 = not kept, of the erased
	// Who has the address, and by which identity or device they are listed; 0
	// and zero if nobody has it.
	Person   uint32
	Identity string
	Address  event.Address
}

// Suppression says whether and why an address is on the list, as of the last
// commit.
func (p *People) Suppression(channel, address string) (s Suppression, on bool, err error) {
	h := p.hashAddress(channel, address)
	err = p.db.View(func(t *kv.Txn) error {
		val, err := t.Get(kv.People, hashKey(keySuppress, h))
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking into the suppression list: %w", err)
		}
		s, err = suppressed(val)
		on = err == nil
		return err
	})
	return s, on, err
}

// Suppressions gives a page of the list, in no order that means anything: those
// of a reason, or of any if it is "", behind the page that ended with after, at
// most limit. next is where the next page goes on, "" if there is none; a page
// may be short, or empty, and not the last. Nobody's address can be told.
func (p *People) Suppressions(ctx context.Context, reason, after string, limit int) (page []Suppression, next string, err error) {
	from, err := hex.DecodeString(after)
	if err != nil || after != "" && len(from) != len(hash{}) {
		return nil, "", ErrPage
	}
	prefix := []byte{keySuppress}
	if after != "" {
		from = append(append(bytes.Clone(prefix), from...), 0)
	}
	var hashes []hash
	looked := 0
	err = p.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.People, prefix, from, func(key, val []byte) error {
			if len(hashes) == limit || looked == suppressScan {
				return kv.ErrStop
			}
			if looked++; looked%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			s, err := suppressed(val)
			if err != nil {
				return err
			}
			next = hex.EncodeToString(key[len(prefix):])
			if reason == "" || s.Reason == reason {
				hashes, page = append(hashes, hash(key[len(prefix):])), append(page, s)
			}
			return nil
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading the suppression list: %w", err)
	}
	if len(hashes) < limit && looked < suppressScan {
		next = ""
	}
	for i, h := range hashes {
		if err := p.whose(&page[i], h); err != nil {
			return nil, "", err
		}
	}
	return page, next, nil
}

// whose finds who has an address that is on the list.
func (p *People) whose(s *Suppression, h hash) error {
	var numbers []uint32
	err := p.db.View(func(t *kv.Txn) (err error) {
		numbers, err = p.holders(t, h)
		return err
	})
	if err != nil {
		return err
	}
	v := p.view.Load()
	for _, n := range numbers {
		w := v.winner(n)
		if n > v.max || v.hidden(w) {
			continue
		}
		who, err := p.Person(w)
		if err != nil {
			continue // erased meanwhile
		}
		for _, a := range who.Addresses {
			if p.hashAddress(a.Channel, a.Value) == h {
				s.Person, s.Address = w, a
				if len(who.Identities) > 0 {
					s.Identity = who.Identities[0].Value
				} else if len(who.Devices) > 0 {
					s.Identity = who.Devices[0].ID
				}
				return nil
			}
		}
	}
	return nil
}

// SuppressionCounts says how many addresses are on the list, by reason.
func (p *People) SuppressionCounts(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	n := 0
	err := p.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.People, []byte{keySuppress}, nil, func(_, val []byte) error {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			s, err := suppressed(val)
			out[s.Reason]++
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("counting the suppression list: %w", err)
	}
	return out, nil
}
