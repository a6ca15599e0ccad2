package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// smshttp makes one request a message, of the form that the settings give.
//
// Failure rules: what was not written was not sent, and comes again. A
// connection that is lost between a request and its answer leaves that message,
// and no other, unknown: nothing is ever repeated here. When the time of a batch
// is over, what was not begun comes again.
type smshttp struct {
	c      config
	client *client
	slots  chan struct{}    // one a message on its way, over all batches
	now    func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (s *smshttp) Describe() connector.Description {
	return connector.Description{
		Name:     "smshttp",
		Version:  "0.1.0",
		Summary:  "Sends SMS through a provider's HTTP interface: Twilio's, or any that the settings describe.",
		Channels: []string{"sms"},
		Batch:    100,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (s *smshttp) Configure(_ context.Context, set connector.Settings) ([]connector.Problem, error) {
	c, problems := read(set)
	s.c = c
	s.client = newClient(&s.c)
	s.slots = make(chan struct{}, c.window)
	return problems, nil
}

func (s *smshttp) time() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}

// Check implements connector.Connector: it asks for the URL that the settings
// name for this, which sends nothing; without one it only connects.
func (s *smshttp) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*s.c.timeout)
	defer cancel()
	if s.c.request.check == "" {
		return s.client.connect(ctx, s.c.request.url.host())
	}
	header, err := s.c.request.header(s.c.request.signedIn(values{}))
	if err != nil {
		return err
	}
	header.Del("Content-Type")
	a, _, err := s.client.do(ctx, outgoing{http.MethodGet, s.c.request.check, header, nil})
	if err != nil {
		return fmt.Errorf("reaching the provider: %w", err)
	}
	if a.status/100 != 2 {
		return fmt.Errorf("the provider answers HTTP %d", a.status)
	}
	return nil
}

// Drain implements connector.Connector.
func (s *smshttp) Drain(context.Context) error {
	s.client.close()
	return nil
}

// batch is one Send. Once the provider refuses us as a whole, why is told for each of
// the messages that were not begun.
type batch struct {
	messages []connector.Message
	outs     []connector.Outcome
	next     atomic.Int64
	stopped  atomic.Pointer[connector.Outcome]
	least    time.Duration // what there must be left for a message to be begun
}

// Send implements connector.Connector.
func (s *smshttp) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	b := &batch{messages: messages, outs: make([]connector.Outcome, len(messages)), least: s.c.timeout}
	if end, ok := ctx.Deadline(); ok {
		b.least = min(b.least, time.Until(end)/2)
	}
	for i := range b.outs {
		b.outs[i] = again("out of time", 5*time.Second)
	}
	var wg sync.WaitGroup
	for range min(cap(s.slots), len(messages)) {
		wg.Go(func() { s.work(ctx, b) })
	}
	wg.Wait()
	for i := range b.outs {
		b.outs[i].ID = messages[i].ID
	}
	return b.outs, nil
}

// work takes one message after the other.
func (s *smshttp) work(ctx context.Context, b *batch) {
	for {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		i := int(b.next.Add(1)) - 1
		switch end, bounded := ctx.Deadline(); {
		case i >= len(b.messages):
		case b.stopped.Load() != nil:
			b.outs[i] = *b.stopped.Load()
		case ctx.Err() == nil && (!bounded || time.Until(end) > b.least):
			b.outs[i] = s.one(ctx, b, &b.messages[i])
		}
		<-s.slots
		if i >= len(b.messages) {
			return
		}
	}
}

// one sends one message.
func (s *smshttp) one(ctx context.Context, b *batch, m *connector.Message) connector.Outcome {
	v, no := s.c.values(m, s.time())
	if no != nil {
		return *no
	}
	req, err := s.c.request.fill(v)
	if err != nil {
		return refused(connector.ClassContent, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.timeout)
	defer cancel()
	a, sent, err := s.client.do(ctx, req)
	switch {
	case err != nil && sent:
		return connector.Outcome{Result: connector.Unknown, Reason: "no answer from the provider"}
	case err != nil:
		return again("no connection to the provider", 0)
	}
	out, all := s.c.response.judge(a, s.time())
	if all {
		b.stopped.Store(&out)
	}
	return out
}

var number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// values are what the placeholders of a request stand for in a message.
func (c *config) values(m *connector.Message, now time.Time) (values, *connector.Outcome) {
	no := func(class connector.Class, reason string) (values, *connector.Outcome) {
		out := refused(class, reason)
		return nil, &out
	}
	sender := m.Sender
	if sender == "" {
		sender = c.sender
	}
	v := values{"id": m.ID, "to": m.To, "digits": strings.TrimPrefix(m.To, "+"), "text": m.Text, "sender": sender, "template": m.Template, "ttl": ""}
	switch {
	case m.Channel != "sms":
		return no(connector.ClassConfig, "this connector sends SMS only")
	case !number.MatchString(m.To):
		return no(connector.ClassAddress, "not a number of the form +E.164")
	case m.Text == "":
		return no(connector.ClassContent, "no text")
	case strings.ContainsFunc(m.Text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }):
		return no(connector.ClassContent, "a control character in the text")
	case strings.ContainsFunc(sender+m.Template+m.ID, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return no(connector.ClassContent, "a control character in the sender or template")
	}
	if !m.Expires.IsZero() {
		left := m.Expires.Sub(now)
		if left <= 0 {
			return no(connector.ClassOther, "expired before it could be sent")
		}
		seconds := max(1, int64(left/time.Second))
		if c.request.maxTTL > 0 {
			seconds = min(seconds, c.request.maxTTL)
		}
		v["ttl"] = strconv.FormatInt(seconds, 10)
	}
	return v, nil
}
