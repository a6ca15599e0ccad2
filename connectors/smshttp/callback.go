package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what providers sign with; as a MAC it holds
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// The ways by which callbacks prove whose they are.
const (
	authSHA1   = "hmac-sha1"
	authSHA256 = "hmac-sha256"
	authSHA512 = "hmac-sha512"
	authHeader = "header" // the secret is a header
	authPath   = "path"   // the secret is the last part of the URL's path
)

var hashes = map[string]func() hash.Hash{authSHA1: sha1.New, authSHA256: sha256.New, authSHA512: sha512.New}

// callbacks is what the provider's own requests mean. Without a way to prove
// that they are genuine (auth "") none is taken.
type callbacks struct {
	auth        string
	header      string
	secret      string
	each        path
	message, id path
	status      path
	from, text  path
	values      map[string]string
}

// usual are the statuses that mean the same everywhere.
var usual = map[string]string{
	"delivered": meansDelivered, "delivrd": meansDelivered,
	"undelivered": "other", "undeliv": "other", "undeliverable": "other", "failed": "other", "deleted": "other",
	"expired": "full", "rejected": "policy", "rejectd": "policy",
}

// means is what a status means; false where the settings and the usual do not know it.
func (c *callbacks) means(status string) (string, bool) {
	if m, ok := c.values[status]; ok {
		return m, true
	}
	m, ok := usual[strings.ToLower(status)]
	return m, ok
}

// Receipts implements connector.Receiver.
func (s *smshttp) Receipts(_ context.Context, w connector.Webhook) (connector.Answer, error) {
	u, err := url.Parse(w.URL)
	if err != nil {
		return connector.Answer{}, connector.ErrForged
	}
	if s.c.twilio != nil {
		return s.c.fromTwilio(w, u, s.time())
	}
	cb := &s.c.callbacks
	if !cb.genuine(w, u) {
		return connector.Answer{}, connector.ErrForged
	}
	var a connector.Answer
	for _, one := range cb.told(w, u) {
		if r, ok := s.c.receipt(one); ok {
			r.At = s.time()
			a.Receipts = append(a.Receipts, r)
		}
	}
	return a, nil
}

func header(w connector.Webhook, name string) string {
	for _, h := range w.Headers {
		if http.CanonicalHeaderKey(h.Name) == http.CanonicalHeaderKey(name) {
			return h.Value
		}
	}
	return ""
}

// genuine says whether a request is the provider's.
func (c *callbacks) genuine(w connector.Webhook, u *url.URL) bool {
	if c.secret == "" {
		return false
	}
	same := func(given string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(c.secret)) == 1 }
	switch c.auth {
	case authHeader:
		return same(header(w, c.header))
	case authPath:
		return same(u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	}
	if hashes[c.auth] == nil {
		return false
	}
	mac := hmac.New(hashes[c.auth], []byte(c.secret))
	mac.Write(w.Body)
	return signedBy(header(w, c.header), mac.Sum(nil))
}

// signedBy compares a header, in hexadecimal or base64, perhaps behind the name
// of the method ("sha256="), with what it is to be.
func signedBy(given string, want []byte) bool {
	if _, after, ok := strings.Cut(given, "="); ok && after != "" && after != "=" {
		given = after
	}
	given = strings.TrimRight(given, "=")
	var got []byte
	var err error
	if len(given) == hex.EncodedLen(len(want)) {
		got, err = hex.DecodeString(given)
	} else {
		got, err = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(given))
	}
	return err == nil && hmac.Equal(got, want)
}

// told is what a request tells, one thing at a time. Of one whose body is signed
// only the body counts, since anybody can change the rest.
func (c *callbacks) told(w connector.Webhook, u *url.URL) []any {
	query := map[string]any{}
	if hashes[c.auth] == nil {
		query = fields(u.Query())
	}
	doc := any(query)
	kind, _, _ := mime.ParseMediaType(header(w, "Content-Type"))
	switch d := document(w.Body); {
	case kind == "application/x-www-form-urlencoded" || d == nil:
		form, err := url.ParseQuery(string(w.Body))
		if err == nil {
			maps.Copy(query, fields(form))
		}
	default:
		doc = d
	}
	if list, ok := c.each.at(doc); ok {
		doc = list
	}
	list, ok := doc.([]any)
	if !ok {
		list = []any{doc}
	}
	for i, one := range list {
		if m, ok := one.(map[string]any); ok && len(query) > 0 {
			both := maps.Clone(query)
			maps.Copy(both, m)
			list[i] = both
		}
	}
	return list
}

// fields are a form's or query's as a document, the first of each name.
func fields(v url.Values) map[string]any {
	out := map[string]any{}
	for name, all := range v {
		out[name] = all[0]
	}
	return out
}

// receipt is what one thing that was told means to the appliance, if anything.
func (c *config) receipt(doc any) (connector.Receipt, bool) {
	cb := &c.callbacks
	var r connector.Receipt
	if cb.message != nil {
		r.MessageID, _ = cb.message.text(doc)
	}
	if cb.id != nil {
		id, _ := cb.id.text(doc)
		r.ProviderID = short(id)
	}
	if cb.status != nil {
		if status, ok := cb.status.text(doc); ok {
			if means, known := cb.means(status); known {
				return c.outcome(r, means, "the provider: "+anonymous(status))
			}
		}
	}
	if cb.from == nil || cb.text == nil {
		return r, false
	}
	from, ok := cb.from.text(doc)
	text, has := cb.text.text(doc)
	if !ok || !has {
		return r, false
	}
	return c.wrote(from, text)
}

// outcome makes the receipt of what has become of a message.
func (c *config) outcome(r connector.Receipt, means, reason string) (connector.Receipt, bool) {
	switch means {
	case meansNothing:
		return r, false
	case meansDelivered:
		r.Kind = connector.Delivered
	default:
		r.Kind, r.Class, r.Reason = connector.Bounced, connector.Class(means), reason
	}
	return r, r.MessageID != "" || r.ProviderID != ""
}

// wrote makes the receipt of what a person sent.
func (c *config) wrote(from, text string) (connector.Receipt, bool) {
	r := connector.Receipt{Address: person(from, c.country), Kind: c.optOut.Asks(text)}
	return r, r.Address != ""
}

// person is a number that a message came from as +E.164; "" if it cannot be one.
// country is the code of numbers that come without one.
func person(from, country string) string {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -().", r) {
			return -1
		}
		return r
	}, from)
	digits, international := strings.CutPrefix(digits, "+")
	if !international {
		digits, international = strings.CutPrefix(digits, "00")
	}
	national := !international && country != "" && (strings.HasPrefix(digits, "0") || !strings.HasPrefix(digits, country) || len(digits) <= 10)
	if national {
		digits = country + strings.TrimPrefix(digits, "0")
	}
	if !number.MatchString("+" + digits) {
		return ""
	}
	return "+" + digits
}
