package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

const (
	scope = "https://www.googleapis.com/auth/firebase.messaging"
	// renewBefore its end a token is renewed, while it still serves.
	renewBefore = 5 * time.Minute
	// retryAfter a failure Google is asked again: a batch that cannot sign in
	// must not ask five hundred times.
	retryAfter = 5 * time.Second
)

// tokens keeps the access token. One caller renews it; the others go on with
// the one that there is, or wait if there is none.
type tokens struct {
	mint func(context.Context) (*oauth2.Token, error)
	now  func() time.Time

	renewing chan struct{} // holds one: whose it is may renew

	mu     sync.Mutex
	token  *oauth2.Token
	failed time.Time
	err    error // why, at failed
}

func newTokens(c *config, now func() time.Time) *tokens {
	j := &jwt.Config{
		Email: c.account.Email, PrivateKey: []byte(c.account.Key), PrivateKeyID: c.account.KeyID,
		Scopes: []string{scope}, TokenURL: c.tokenURL, Audience: c.account.Audience,
	}
	transport := c.transport()
	t := &tokens{now: now, renewing: make(chan struct{}, 1)}
	t.mint = func(ctx context.Context) (*oauth2.Token, error) {
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: bounded{transport, ctx}, Timeout: c.timeout}
		return j.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	}
	return t
}

// bounded ends its requests with ctx: jwt makes them without one.
type bounded struct {
	http.RoundTripper
	ctx context.Context
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context()) // of the client's timeout
	context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	return b.RoundTripper.RoundTrip(r.WithContext(ctx))
}

// get gives a token that is valid for a while.
func (t *tokens) get(ctx context.Context) (string, error) {
	valid, fresh, err := t.look()
	if err != nil || fresh {
		return valid, err
	}
	if valid != "" {
		select {
		case t.renewing <- struct{}{}:
		default:
			return valid, nil
		}
	} else {
		select {
		case t.renewing <- struct{}{}:
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for an access token: %w", ctx.Err())
		}
	}
	defer func() { <-t.renewing }()
	if v, fresh, err := t.look(); err != nil || fresh {
		return v, err
	}
	token, err := t.mint(ctx)
	if err == nil && token.AccessToken == "" {
		err = errors.New("the answer holds no access token")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		if !token.Expiry.IsZero() { // by the library's clock
			token.Expiry = t.now().Add(time.Until(token.Expiry))
		}
		t.token, t.err = token, nil
		return token.AccessToken, nil
	case ctx.Err() == nil || valid != "":
		t.failed, t.err = t.now(), err
	}
	if valid != "" {
		return valid, nil
	}
	return "", fmt.Errorf("signing in to Google: %w", err)
}

// look gives the token if it is valid, and whether it need not be renewed. An
// error is that of a renewal that has just failed, when there is none.
func (t *tokens) look() (valid string, fresh bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	tried := t.err != nil && now.Sub(t.failed) < retryAfter
	if t.token != nil && (t.token.Expiry.IsZero() || now.Before(t.token.Expiry.Add(-retryAfter))) {
		return t.token.AccessToken, tried || t.token.Expiry.IsZero() || now.Before(t.token.Expiry.Add(-renewBefore)), nil
	}
	if tried {
		return "", false, fmt.Errorf("signing in to Google: %w", t.err)
	}
	return "", false, nil
}

// drop lets go of a token that was refused.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && t.token.AccessToken == token {
		t.token = nil
	}
}

// refusedSignIn says whether Google answered, and does not want this account.
func refusedSignIn(err error) bool {
	var e *oauth2.RetrieveError
	return errors.As(err, &e) && e.Response != nil && e.Response.StatusCode/100 == 4 && e.Response.StatusCode != http.StatusTooManyRequests
}
