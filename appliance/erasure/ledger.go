package erasure

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Keys in kv.Erasure. HASH16 is a keyed hash of the request's name, times are
// big endian microseconds.
//
//	r HASH16     -> the request (JSON)
//	l AT8 HASH16 -> nothing: all requests, by when they were asked
//	o AT8 HASH16 -> nothing: those that are not done
const (
	recordKey = 'r'
	listKey   = 'l'
	openKey   = 'o'
	hashBytes = 16
)

// Steps that are no holder's.
const (
	transaction = "transaction" // the rooms of the applier forgot
	keys        = "keys"        // their keys were destroyed
)

// Step is one part of forgetting.
type Step struct {
	Holder string     `json:"holder"`
	Done   *time.Time `json:"done,omitempty"`
	Tries  int        `json:"tries,omitempty"` // that failed
	Error  string     `json:"error,omitempty"` // of the latest try, until it is done
	Note   string     `json:"note,omitempty"`  // what could not be done, ever
}

// Status is how far a request has come.
type Status struct {
	Request string     `json:"request"`
	Persons []uint32   `json:"persons"` // numbers, which name nobody any more
	Asked   time.Time  `json:"asked"`
	Steps   []Step     `json:"steps"`
	Done    *time.Time `json:"done,omitempty"` // and there is a certificate
}

