package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Session is one sign-in of an operator.
type Session struct {
	ID       string // for lists; it opens nothing
	Operator string
	Created  time.Time
	Seen     time.Time // of the last use
	Expires  time.Time // whatever happens
	From     Origin
	Link     bool // signed in by a link, not by a password
}

// session is one as it is kept. It is replaced as a whole, never changed.
type session struct {
	Session
	saved time.Time // Seen as it is on disk
}

// SignIn lets an operator in by password and gives the session's secret, for
// the cookie. Whoever is unknown gets the same answer, ErrWrong, after the
// same time. *SlowDown and ErrBusy say to come back later.
func (a *Access) SignIn(ctx context.Context, name, password string, from Origin) (secret string, s Session, err error) {
	op, err := a.verify(ctx, name, password, from)
	if err != nil {
		return "", Session{}, err
	}
	var fresh string // the hash at today's cost
	if !a.hashing.current(op.hash) {
		if fresh, err = a.hashing.make(ctx, a.o.Rand, password); err != nil {
			return "", Session{}, fmt.Errorf("signing in: %w", err)
		}
	}
	a.change.Lock()
	defer a.change.Unlock()
	now, ok := a.operator(name)
	if !ok || now.hash != op.hash { // changed while the password was hashed
		return "", Session{}, ErrWrong
	}
	changed := *now
	if fresh != "" {
		changed.hash = fresh
	}
	return a.begin(&changed, from, false)
}

// verify compares a password, and counts.
func (a *Access) verify(ctx context.Context, name, password string, from Origin) (*operator, error) {
	if wait := a.backoff.try(a.o.Now(), name, from.Address); wait > 0 {
		return nil, &SlowDown{After: wait}
	}
	hash := a.hashing.nothing()
	op, ok := a.operator(name)
	if ok && op.hash != "" {
		hash = op.hash
	}
	if len(password) > maxPasswordBytes {
		password = password[:maxPasswordBytes] // no password is that long
		ok = false
	}
	match, err := a.hashing.matches(ctx, hash, password)
	if err != nil {
		if errors.Is(err, errHash) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, fmt.Errorf("checking a password: %w", err)
	}
	if !match || !ok || op.hash == "" {
		return nil, ErrWrong
	}
	a.backoff.forgive(name, from.Address)
	return op, nil
}

// begin makes a session, with a secret that nobody knew before; it wants
// change held.
func (a *Access) begin(op *operator, from Origin, byLink bool, more ...write) (string, Session, error) {
	secret, d, err := a.secret("")
	if err != nil {
		return "", Session{}, err
	}
	now := a.o.Now()
	changed := *op
	changed.Seen = now
	s := &session{Session: Session{
		ID: d.id(), Operator: op.Name, Created: now, Seen: now, Expires: now.Add(a.o.Absolute), From: from.clipped(), Link: byLink,
	}, saved: now}
	ws := append(more, putOperator(&changed), putSession(d, s))
	ws = append(ws, a.superfluous(op.Name)...)
	if err := a.commit(ws...); err != nil {
		return "", Session{}, fmt.Errorf("beginning a session: %w", err)
	}
	return secret, s.Session, nil
}

// superfluous are the writes that make room for one more session of an
// operator, and those that remove what has ended, anybody's.
func (a *Access) superfluous(name string) []write {
	now := a.o.Now()
	a.mu.RLock()
	defer a.mu.RUnlock()
	var ws []write
	type mine struct {
		d    digest
		seen time.Time
	}
	var own []mine
	for d, s := range a.sessions {
		switch {
		case a.ended(s, now):
			ws = append(ws, deleteSession(d))
		case s.Operator == name:
			own = append(own, mine{d, s.Seen})
		}
	}
	slices.SortFunc(own, func(x, y mine) int { return x.seen.Compare(y.seen) })
	for len(own) >= MaxSessions {
		ws = append(ws, deleteSession(own[0].d))
		own = own[1:]
	}
	for d, l := range a.links {
		if !now.Before(l.expires) {
			ws = append(ws, deleteLink(d))
		}
	}
	for d, t := range a.tokens {
		if now.After(t.Expires.Add(keptExpired)) {
			ws = append(ws, deleteToken(d))
		}
	}
	return ws
}

