package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// webhook posts each message to one address, signed.
//
// Failure rules: a message counts as accepted when the receiver has answered
// 2xx. A connection that is lost before the request was written sent nothing;
// one that is lost between it and the answer leaves that message, and no other,
// unknown. When the time of a batch is over, what was not begun comes again.
type webhook struct {
	c      config
	client *http.Client
	slots  calls.Slots
	now    func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (w *webhook) Describe() connector.Description {
	return connector.Description{
		Name:     "webhook",
		Version:  "0.1.0",
		Summary:  "Posts messages to a service of yours, signed.",
		Channels: []string{"webhook"},
		Batch:    200,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (w *webhook) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	c, problems := read(s)
	w.c = c
	w.slots = calls.NewSlots(c.requests)
	w.client = &http.Client{Transport: c.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return problems, nil
}

// Check implements connector.Connector: it asks for the address with HEAD, and
// takes any answer, since the receiver need not know that method.
func (w *webhook) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, w.c.url.String(), nil)
	if err != nil {
		return errors.New("the receiver's address cannot be used")
	}
	req.Header.Set("User-Agent", "Cloister")
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("receiver %s: %w", w.c.url.Host, withoutURL(err))
	}
	return resp.Body.Close()
}

// withoutURL is an error of the client's without the address, in which there may
// be a token.
func withoutURL(err error) error {
	var u interface{ Unwrap() error }
	if errors.As(err, &u) && u.Unwrap() != nil {
		return u.Unwrap()
	}
	return err
}

// Send implements connector.Connector.
func (w *webhook) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	return w.slots.Each(ctx, w.c.timeout, batch, w.one), nil
}

// one posts one message. With all, nobody may be posted to.
func (w *webhook) one(ctx context.Context, m *connector.Message) (out connector.Outcome, all bool) {
	now := time.Now()
	if w.now != nil {
		now = w.now()
	}
	req, refusal := w.request(m, now)
	if refusal != nil {
		return *refusal, false
	}
	ctx, cancel := context.WithTimeout(ctx, w.c.timeout)
	defer cancel()
	var left calls.Left
	resp, err := w.client.Do(req.WithContext(left.Watch(ctx)))
	var inside *addressError
	switch {
	case err == nil:
	case errors.As(err, &inside):
		// The address may be another one soon; the operator has to be told until then.
		return trouble(inside.Error(), 0), true
	case left.Perhaps():
		return connector.Outcome{Result: connector.Unknown, Reason: "no answer from the receiver"}, false
	default:
		return again("no connection to the receiver", theirs), false
	}
	defer resp.Body.Close()
	// What is left of a short answer is read, so that the connection can be kept.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	return outcomeOf(resp, now), false
}

// body is what is posted of a message. It is the same whenever the message is
// sent again; what differs then is in the headers.
type body struct {
	ID          string            `json:"id"`
	User        string            `json:"user,omitempty"`
	Text        string            `json:"text"`
	Data        map[string]string `json:"data,omitempty"`
	Marketing   bool              `json:"marketing"`
	Expires     *time.Time        `json:"expires,omitempty"`
	Unsubscribe string            `json:"unsubscribe,omitempty"`
}

// request makes the request of a message, or says why there is none.
func (w *webhook) request(m *connector.Message, now time.Time) (*http.Request, *connector.Outcome) {
	no := func(o connector.Outcome) (*http.Request, *connector.Outcome) { return nil, &o }
	if m.Channel != "webhook" {
		return no(refused(connector.ClassConfig, "this connector posts webhooks only"))
	}
	// The id is signed between dots (Standard Webhooks), and stands in a header.
	if m.ID == "" || strings.ContainsFunc(m.ID, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '.' }) {
		return no(refused(connector.ClassContent, "an id that cannot be signed"))
	}
	if strings.ContainsFunc(m.To, unicode.IsControl) {
		return no(refused(connector.ClassAddress, "a user id with control characters"))
	}
	b := body{ID: m.ID, User: m.To, Text: m.Text, Marketing: m.Marketing, Unsubscribe: m.Unsubscribe}
	if !m.Expires.IsZero() {
		if m.Expires.Before(now) {
			return no(refused(connector.ClassOther, "expired"))
		}
		at := m.Expires.UTC()
		b.Expires = &at
	}
	if len(m.Data) > 0 {
		b.Data = map[string]string{}
		for _, d := range m.Data {
			b.Data[d.Name] = d.Value
		}
	}
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false)
	if err := e.Encode(b); err != nil {
		return no(refused(connector.ClassContent, "it could not be written as JSON"))
	}
	payload := bytes.TrimSuffix(raw.Bytes(), []byte("\n"))
	req, err := http.NewRequest(http.MethodPost, w.c.url.String(), bytes.NewReader(payload))
	if err != nil {
		return no(refused(connector.ClassConfig, "the receiver's address cannot be used"))
	}
	h := req.Header
	for _, add := range m.Headers {
		if problem := headerProblem(add.Name, add.Value); problem != "" {
			return no(refused(connector.ClassContent, "a header: "+problem))
		}
		h.Set(add.Name, add.Value)
	}
	for name, v := range w.c.headers { // the operator's go before the message's
		h.Set(name, v)
	}
	h.Set("Content-Type", w.c.contentType)
	h.Set("User-Agent", "Cloister")
	stamp := strconv.FormatInt(now.Unix(), 10)
	h.Set("Webhook-Id", m.ID)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", w.c.secrets.signature(m.ID, stamp, payload))
	return req, nil
}

// Drain implements connector.Connector.
func (w *webhook) Drain(context.Context) error {
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
	return nil
}
