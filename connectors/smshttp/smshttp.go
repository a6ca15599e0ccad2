package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
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
	slots  calls.Slots
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
	s.slots = calls.NewSlots(c.window)
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

// Send implements connector.Connector.
func (s *smshttp) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	return s.slots.Each(ctx, s.c.timeout, messages, s.one), nil
}

// one sends one message. With all, the provider refuses us as a whole.
func (s *smshttp) one(ctx context.Context, m *connector.Message) (out connector.Outcome, all bool) {
	v, no := s.c.values(m, s.time())
	if no != nil {
		return *no, false
	}
	req, err := s.c.request.fill(v)
	if err != nil {
		return refused(connector.ClassContent, err.Error()), false
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.timeout)
	defer cancel()
	a, sent, err := s.client.do(ctx, req)
	switch {
	case err != nil && sent:
		return connector.Outcome{Result: connector.Unknown, Reason: "no answer from the provider"}, false
	case err != nil:
		return again("no connection to the provider", 0), false
	}
	return s.c.response.judge(a, s.time())
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