func (a *Access) ended(s *session, now time.Time) bool {
	return !now.Before(s.Expires) || now.Sub(s.Seen) >= a.o.Idle
}

// Session gives the session with this secret and its operator as of now, and
// counts as a use of it; ErrUnknown if there is none or it has ended.
func (a *Access) Session(secret string) (Session, Operator, error) {
	d, s, op, err := a.session(secret)
	if err != nil {
		return Session{}, Operator{}, err
	}
	now := a.o.Now()
	used := *s
	used.Seen = now
	a.mu.Lock()
	if a.sessions[d] == s { // nobody ended it, or used it, meanwhile
		a.sessions[d] = &used
	}
	a.mu.Unlock()
	if now.Sub(s.saved) >= seenEvery {
		a.saveSession(d)
	}
	return used.Session, op.copy(), nil
}

// Alive is Session without being a use of it: for what goes on by itself, such
// as a page that asks again, or a stream that stays open. Otherwise nobody who
// leaves a page open would ever be idle.
func (a *Access) Alive(secret string) (Session, Operator, error) {
	_, s, op, err := a.session(secret)
	if err != nil {
		return Session{}, Operator{}, err
	}
	return s.Session, op.copy(), nil
}

func (a *Access) session(secret string) (digest, *session, *operator, error) {
	d, ok := digestOf(secret)
	if !ok {
		return d, nil, nil, ErrUnknown
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, ok := a.sessions[d]
	if !ok || a.ended(s, a.o.Now()) {
		return d, nil, nil, ErrUnknown
	}
	op, ok := a.operators[s.Operator]
	if !ok {
		return d, nil, nil, ErrUnknown
	}
	return d, s, op, nil
}

// saveSession brings the time of last use to disk. If that fails the session
// goes on: at the next start it seems a little older than it is.
func (a *Access) saveSession(d digest) {
	a.change.Lock()
	defer a.change.Unlock()
	a.mu.RLock()
	s, ok := a.sessions[d]
	a.mu.RUnlock()
	if !ok || s.saved.Equal(s.Seen) {
		return // ended, or another request saved it
	}
	saved := *s
	saved.saved = s.Seen
	if err := a.commit(putSession(d, &saved)); err != nil {
		a.o.Logger.Warn("the time of a session's last use was not saved", "error", err)
		a.mu.Lock()
		if a.sessions[d] == s { // not at every use, but after a while
			a.sessions[d] = &saved
		}
		a.mu.Unlock()
	}
}

// Sessions gives the sessions of an operator, or of all ("*"), the one used
// last first.
func (a *Access) Sessions(operator string) []Session {
	now := a.o.Now()
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := []Session{}
	for _, s := range a.sessions {
		if (operator == Everywhere || s.Operator == operator) && !a.ended(s, now) {
			out = append(out, s.Session)
		}
	}
	slices.SortFunc(out, func(x, y Session) int { return y.Seen.Compare(x.Seen) })
	return out
}

// SignOut ends the session with this secret; there need be none.
func (a *Access) SignOut(secret string) error {
	d, ok := digestOf(secret)
	if !ok {
		return nil
	}
	a.change.Lock()
	defer a.change.Unlock()
	a.mu.RLock()
	_, ok = a.sessions[d]
	a.mu.RUnlock()
	if !ok {
		return nil
	}
	if err := a.commit(deleteSession(d)); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// EndSession ends the session with this id, if it is this operator's, or
// whosever it is ("*"); ErrNobody if there is none.
func (a *Access) EndSession(operator, id string) error {
	a.change.Lock()
	defer a.change.Unlock()
	var ws []write
	a.mu.RLock()
	for d, s := range a.sessions {
		if s.ID == id && (operator == Everywhere || s.Operator == operator) {
			ws = append(ws, deleteSession(d))
		}
	}
	a.mu.RUnlock()
	if len(ws) == 0 {
		return ErrNobody
	}
	if err := a.commit(ws...); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}
