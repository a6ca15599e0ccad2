package main

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// refusal is why a message is not sent at all.
type refusal struct {
	class  connector.Class
	reason string // without personal data
}

// The ways of sending a text that does not fit one message.
const (
	longUDH     = "udh"     // parts with a header each
	longSAR     = "sar"     // parts with optional parameters each
	longPayload = "payload" // whole, for the centre to cut
)

var (
	number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	name   = regexp.MustCompile(`^[ -~]{1,11}$`)
)

// compose makes the bodies of a message's submit_sm, in their order. reference
// tells the parts of one message from those of others.
func (c *config) compose(m connector.Message, reference uint16, now time.Time) ([][]byte, *refusal) {
	no := func(class connector.Class, format string, args ...any) ([][]byte, *refusal) {
		return nil, &refusal{class, fmt.Sprintf(format, args...)}
	}
	switch {
	case m.Channel != "sms":
		return no(connector.ClassConfig, "this connector sends SMS only")
	case !number.MatchString(m.To):
		return no(connector.ClassAddress, "not a number of the form +E.164")
	case m.Text == "":
		return no(connector.ClassContent, "no text")
	case unprintable(m.Text):
		return no(connector.ClassContent, "a control character in the text")
	case len(m.Text) > 65535:
		return no(connector.ClassContent, "more than %d parts", c.maxParts)
	case !m.Expires.IsZero() && !m.Expires.After(now):
		return no(connector.ClassOther, "expired before it could be sent")
	}
	sender := m.Sender
	if sender == "" {
		sender = c.sender
	}
	sm := shortMessage{
		service: c.service, to: address{1, 1, m.To[1:]}, validity: validity(m.Expires, now),
		registered: c.registered,
	}
	if !m.Marketing {
		sm.priority = 1
	}
	if c.dlt != nil && strings.HasPrefix(m.To, "+91") {
		var r *refusal
		if sender, sm.options, r = c.dlt.check(m, sender); r != nil {
			return nil, r
		}
	}
	from, ok := c.from(sender)
	if !ok {
		return no(connector.ClassContent, "the sender is neither a number nor a name of up to 11 characters")
	}
	sm.from = from
	text := encodeText(m.Text)
	sm.coding = text.coding
	parts := text.split()
	switch {
	case len(parts) > c.maxParts:
		return no(connector.ClassContent, "more than %d parts", c.maxParts)
	case len(parts) == 1:
		sm.text = parts[0]
		return [][]byte{sm.body()}, nil
	case c.long == longPayload:
		sm.options = append(sm.options, tlv{tagPayload, text.octets})
		return [][]byte{sm.body()}, nil
	}
	bodies := make([][]byte, len(parts))
	for i, octets := range parts {
		part := sm
		total, n := byte(len(parts)), byte(i+1)
		if c.long == longSAR {
			part.text = octets
			part.options = append(sm.options[:len(sm.options):len(sm.options)],
				tlv{tagSARReference, binary.BigEndian.AppendUint16(nil, reference)},
				tlv{tagSARTotal, []byte{total}}, tlv{tagSARNumber, []byte{n}})
		} else {
			part.esm = esmUDH
			part.text = append([]byte{5, 0, 3, byte(reference), total, n}, octets...)
		}
		bodies[i] = part.body()
	}
	return bodies, nil
}

// from is a sender with its type: a number, a short code, or a name.
func (c *config) from(sender string) (address, bool) {
	var a address
	switch digits := strings.TrimPrefix(sender, "+"); {
	case sender == "":
		// The centre has one for us.
	case strings.Trim(digits, "0123456789") == "" && len(digits) >= 7 && len(digits) <= 15:
		a = address{1, 1, digits}
	case strings.Trim(sender, "0123456789") == "" && len(sender) <= 6:
		a = address{3, 0, sender} // network specific
	default:
		if !name.MatchString(sender) {
			return a, false
		}
		a = address{5, 0, sender}
	}
	if c.ton >= 0 {
		a.ton = byte(c.ton)
	}
	if c.npi >= 0 {
		a.npi = byte(c.npi)
	}
	return a, true
}

// validity is how long the centre shall try, in the relative form (7.1.1.1 of
// SMPP 3.4): at least a minute, at most 30 days; "" leaves it to the centre.
func validity(expires, now time.Time) string {
	if expires.IsZero() {
		return ""
	}
	left := min(max(expires.Sub(now), time.Minute), 30*24*time.Hour).Round(time.Second)
	s := int(left / time.Second)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", s/86400, s/3600%24, s/60%60, s%60)
}
