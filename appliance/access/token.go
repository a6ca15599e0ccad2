package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// TokenPrefix begins every token, for those who search for leaked ones.
const TokenPrefix = "cloister_"

// Token lets a program in.
type Token struct {
	ID      string // for lists; it opens nothing
	Name    string
	Grants  Grants
	By      string // who made it
	Created time.Time
	Expires time.Time
	Used    time.Time // last; zero = never
}

// token is one as it is kept. It is replaced as a whole, never changed.
type token struct {
	Token
	saved time.Time // Used as it is on disk
}

// CreateToken makes a token that lives for life, at most MaxTokenLife. The
// secret is not kept: this is the only time that it is seen. Whether by may
// hand on these grants is the caller's to check.
func (a *Access) CreateToken(name string, g Grants, life time.Duration, by string) (secret string, t Token, err error) {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", Token{}, &Bad{"name", "a name has 1 to 64 bytes that can be printed"}
	}
	if err := g.check(); err != nil {
		return "", Token{}, err
	}
	if life < time.Minute || life > MaxTokenLife {
		return "", Token{}, &Bad{"ttl", "a token lives from one minute to 366 days"}
	}
	secret, d, err := a.secret(TokenPrefix)
	if err != nil {
		return "", Token{}, err
	}
	a.change.Lock()
	defer a.change.Unlock()
	a.mu.RLock()
	n := len(a.tokens)
	a.mu.RUnlock()
	if n >= MaxTokens {
		return "", Token{}, fmt.Errorf("making a token: %w", ErrTooMany)
	}
	now := a.o.Now()
	made := &token{Token: Token{ID: d.id(), Name: name, Grants: g.clone(), By: by, Created: now, Expires: now.Add(life)}}
	if err := a.commit(putToken(d, made)); err != nil {
		return "", Token{}, fmt.Errorf("making a token: %w", err)
	}
	return secret, made.copy(), nil
}

func (t *token) copy() Token {
	c := t.Token
	c.Grants = c.Grants.clone()
	return c
}

// Token gives the token with this secret, and counts as a use of it;
// ErrUnknown if there is none or it has expired.
func (a *Access) Token(secret string) (Token, error) {
	if !strings.HasPrefix(secret, TokenPrefix) {
		return Token{}, ErrUnknown
	}
	d, ok := digestOf(secret)
	if !ok {
		return Token{}, ErrUnknown
	}
	now := a.o.Now()
	a.mu.Lock()
	t, ok := a.tokens[d]
	if !ok || !now.Before(t.Expires) {
		a.mu.Unlock()
		return Token{}, ErrUnknown
	}
	used := *t
	used.Used = now
	a.tokens[d] = &used
	a.mu.Unlock()
	if now.Sub(used.saved) >= seenEvery {
		a.saveToken(d)
	}
	return used.copy(), nil
}

// saveToken is to tokens what saveSession is to sessions.
func (a *Access) saveToken(d digest) {
	a.change.Lock()
	defer a.change.Unlock()
	a.mu.RLock()
	t, ok := a.tokens[d]
	a.mu.RUnlock()
	if !ok || t.saved.Equal(t.Used) {
		return
	}
	saved := *t
	saved.saved = t.Used
	if err := a.commit(putToken(d, &saved)); err != nil {
		a.o.Logger.Warn("the time of a token's last use was not saved", "error", err)
		a.mu.Lock()
		if a.tokens[d] == t {
			a.tokens[d] = &saved
		}
		a.mu.Unlock()
	}
}

// Tokens gives all, also those that expired lately, by name.
func (a *Access) Tokens() []Token {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]Token, 0, len(a.tokens))
	for _, t := range a.tokens {
		out = append(out, t.copy())
	}
	slices.SortFunc(out, func(x, y Token) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return out
}

// RevokeToken ends the token with this id, or answers ErrNobody.
func (a *Access) RevokeToken(id string) error {
	a.change.Lock()
	defer a.change.Unlock()
	var ws []write
	a.mu.RLock()
	for d, t := range a.tokens {
		if t.ID == id {
			ws = append(ws, deleteToken(d))
		}
	}
	a.mu.RUnlock()
	if len(ws) == 0 {
		return ErrNobody
	}
	if err := a.commit(ws...); err != nil {
		return fmt.Errorf("revoking a token: %w", err)
	}
	return nil
}
