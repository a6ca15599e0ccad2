package access

import (
	"context"
	"fmt"
	"time"
)

// link is a one-time way in, for an operator, or ("") to set the appliance up.
type link struct {
	operator string
	expires  time.Time
}

// Link makes a one-time sign-in link's token for an operator, and ends the one
// before it.
func (a *Access) Link(operator string) (token string, expires time.Time, err error) {
	a.change.Lock()
	defer a.change.Unlock()
	if _, ok := a.operator(operator); !ok {
		return "", time.Time{}, ErrNobody
	}
	return a.newLink(operator)
}

// SetupLink makes a one-time token with which the first operator is made, and
// ends the one before it; ErrSetUp once there is an admin.
func (a *Access) SetupLink() (token string, expires time.Time, err error) {
	a.change.Lock()
	defer a.change.Unlock()
	if !a.NeedsSetup() {
		return "", time.Time{}, ErrSetUp
	}
	return a.newLink("")
}

// NeedsSetup says whether there is no admin of the whole appliance yet.
func (a *Access) NeedsSetup() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, op := range a.operators {
		if op.Grants.Admin() {
			return false
		}
	}
	return true
}

func (a *Access) newLink(operator string) (string, time.Time, error) {
	secret, d, err := a.secret("")
	if err != nil {
		return "", time.Time{}, err
	}
	l := &link{operator: operator, expires: a.o.Now().Add(LinkLife)}
	ws := []write{putLink(d, l)}
	a.mu.RLock()
	for d, old := range a.links {
		if old.operator == operator {
			ws = append(ws, deleteLink(d))
		}
	}
	a.mu.RUnlock()
	if err := a.commit(ws...); err != nil {
		return "", time.Time{}, fmt.Errorf("making a link: %w", err)
	}
	return secret, l.expires, nil
}

// take finds a link that still lasts; it wants change held.
func (a *Access) take(token string, setup bool) (digest, *link, error) {
	d, ok := digestOf(token)
	if !ok {
		return d, nil, ErrWrong
	}
	a.mu.RLock()
	l, ok := a.links[d]
	a.mu.RUnlock()
	if !ok || !a.o.Now().Before(l.expires) || (l.operator == "") != setup {
		return d, nil, ErrWrong
	}
	return d, l, nil
}

// SignInByLink lets an operator in by a one-time link's token, which is used
// up in the same transaction; ErrWrong if it is not good, or no more.
func (a *Access) SignInByLink(token string, from Origin) (secret string, s Session, err error) {
	a.change.Lock()
	defer a.change.Unlock()
	d, l, err := a.take(token, false)
	if err != nil {
		return "", Session{}, err
	}
	op, ok := a.operator(l.operator)
	if !ok {
		return "", Session{}, ErrWrong
	}
	return a.begin(op, from, true, deleteLink(d))
}

// SetUp makes the first operator, an admin everywhere, by the token of a
// SetupLink, and signs them in.
func (a *Access) SetUp(ctx context.Context, token, name, password string, from Origin) (secret string, s Session, err error) {
	// The token first: nothing is hashed for whoever has none.
	a.change.Lock()
	_, _, err = a.take(token, true)
	a.change.Unlock()
	if err != nil {
		return "", Session{}, err
	}
	if err := checkName(name); err != nil {
		return "", Session{}, err
	}
	if err := checkPassword(name, password); err != nil {
		return "", Session{}, err
	}
	hash, err := a.hashing.make(ctx, a.o.Rand, password)
	if err != nil {
		return "", Session{}, fmt.Errorf("setting up: %w", err)
	}
	a.change.Lock()
	defer a.change.Unlock()
	d, _, err := a.take(token, true)
	if err != nil {
		return "", Session{}, err
	}
	if !a.NeedsSetup() {
		return "", Session{}, ErrSetUp
	}
	op := &operator{Operator: Operator{Name: name, Grants: Grants{Everywhere: Admin}, Created: a.o.Now(), Password: true}, hash: hash}
	if _, there := a.operator(name); there {
		return "", Session{}, ErrExists
	}
	return a.begin(op, from, false, deleteLink(d))
}
