package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	stdmail "net/mail"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/wneessen/go-mail"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// refusal is why a message is not sent at all.
type refusal struct {
	class  connector.Class
	reason string // without personal data
}

func (r *refusal) Error() string { return r.reason }

// envelope is a message ready for the wire.
type envelope struct {
	to   string
	body []byte // CRLF lines
}

// ours are the headers that this connector writes itself.
var ours = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-Id", "Mime-Version", "Return-Path", "Received",
	"Dkim-Signature", "Authentication-Results", "List-Unsubscribe", "List-Unsubscribe-Post",
}

var headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

// compose writes a message. Its error is a *refusal.
func (c *config) compose(m connector.Message, now time.Time) (*envelope, error) {
	no := func(class connector.Class, format string, args ...any) (*envelope, error) {
		return nil, &refusal{class, fmt.Sprintf(format, args...)}
	}
	to, err := checkAddress(m.To)
	if err != nil {
		return no(connector.ClassAddress, "%v", err)
	}
	if broken(m.Subject) {
		return no(connector.ClassContent, "a line break in the subject")
	}
	if broken(m.ToName) {
		return no(connector.ClassContent, "a line break in the recipient's name")
	}
	if m.Text == "" && m.HTML == "" {
		return no(connector.ClassContent, "no content")
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP))
	msg.FromMailAddress(c.from)
	msg.ToMailAddress(&stdmail.Address{Name: m.ToName, Address: to})
	if c.replyTo != nil {
		msg.ReplyToMailAddress(c.replyTo)
	}
	msg.Subject(m.Subject)
	msg.SetDateWithValue(now)
	msg.SetMessageIDWithValue(messageID(m.ID, domainOf(c.from.Address)))
	for _, h := range m.Headers {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		if !headerName.MatchString(name) || slices.Contains(ours, name) || strings.HasPrefix(name, "Content-") {
			return no(connector.ClassContent, "a header that a message may not set")
		}
		if broken(h.Value) {
			return no(connector.ClassContent, "a line break in header %s", name)
		}
		msg.SetGenHeader(mail.Header(name), h.Value)
	}
	if m.Unsubscribe != "" {
		u, err := url.Parse(m.Unsubscribe)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) || strings.ContainsAny(m.Unsubscribe, "<>, \r\n\t") {
			return no(connector.ClassContent, "the address for unsubscribing is not an https URL")
		}
		// RFC 8058. Preformatted, so that it is not folded in the middle.
		msg.SetGenHeaderPreformatted(mail.HeaderListUnsubscribe, "<"+m.Unsubscribe+">")
		msg.SetGenHeader(mail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	switch {
	case m.HTML == "":
		msg.SetBodyString(mail.TypeTextPlain, m.Text)
	case m.Text == "":
		msg.SetBodyString(mail.TypeTextHTML, m.HTML)
	default:
		msg.SetBodyString(mail.TypeTextPlain, m.Text)
		msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return no(connector.ClassContent, "it could not be composed")
	}
	body := raw.Bytes()
	if c.dkim != nil {
		if body, err = c.dkim.sign(body); err != nil {
			return no(connector.ClassConfig, "it could not be signed")
		}
	}
	return &envelope{to: to, body: body}, nil
}

// broken says whether a text cannot stand in a header.
func broken(s string) bool { return strings.ContainsAny(s, "\r\n\x00") }

var plainID = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}[A-Za-z0-9_-]$`)

// messageID is the same for the same message, so that a receiver who gets it
// twice can tell.
func messageID(id, domain string) string {
	if !plainID.MatchString(id) || strings.Contains(id, "..") {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:16])
	}
	return id + "@" + domain
}

// signer signs messages by DKIM.
type signer struct {
	domain, selector string
	key              crypto.Signer
}

// signed are the headers that a signature covers, when they are there. RFC
// 8058 wants those for unsubscribing among them.
var signed = []string{
	"From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"List-Unsubscribe", "List-Unsubscribe-Post",
}

func (s *signer) sign(body []byte) ([]byte, error) {
	var out bytes.Buffer
	err := dkim.Sign(&out, bytes.NewReader(body), &dkim.SignOptions{
		Domain: s.domain, Selector: s.selector, Signer: s.key, Hash: crypto.SHA256, HeaderKeys: signed,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	return out.Bytes(), err
}

// loopback says whether a host is this machine: an appliance that is being
// tried out has no certificate, and such links lead nobody else anywhere.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
