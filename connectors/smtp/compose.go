package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net"
	stdmail "net/mail"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
	from, to string
	id       string // what reports of the relay's name it by, "" = nothing
	size     int    // of the message
	data     []byte // its lines, dots doubled, with the one that ends it
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
		if !headerName.MatchString(name) || slices.Contains(ours, name) || strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Resent-") {
			return no(connector.ClassContent, "a header that a message may not set")
		}
		if broken(h.Value) {
			return no(connector.ClassContent, "a line break in header %s", name)
		}
		msg.SetGenHeader(mail.Header(name), h.Value)
	}
	if m.Unsubscribe != "" {
		u, err := url.Parse(m.Unsubscribe)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) ||
			len(m.Unsubscribe) > 800 || strings.ContainsFunc(m.Unsubscribe, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>,\"\\", r) }) {
			return no(connector.ClassContent, "the address for unsubscribing is not an https URL")
		}
		// RFC 8058. Preformatted, so that it is not folded in the middle.
		ways := "<" + m.Unsubscribe + ">"
		if c.marks != nil && markable.MatchString(m.ID) {
			ways += ",\r\n <mailto:" + c.marks.address(markUnsubscribe, m.ID) + "?subject=unsubscribe>"
		}
		msg.SetGenHeaderPreformatted(mail.HeaderListUnsubscribe, ways)
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
	if r := c.attach(msg, m.Files); r != nil {
		return nil, r
	}
	var raw bytes.Buffer
	raw.Grow(1024 + 2*(len(m.Text)+len(m.HTML)))
	if _, err := msg.WriteTo(&raw); err != nil {
		return no(connector.ClassContent, "it could not be composed")
	}
	body := raw.Bytes()
	if !clean(body) {
		return no(connector.ClassContent, "a line that cannot be sent")
	}
	if body, err = sign(body, c.dkim); err != nil {
		return no(connector.ClassConfig, "it could not be signed")
	}
	e := &envelope{from: c.returnPath, to: to, size: len(body), data: stuffed(body)}
	if markable.MatchString(m.ID) {
		e.id = m.ID
	}
	if c.marks != nil {
		e.from, e.id = c.marks.address(markBounce, m.ID), c.marks.local(markBounce, m.ID)
	}
	return e, nil
}

// attach adds the files, if they are allowed.
func (c *config) attach(msg *mail.Msg, list []connector.File) *refusal {
	if len(list) == 0 {
		return nil
	}
	if c.files == nil {
		return &refusal{connector.ClassContent, "attachments are not allowed"}
	}
	size := 0
	for _, f := range list {
		kind, _, err := mime.ParseMediaType(f.Type)
		if err != nil || !slices.Contains(c.files.types, kind) {
			return &refusal{connector.ClassContent, "an attachment of a type that is not allowed"}
		}
		if size += len(f.Content); size > c.files.max {
			return &refusal{connector.ClassContent, "attachments larger than is allowed"}
		}
		if f.Name == "" || len(f.Name) > 200 || !utf8.ValidString(f.Name) || f.Name[0] == '.' || strings.ContainsFunc(f.Name, func(r rune) bool {
			return !unicode.IsPrint(r) || strings.ContainsRune("/\\:", r)
		}) {
			return &refusal{connector.ClassContent, "an attachment's name that is not allowed"}
		}
		msg.AttachReadSeeker("file", bytes.NewReader(f.Content), func(to *mail.File) {
			to.Header.Set("Content-Type", kind)
			// Beyond ASCII by RFC 2231.
			to.Header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
		})
	}
	return nil
}

// clean is the last look at what was composed: lines end in CRLF, none is longer
// than 998, and neither character stands alone, which is how messages are
// smuggled past relays.
func clean(body []byte) bool {
	for len(body) > 0 {
		n := bytes.IndexByte(body, '\n')
		if n < 1 || n > 999 || body[n-1] != '\r' || bytes.IndexByte(body[:n-1], '\r') >= 0 || bytes.IndexByte(body[:n], 0) >= 0 {
			return false
		}
		body = body[n+1:]
	}
	return true
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

// signed are the headers that a signature covers. Those that are not there
// cannot be added either; From is named once more, so that no second one can. RFC
// 8058 wants those for unsubscribing among them.
var signed = []string{
	"From", "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"List-Unsubscribe", "List-Unsubscribe-Post",
}

// sign puts a signature by each key before a message.
func sign(body []byte, keys []signer) ([]byte, error) {
	var head []byte
	for _, k := range keys {
		s, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: k.domain, Selector: k.selector, Signer: k.key, Hash: crypto.SHA256, HeaderKeys: signed,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		})
		if err != nil {
			return nil, err
		}
		_, err = s.Write(body)
		if err := errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
		head = append(head, s.Signature()...)
	}
	if head == nil {
		return body, nil
	}
	return append(head, body...), nil
}

// stuffed doubles dots at the beginning of lines and adds the line that ends a
// message.
func stuffed(body []byte) []byte {
	out := make([]byte, 0, len(body)+len(body)/64+8)
	for len(body) > 0 {
		if body[0] == '.' {
			out = append(out, '.')
		}
		n := bytes.IndexByte(body, '\n') + 1
		if n == 0 {
			n = len(body)
		}
		out, body = append(out, body[:n]...), body[n:]
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

// loopback says whether a host is this machine: an appliance that is being
// tried out has no certificate, and such links lead nobody else anywhere.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
