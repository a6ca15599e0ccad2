package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// What is kept, one pair each, as JSON: an operator under 'o' and the SHA-256
// of the name, a token, a session and a link under 't', 's' and 'l' and that of
// the secret. Times are microseconds since 1970 UTC, 0 = never. Fields are only
// ever added; one that is not known here is damage, or a newer version's.
type operatorRecord struct {
	Name    string `json:"name"`
	Grants  Grants `json:"grants"`
	Created int64  `json:"created"`
	Seen    int64  `json:"seen,omitempty"`
	Hash    string `json:"hash,omitempty"`
}

type tokenRecord struct {
	Name    string `json:"name"`
	Grants  Grants `json:"grants"`
	By      string `json:"by"`
	Created int64  `json:"created"`
	Expires int64  `json:"expires"`
	Used    int64  `json:"used,omitempty"`
}

type sessionRecord struct {
	Operator string `json:"operator"`
	Created  int64  `json:"created"`
	Seen     int64  `json:"seen"`
	Expires  int64  `json:"expires"`
	Address  string `json:"address,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Link     bool   `json:"link,omitempty"`
}

type linkRecord struct {
	Operator string `json:"operator,omitempty"`
	Expires  int64  `json:"expires"`
}

const (
	operatorKey = 'o'
	tokenKey    = 't'
	sessionKey  = 's'
	linkKey     = 'l'
)

// write is one change: on disk, then in memory.
type write struct {
	key    []byte
	record any // nil = delete
	apply  func(*Access)
}

// commit brings changes to disk as one whole, then to memory. It wants change
// held.
func (a *Access) commit(ws ...write) error {
	err := a.db.Update(func(t *kv.Txn) error {
		for _, w := range ws {
			if w.record == nil {
				if err := t.Delete(kv.Access, w.key); err != nil {
					return err
				}
				continue
			}
			val, err := json.Marshal(w.record)
			if err != nil {
				return fmt.Errorf("encoding a record: %w", err)
			}
			if err := t.Set(kv.Access, w.key, val); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range ws {
		w.apply(a)
	}
	return nil
}

func keyOf(kind byte, rest []byte) []byte { return append([]byte{kind}, rest...) }

func operatorKeyOf(name string) []byte {
	d := sha256.Sum256([]byte(name))
	return keyOf(operatorKey, d[:])
}

func putOperator(op *operator) write {
	return write{
		operatorKeyOf(op.Name),
		operatorRecord{op.Name, op.Grants, micros(op.Created), micros(op.Seen), op.hash},
		func(a *Access) { a.operators[op.Name] = op },
	}
}

func deleteOperator(name string) write {
	return write{operatorKeyOf(name), nil, func(a *Access) { delete(a.operators, name) }}
}

func putToken(d digest, t *token) write {
	t.saved = t.Used
	return write{
		keyOf(tokenKey, d[:]),
		tokenRecord{t.Name, t.Grants, t.By, micros(t.Created), micros(t.Expires), micros(t.Used)},
		func(a *Access) {
			if now := a.tokens[d]; now != nil && now.Used.After(t.Used) {
				t.Used = now.Used // used while this was written
			}
			a.tokens[d] = t
		},
	}
}

func deleteToken(d digest) write {
	return write{keyOf(tokenKey, d[:]), nil, func(a *Access) { delete(a.tokens, d) }}
}

func putSession(d digest, s *session) write {
	s.saved = s.Seen
	return write{
		keyOf(sessionKey, d[:]),
		sessionRecord{s.Operator, micros(s.Created), micros(s.Seen), micros(s.Expires), s.From.Address, s.From.Agent, s.Link},
		func(a *Access) {
			if now := a.sessions[d]; now != nil && now.Seen.After(s.Seen) {
				s.Seen = now.Seen // used while this was written
			}
			a.sessions[d] = s
		},
	}
}

func deleteSession(d digest) write {
	return write{keyOf(sessionKey, d[:]), nil, func(a *Access) { delete(a.sessions, d) }}
}

func putLink(d digest, l *link) write {
	return write{keyOf(linkKey, d[:]), linkRecord{l.operator, micros(l.expires)}, func(a *Access) { a.links[d] = l }}
}

func deleteLink(d digest) write {
	return write{keyOf(linkKey, d[:]), nil, func(a *Access) { delete(a.links, d) }}
}

// load reads everything. What cannot be read is an error: an operator who is
// silently gone might be the last admin.
func (a *Access) load() error {
	return a.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Access, nil, nil, func(key, val []byte) error {
			if err := a.read(key, val); err != nil {
				return fmt.Errorf("%w: a record %q: %w", ErrDamaged, key[:1], err)
			}
			return nil
		})
	})
}

// read takes one pair into memory.
func (a *Access) read(key, val []byte) error {
	var d digest
	if len(key) != 1+len(d) {
		return fmt.Errorf("its key has %d bytes", len(key))
	}
	copy(d[:], key[1:])
	switch key[0] {
	case operatorKey:
		var r operatorRecord
		if err := decode(val, &r); err != nil {
			return err
		}
		if !bytes.Equal(operatorKeyOf(r.Name), key) {
			return fmt.Errorf("it does not lie under its name")
		}
		if r.Hash != "" {
			if _, _, _, err := parsePHC(r.Hash); err != nil {
				return err
			}
		}
		a.operators[r.Name] = &operator{Operator: Operator{
			Name: r.Name, Grants: r.Grants, Created: when(r.Created), Seen: when(r.Seen), Password: r.Hash != "",
		}, hash: r.Hash}
	case tokenKey:
		var r tokenRecord
		if err := decode(val, &r); err != nil {
			return err
		}
		a.tokens[d] = &token{Token: Token{
			ID: d.id(), Name: r.Name, Grants: r.Grants, By: r.By, Created: when(r.Created), Expires: when(r.Expires), Used: when(r.Used),
		}, saved: when(r.Used)}
	case sessionKey:
		var r sessionRecord
		if err := decode(val, &r); err != nil {
			return err
		}
		a.sessions[d] = &session{Session: Session{
			ID: d.id(), Operator: r.Operator, Created: when(r.Created), Seen: when(r.Seen), Expires: when(r.Expires),
			From: Origin{r.Address, r.Agent}, Link: r.Link,
		}, saved: when(r.Seen)}
	case linkKey:
		var r linkRecord
		if err := decode(val, &r); err != nil {
			return err
		}
		a.links[d] = &link{operator: r.Operator, expires: when(r.Expires)}
	default:
		return fmt.Errorf("its kind is unknown")
	}
	return nil
}

func decode(val []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(val))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
