package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Operator is somebody who works with the appliance.
type Operator struct {
	Name     string
	Grants   Grants
	Created  time.Time
	Seen     time.Time // of the last sign-in; zero = never
	Password bool      // there is one
}

// operator is one as it is kept. It is replaced as a whole, never changed.
type operator struct {
	Operator
	hash string // PHC; "" = no password, links only
}

// checkName says why a name is not taken: it is typed, shown in lists that
// tell people apart, and part of paths.
func checkName(name string) error {
	if name == "" || len(name) > 64 {
		return &Bad{"name", "a name has 1 to 64 characters"}
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '@' || c == '-') {
			return &Bad{"name", "only a-z, 0-9 and . _ @ - are allowed"}
		}
	}
	if strings.Trim(name, ".") == "" {
		return &Bad{"name", "a name is more than dots"}
	}
	return nil
}

// AddOperator adds one without a password: a Link lets them in to set one.
func (a *Access) AddOperator(name string, g Grants) (Operator, error) {
	if err := checkName(name); err != nil {
		return Operator{}, err
	}
	if err := g.check(); err != nil {
		return Operator{}, err
	}
	a.change.Lock()
	defer a.change.Unlock()
	return a.add(&operator{Operator: Operator{Name: name, Grants: g.clone(), Created: a.o.Now()}})
}

// add wants change held.
func (a *Access) add(op *operator, more ...write) (Operator, error) {
	if _, there := a.operator(op.Name); there {
		return Operator{}, ErrExists
	}
	a.mu.RLock()
	n := len(a.operators)
	a.mu.RUnlock()
	if n >= MaxOperators {
		return Operator{}, fmt.Errorf("adding an operator: %w", ErrTooMany)
	}
	if err := a.commit(append(more, putOperator(op))...); err != nil {
		return Operator{}, fmt.Errorf("adding an operator: %w", err)
	}
	return op.Operator, nil
}

// Operators gives all, by name.
func (a *Access) Operators() []Operator {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]Operator, 0, len(a.operators))
	for _, op := range a.operators {
		out = append(out, op.copy())
	}
	slices.SortFunc(out, func(x, y Operator) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// Operator gives one, or ErrNobody.
func (a *Access) Operator(name string) (Operator, error) {
	op, ok := a.operator(name)
	if !ok {
		return Operator{}, ErrNobody
	}
	return op.copy(), nil
}

func (a *Access) operator(name string) (*operator, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	op, ok := a.operators[name]
	return op, ok
}

func (op *operator) copy() Operator {
	o := op.Operator
	o.Grants = o.Grants.clone()
	return o
}

// SetGrants changes what an operator may do, from now on, also in sessions
// that are open.
func (a *Access) SetGrants(name string, g Grants) (Operator, error) {
	if err := g.check(); err != nil {
		return Operator{}, err
	}
	a.change.Lock()
	defer a.change.Unlock()
	op, ok := a.operator(name)
	if !ok {
		return Operator{}, ErrNobody
	}
	if !g.Admin() && a.lastAdmin(name) {
		return Operator{}, ErrLastAdmin
	}
	changed := *op
	changed.Grants = g.clone()
	if err := a.commit(putOperator(&changed)); err != nil {
		return Operator{}, fmt.Errorf("changing an operator: %w", err)
	}
	return changed.copy(), nil
}

// RemoveOperator removes one, with their sessions and links. Tokens that they
// made stay: programs depend on them, and they say who made them.
func (a *Access) RemoveOperator(name string) error {
	a.change.Lock()
	defer a.change.Unlock()
	if _, ok := a.operator(name); !ok {
		return ErrNobody
	}
	if a.lastAdmin(name) {
		return ErrLastAdmin
	}
	ws := append(a.endings(name, digest{}), deleteOperator(name))
	if err := a.commit(ws...); err != nil {
		return fmt.Errorf("removing an operator: %w", err)
	}
	return nil
}

// lastAdmin says whether name is the only admin of the whole appliance.
func (a *Access) lastAdmin(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	is := false
	for _, op := range a.operators {
		if op.Grants.Admin() {
			if op.Name != name {
				return false
			}
			is = true
		}
	}
	return is
}

// SetPassword sets an operator's password and ends their links and sessions
// but the one with this secret ("" = all).
func (a *Access) SetPassword(ctx context.Context, name, password, keep string) error {
	if _, ok := a.operator(name); !ok {
		return ErrNobody
	}
	if err := checkPassword(name, password); err != nil {
		return err
	}
	hash, err := a.hashing.make(ctx, a.o.Rand, password)
	if err != nil {
		return fmt.Errorf("setting a password: %w", err)
	}
	kept, _ := digestOf(keep)
	a.change.Lock()
	defer a.change.Unlock()
	op, ok := a.operator(name) // it may have gone meanwhile
	if !ok {
		return ErrNobody
	}
	changed := *op
	changed.hash, changed.Password = hash, true
	if err := a.commit(append(a.endings(name, kept), putOperator(&changed))...); err != nil {
		return fmt.Errorf("setting a password: %w", err)
	}
	return nil
}

// CheckPassword says whether this is an operator's password; it counts and
// slows down like SignIn.
func (a *Access) CheckPassword(ctx context.Context, name, password string, from Origin) error {
	_, err := a.verify(ctx, name, password, from)
	return err
}

// endings are the writes that end an operator's sessions, but kept, and links.
func (a *Access) endings(name string, kept digest) []write {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var ws []write
	for d, s := range a.sessions {
		if s.Operator == name && d != kept {
			ws = append(ws, deleteSession(d))
		}
	}
	for d, l := range a.links {
		if l.operator == name {
			ws = append(ws, deleteLink(d))
		}
	}
	return ws
}
