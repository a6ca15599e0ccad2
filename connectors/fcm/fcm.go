package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

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
	lines  *lines
	tokens *tokens
	slots  chan struct{}    // one a message on its way, over all batches
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
	f.lines = newLines(&f.c)
	f.tokens = newTokens(&f.c, f.time)
	f.slots = make(chan struct{}, c.conns*c.streams)
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
	a, _, err := f.lines.post(ctx, f.c.send, header(token), body)
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
	f.lines.close()
	return nil
}

// leastTime is what there must be left for a message to be begun.
const leastTime = 500 * time.Millisecond

// batch is one Send. When nothing can be sent at all, why is told for each of
// the messages that were not begun, and FCM is not asked for each.
type batch struct {
	messages []connector.Message
	outs     []connector.Outcome
	next     atomic.Int64
	stopped  atomic.Pointer[connector.Outcome]
}

// Send implements connector.Connector.
func (f *fcm) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	b := &batch{messages: messages, outs: make([]connector.Outcome, len(messages))}
	for i := range b.outs {
		b.outs[i] = again("out of time", 5*time.Second)
	}
	var wg sync.WaitGroup
	for range min(cap(f.slots), len(messages)) {
		wg.Go(func() { f.work(ctx, b) })
	}
	wg.Wait()
	for i := range b.outs {
		b.outs[i].ID = messages[i].ID
	}
	return b.outs, nil
}

// work takes one message after the other.
func (f *fcm) work(ctx context.Context, b *batch) {
	for {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		i := int(b.next.Add(1)) - 1
		switch end, bounded := ctx.Deadline(); {
		case i >= len(b.messages):
		case b.stopped.Load() != nil:
			b.outs[i] = *b.stopped.Load()
		case ctx.Err() == nil && (!bounded || time.Until(end) > leastTime):
			b.outs[i] = f.one(ctx, b, &b.messages[i])
		}
		<-f.slots
		if i >= len(b.messages) {
			return
		}
	}
}

// one sends one message.
func (f *fcm) one(ctx context.Context, b *batch, m *connector.Message) connector.Outcome {
	body, no := f.c.compose(m, f.time())
	if no != nil {
		return *no
	}
	ctx, cancel := context.WithTimeout(ctx, f.c.timeout)
	defer cancel()
	v := f.ask(ctx, b, m, body)
	if !v.unclear {
		return v.out
	}
	// The token alone, which FCM looks at and does not send to: if that is
	// wrong too, then it is the token's fault, else the content's.
	switch alone := f.ask(ctx, b, m, probe(m.To)); {
	case alone.unclear:
		return gone(connector.GoneInvalid, alone.out.Reason)
	case alone.out.Result == connector.Accepted:
		return v.out
	case alone.out.Result == connector.Unknown:
		return again("FCM did not say what is wrong", 0)
	default:
		return alone.out
	}
}

// ask makes one request, and another with a new access token if the first was
// refused for it.
func (f *fcm) ask(ctx context.Context, b *batch, m *connector.Message, body []byte) verdict {
	for renewed := false; ; renewed = true {
		token, err := f.tokens.get(ctx)
		if err != nil {
			return verdict{out: b.stop(ctx, signInFailed(err))}
		}
		a, sent, err := f.lines.post(ctx, f.c.send, header(token), body)
		switch {
		case err != nil && sent:
			return verdict{out: connector.Outcome{Result: connector.Unknown, Reason: "no answer from FCM"}}
		case err != nil:
			return verdict{out: b.stop(ctx, again("no connection to FCM", 0))}
		}
		v := judge(a, m.AddressSince, f.time())
		if v.signIn {
			f.tokens.drop(token)
		}
		if v.signIn && !renewed {
			continue
		}
		if v.all {
			v.out = b.stop(ctx, v.out)
		}
		return v
	}
}

// stop has nothing more of a batch begun, unless it was only this message's
// time that was over.
func (b *batch) stop(ctx context.Context, why connector.Outcome) connector.Outcome {
	if ctx.Err() == nil {
		b.stopped.Store(&why)
	}
	return why
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
