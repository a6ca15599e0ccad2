package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// fcm hands messages to Firebase Cloud Messaging, one request each.
//
// Failure rules: a message counts as accepted when FCM has answered so. What
// was not written, or what FCM certifies not to have looked at, was not sent
// and comes again. A connection that is lost between a request and its answer
// leaves that message, and no other, unknown. When the time of a batch is over,
// what was not begun comes again.
type fcm struct {
	c      config
	lines  *calls.Lines
	tokens *tokens
	slots  calls.Slots
	now    func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (f *fcm) Describe() connector.Description {
	return connector.Description{
		Name:     "fcm",
		Version:  "0.1.0",
		Summary:  "Sends push messages to Android through Firebase Cloud Messaging.",
		Channels: []string{"push"},
		Batch:    500,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (f *fcm) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	c, problems := read(s)
	f.c = c
	f.lines = calls.NewLines(c.conns, c.streams, f.c.transport())
	f.tokens = newTokens(&f.c, f.time)
	f.slots = calls.NewSlots(c.conns * c.streams)
	return problems, nil
}

func (f *fcm) time() time.Time {
	if f.now != nil {
		return f.now()
	}
	return time.Now()
}

// Check implements connector.Connector: it signs in, and has FCM look at a
// message without sending it.
func (f *fcm) Check(ctx context.Context) error {
	body, err := encode(request{ValidateOnly: true, Message: message{Topic: "cloister", Data: map[string]string{"check": "true"}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*f.c.timeout)
	defer cancel()
	token, err := f.tokens.get(ctx)
	if err != nil {
		return err
	}
	a, _, err := f.lines.Post(ctx, f.c.send, header(token), body)
	if err != nil {
		return fmt.Errorf("reaching FCM: %w", err)
	}
	if v := judge(a, time.Time{}, f.time()); v.out.Result != connector.Accepted {
		return errors.New(v.out.Reason)
	}
	return nil
}

// Drain implements connector.Connector.
func (f *fcm) Drain(context.Context) error {
	f.lines.Close()
	return nil
}

// Send implements connector.Connector.
func (f *fcm) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	return f.slots.Each(ctx, f.c.timeout, messages, f.one), nil
}

// one sends one message. With all, the outcome is that of every message.
func (f *fcm) one(ctx context.Context, m *connector.Message) (out connector.Outcome, all bool) {
	body, no := f.c.compose(m, f.time())
	if no != nil {
		return *no, false
	}
	ctx, cancel := context.WithTimeout(ctx, f.c.timeout)
	defer cancel()
	v := f.ask(ctx, m, body)
	if !v.unclear {
		return v.out, v.all
	}
	// The token alone, which FCM looks at and does not send to: if that is
	// wrong too, then it is the token's fault, else the content's.
	switch alone := f.ask(ctx, m, probe(m.To)); {
	case alone.unclear:
		return gone(connector.GoneInvalid, alone.out.Reason), false
	case alone.out.Result == connector.Accepted:
		return v.out, false
	case alone.out.Result == connector.Unknown:
		return again("FCM did not say what is wrong", 0), false
	default:
		return alone.out, alone.all
	}
}

// ask makes one request, and another with a new access token if the first was
// refused for it. What is so for all messages is not if only this one's time was
// over.
func (f *fcm) ask(ctx context.Context, m *connector.Message, body []byte) verdict {
	for renewed := false; ; renewed = true {
		token, err := f.tokens.get(ctx)
		if err != nil {
			return verdict{out: signInFailed(err), all: ctx.Err() == nil}
		}
		a, sent, err := f.lines.Post(ctx, f.c.send, header(token), body)
		switch {
		case err != nil && sent:
			return verdict{out: connector.Outcome{Result: connector.Unknown, Reason: "no answer from FCM"}}
		case err != nil:
			return verdict{out: again("no connection to FCM", 0), all: ctx.Err() == nil}
		}
		v := judge(a, m.AddressSince, f.time())
		if v.signIn {
			f.tokens.drop(token)
		}
		if v.signIn && !renewed {
			continue
		}
		v.all = v.all && ctx.Err() == nil
		return v
	}
}

func signInFailed(err error) connector.Outcome {
	if refusedSignIn(err) {
		return misconfigured("Google does not let the service account in")
	}
	return again("signing in to Google failed", 0)
}

func header(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "User-Agent": {"Cloister"}}
}
