package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// apns hands messages to Apple's push service, one request each.
//
// Failure rules: a message counts as accepted when Apple has answered so. What
// was not written, or what Apple certifies not to have looked at, was not sent
// and comes again. A connection that is lost between a request and its answer
// leaves that message, and no other, unknown. When the time of a batch is over,
// what was not begun comes again.
type apns struct {
	c      config
	lines  *calls.Lines
	tokens *tokens // nil = by certificate
	slots  calls.Slots
	now    func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (a *apns) Describe() connector.Description {
	return connector.Description{
		Name:     "apns",
		Version:  "0.1.0",
		Summary:  "Sends push messages to Apple's devices.",
		Channels: []string{"push"},
		Batch:    500,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (a *apns) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	c, problems := read(s)
	a.c = c
	a.lines = calls.NewLines(c.conns, c.streams, c.transport())
	a.slots = calls.NewSlots(c.conns * c.streams)
	if c.key != nil {
		a.tokens = &tokens{key: c.key, id: c.keyID, team: c.team, now: a.time}
	}
	return problems, nil
}

func (a *apns) time() time.Time {
	if a.now != nil {
		return a.now()
	}
	return time.Now()
}

// Check implements connector.Connector: it signs in with a message to a device
// that cannot be, of which Apple says so.
func (a *apns) Check(ctx context.Context) error {
	m := connector.Message{ID: "check", Channel: "push", Platform: "apns", To: strings.Repeat("0", 64), Push: &connector.Push{Silent: true}}
	ctx, cancel := context.WithTimeout(ctx, a.c.timeout)
	defer cancel()
	switch o, _ := a.one(ctx, &m); {
	case o.Class == connector.ClassAddress, o.Result == connector.Accepted:
		return nil
	default:
		return errors.New(o.Reason)
	}
}

// Drain implements connector.Connector.
func (a *apns) Drain(context.Context) error {
	a.lines.Close()
	return nil
}

// Send implements connector.Connector.
func (a *apns) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	return a.slots.Each(ctx, a.c.timeout, messages, a.one), nil
}

// one sends one message, and again with a new provider token if the first was
// refused as expired. With all, the outcome is that of every message: not if
// only this one's time was over.
func (a *apns) one(ctx context.Context, m *connector.Message) (out connector.Outcome, all bool) {
	h, body, no := a.c.compose(m, a.time())
	if no != nil {
		return *no, false
	}
	ctx, cancel := context.WithTimeout(ctx, a.c.timeout)
	defer cancel()
	for renewed := false; ; renewed = true {
		header, token, err := a.sign(h)
		if err != nil {
			return misconfigured(err.Error()), ctx.Err() == nil
		}
		got, sent, err := a.lines.Post(ctx, a.c.base+m.To, header, body)
		switch {
		case err != nil && sent:
			return connector.Outcome{Result: connector.Unknown, Reason: "no answer from Apple"}, false
		case err != nil:
			return again("no connection to Apple", 0), ctx.Err() == nil
		}
		v := judge(got, m.AddressSince)
		if v.expired && a.tokens != nil && !renewed && a.tokens.expired(token) {
			continue
		}
		return v.out, v.all && ctx.Err() == nil
	}
}

// sign gives the headers with what proves who asks, where no certificate does.
func (a *apns) sign(h http.Header) (http.Header, string, error) {
	h = h.Clone()
	h.Set("User-Agent", "Cloister")
	if a.tokens == nil {
		return h, "", nil
	}
	token, err := a.tokens.get()
	if err != nil {
		return nil, "", fmt.Errorf("a provider token: %w", err)
	}
	h.Set("Authorization", "bearer "+token)
	return h, token, nil
}