// record is Status and what else is kept.
type record struct {
	Status
	Addresses []byte `json:"addresses,omitempty"` // sealed, until everybody outside was told
	Body      []byte `json:"certificate,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}

type hash [hashBytes]byte

func (e *Erasure) hashOf(request string) (h hash) {
	sum := e.o.Keys.Hash("erasure request", []byte(request))
	copy(h[:], sum[:])
	return h
}

func (h hash) record() []byte { return append([]byte{recordKey}, h[:]...) }

func (h hash) at(kind byte, t time.Time) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{kind}, uint64(t.UnixMicro())), h[:]...)
}

func (r *record) step(holder string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Holder == holder {
			return &r.Steps[i]
		}
	}
	r.Steps = append(r.Steps, Step{Holder: holder})
	return &r.Steps[len(r.Steps)-1]
}

func (r *record) did(holder string) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Holder == holder && s.Done != nil })
}

func (e *Erasure) begin(t *kv.Txn, request string, at int64, f Forgotten) error {
	var numbers []byte
	for _, n := range f.Numbers {
		numbers = binary.BigEndian.AppendUint32(numbers, n)
	}
	own := e.o.Keys.Hash("erasure request of", []byte(request), numbers)
	if request == "" {
		request = hex.EncodeToString(own[:12])
	}
	h := e.hashOf(request)
	switch old, err := load(t, h); {
	case err == nil && slices.Equal(old.Persons, f.Numbers):
		return nil
	case err == nil:
		request += "-" + hex.EncodeToString(own[:6])
		h = e.hashOf(request)
		if _, err := load(t, h); !errors.Is(err, ErrUnknown) {
			return err
		}
	case !errors.Is(err, ErrUnknown):
		return err
	}
	asked := time.UnixMicro(at).UTC()
	now := e.o.Now().UTC()
	r := &record{Status: Status{Request: request, Persons: f.Numbers, Asked: asked}}
	r.step(transaction).Done = &now
	r.step(keys)
	for _, holder := range e.holders() {
		r.step(holder.Name())
	}
	if len(f.Addresses) > 0 && len(e.o.Outside) > 0 {
		var err error
		if r.Addresses, err = e.seal(h, f.Addresses); err != nil {
			return err
		}
	}
	if err := t.Set(kv.Erasure, h.at(listKey, asked), nil); err != nil {
		return err
	}
	if err := t.Set(kv.Erasure, h.at(openKey, asked), nil); err != nil {
		return err
	}
	return save(t, h, r)
}

// seal seals addresses under the journal's present epoch: its key is destroyed
// as the journal is trimmed, so that they cannot be opened for longer than the
// facts that brought them.
func (e *Erasure) seal(h hash, addresses []event.Address) ([]byte, error) {
	f := event.Fact{Addresses: addresses}
	sealed, err := e.o.Keys.SealRecord(event.AppendFact(nil, &f), aad(h))
	if err != nil {
		return nil, fmt.Errorf("sealing addresses: %w", err)
	}
	return sealed, nil
}

func (e *Erasure) open(h hash, sealed []byte) ([]event.Address, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	plain, err := e.o.Keys.OpenRecord(sealed, aad(h))
	if err != nil {
		return nil, err
	}
	facts, err := event.DecodeFacts(plain)
	if err != nil || len(facts) != 1 {
		return nil, fmt.Errorf("addresses of a person to be erased: %w", errors.Join(event.ErrEncoding, err))
	}
	return facts[0].Addresses, nil
}

func aad(h hash) []byte { return append([]byte("erasure addresses\x00"), h[:]...) }

func load(t *kv.Txn, h hash) (*record, error) {
	b, err := t.Get(kv.Erasure, h.record())
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("a request's record is damaged: %w", err)
	}
	return &r, nil
}

func save(t *kv.Txn, h hash, r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.Set(kv.Erasure, h.record(), b)
}

// Status tells how far a request has come, or ErrUnknown.
func (e *Erasure) Status(request string) (Status, error) {
	r, err := e.find(request)
	if err != nil {
		return Status{}, err
	}
	return r.Status, nil
}

func (e *Erasure) find(request string) (r *record, err error) {
	err = e.db.View(func(t *kv.Txn) error {
		r, err = load(t, e.hashOf(request))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("erasure %q: %w", request, err)
	}
	return r, nil
}

// List gives the requests asked at since (microseconds since 1970) or later,
// oldest first, at most limit. It is what a restored backup has to be told
// again before it serves.
func (e *Erasure) List(since int64, limit int) ([]Status, error) {
	var out []Status
	err := e.db.View(func(t *kv.Txn) error {
		from := binary.BigEndian.AppendUint64([]byte{listKey}, uint64(max(since, 0)))
		return t.Scan(kv.Erasure, []byte{listKey}, from, func(key, _ []byte) error {
			if len(out) >= limit {
				return kv.ErrStop
			}
			r, err := load(t, hash(key[9:]))
			if err != nil {
				return err
			}
			out = append(out, r.Status)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing erasures: %w", err)
	}
	return out, nil
}

// Reseal seals the addresses that somebody outside must still be told under the
// journal's present epoch. Whoever destroys the keys of earlier epochs calls it
// before, once the present one has begun. It may be called at any time.
func (e *Erasure) Reseal() error {
	var from []byte
	for done := false; !done; {
		err := e.db.Update(func(t *kv.Txn) error {
			done = true
			n := 0
			return t.Scan(kv.Erasure, []byte{openKey}, from, func(key, _ []byte) error {
				if n++; n > maxRound {
					from, done = bytes.Clone(key), false
					return kv.ErrStop
				}
				h := hash(key[9:])
				r, err := load(t, h)
				if err != nil || len(r.Addresses) == 0 {
					return err
				}
				if epoch, err := e.o.Keys.EpochOf(r.Addresses); err != nil || epoch == e.o.Keys.Epoch() {
					return err
				}
				addresses, err := e.open(h, r.Addresses)
				if err != nil {
					return nil // its key went before: the worker notes that
				}
				if r.Addresses, err = e.seal(h, addresses); err != nil {
					return err
				}
				return save(t, h, r)
			})
		})
		if err != nil {
			return fmt.Errorf("sealing anew what erasures must still tell: %w", err)
		}
	}
	return nil
}

// pending are requests that are not done, at most maxRound, oldest first.
func (e *Erasure) pending() ([]*request, error) {
	var out []*request
	err := e.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Erasure, []byte{openKey}, nil, func(key, _ []byte) error {
			h := hash(bytes.Clone(key[9:]))
			r, err := load(t, h)
			if err != nil {
				return err
			}
			if out = append(out, &request{h: h, record: r}); len(out) == maxRound {
				return kv.ErrStop
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return out, nil
}

// note changes the records of requests, as they are now, in one transaction.
func (e *Erasure) note(rs []*request, change func(t *kv.Txn, r *request) error) error {
	if len(rs) == 0 {
		return nil
	}
	err := e.db.Update(func(t *kv.Txn) error {
		for _, r := range rs {
			var err error
			if r.record, err = load(t, r.h); err != nil {
				return err
			}
			if err := change(t, r); err != nil {
				return err
			}
			if err := save(t, r.h, r.record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting an erasure's step: %w", err)
	}
	return nil
}
