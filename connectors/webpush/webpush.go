package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// webpush hands messages to the push services of browsers.
//
// Failure rules: a message counts as accepted when the service has answered so.
// A connection that is lost before the request was written sent nothing; one
// that is lost between it and the answer leaves that message, and no other,
// unknown. When the time of a batch is over, what was not begun comes again.
type webpush struct {
	c      config
	client *http.Client
	slots  calls.Slots
	now    func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (w *webpush) Describe() connector.Description {
	return connector.Description{
		Name:     "webpush",
		Version:  "0.1.0",
		Summary:  "Sends push messages to browsers.",
		Channels: []string{"push"},
		Batch:    200,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (w *webpush) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	c, problems := read(s)
	w.c = c
	w.slots = calls.NewSlots(c.requests)
	w.client = &http.Client{Transport: c.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return problems, nil
}

// WebPushKey implements connector.WebPusher.
func (w *webpush) WebPushKey() string { return w.c.vapid.public }

// Check implements connector.Connector: it connects to the services whose hosts
// are known, and asks nothing of them.
func (w *webpush) Check(ctx context.Context) error {
	var errs []error
	for _, h := range w.c.services {
		s := h.String()
		switch {
		case asked[s] != "":
			s = asked[s]
		case h.Any || h.Below || h.Port == 0 || h.Net.IsValid() && !h.Net.IsSingleIP():
			continue // no host of it is known
		}
		ask, cancel := context.WithTimeout(ctx, w.c.timeout)
		req, err := http.NewRequestWithContext(ask, http.MethodHead, "https://"+s+"/", nil)
		if err == nil {
			var r *http.Response
			if r, err = w.client.Do(req); err == nil {
				err = r.Body.Close()
			}
		}
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("push service %s: %w", s, err))
		}
	}
	return errors.Join(errs...)
}

// Send implements connector.Connector.
func (w *webpush) Send(ctx context.Context, messages []connector.Message) ([]connector.Outcome, error) {
	return w.slots.Each(ctx, w.c.timeout, messages, w.one), nil
}

// one sends one message.
func (w *webpush) one(ctx context.Context, m *connector.Message) (out connector.Outcome, all bool) {
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
	switch {
	case err == nil:
	case left.Perhaps():
		return connector.Outcome{Result: connector.Unknown, Reason: "no answer from the push service"}, false
	default:
		return again("no connection to the push service", theirs), false
	}
	defer resp.Body.Close()
	out = outcomeOf(resp, now)
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		w.c.vapid.forget(origin(req.URL))
	}
	// What is left of a short answer is read, so that the connection can be kept.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	return out, false
}

var topic = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// request makes the request of a message, or says why there is none.
func (w *webpush) request(m *connector.Message, now time.Time) (*http.Request, *connector.Outcome) {
	no := func(o connector.Outcome) (*http.Request, *connector.Outcome) { return nil, &o }
	if m.Channel != "push" || m.Platform != "webpush" {
		return no(refused(connector.ClassConfig, "this connector sends to browsers only"))
	}
	if m.Push != nil && m.Push.Silent {
		return no(refused(connector.ClassContent, "browsers show every message"))
	}
	to, err := w.c.services.allowed(m.To)
	switch {
	case errors.Is(err, errNotListed):
		return no(refused(connector.ClassConfig, err.Error()))
	case err != nil:
		return no(gone(connector.GoneInvalid, err.Error()))
	}
	k, err := readKeys(m.Extra)
	if err != nil {
		return no(gone(connector.GoneInvalid, "the subscription's keys cannot be used"))
	}
	ttl := w.c.ttl
	if !m.Expires.IsZero() {
		if ttl = min(ttl, m.Expires.Sub(now)); ttl < 0 {
			return no(refused(connector.ClassOther, "expired"))
		}
	}
	plain, err := payloadOf(m, w.c.icon)
	if err != nil {
		return no(refused(connector.ClassContent, err.Error()))
	}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return no(again("no key could be made", theirs))
	}
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // it never fails
	body, err := seal(k, own, salt, plain)
	if err != nil {
		return no(refused(connector.ClassContent, "it could not be encrypted"))
	}
	proof, err := w.c.vapid.authorization(origin(to), now)
	if err != nil {
		return no(again("no token could be signed", theirs))
	}
	req, err := http.NewRequest(http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return no(gone(connector.GoneInvalid, errEndpoint.Error()))
	}
	h := req.Header
	h.Set("Authorization", proof)
	h.Set("Content-Encoding", "aes128gcm")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("TTL", strconv.Itoa(int(ttl/time.Second)))
	h.Set("User-Agent", "Cloister") // no version: push services need not know it
	urgency := "normal"
	if x := m.Push; x != nil {
		if x.Urgent {
			urgency = "high"
		}
		if x.Collapse != "" {
			h.Set("Topic", topicOf(x.Collapse))
		}
	}
	h.Set("Urgency", urgency)
	return req, nil
}

// topicOf is a key as RFC 8030 takes it: what does not fit is hashed, and still
// the same for the same key.
func topicOf(collapse string) string {
	if topic.MatchString(collapse) {
		return collapse
	}
	sum := sha256.Sum256([]byte(collapse))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:32]
}

// Drain implements connector.Connector.
func (w *webpush) Drain(context.Context) error {
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
	return nil
}
