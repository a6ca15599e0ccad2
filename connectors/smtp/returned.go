package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// MailDomains implements connector.Returner.
func (s *smtp) MailDomains() []string {
	if s.c.marks == nil {
		return nil
	}
	return []string{s.c.marks.domain}
}

// Returned implements connector.Returner: it reads a bounce, a complaint or a
// wish to be left alone. What tells which message it is about is the address it
// came to, or, of the complaints that a provider sends to one address, a mark in
// the headers of the message that they are about; both cannot be made by others.
func (s *smtp) Returned(_ context.Context, m connector.Mail) ([]connector.Receipt, error) {
	if s.c.marks == nil {
		return nil, connector.ErrForged
	}
	r := readReport(m.Message)
	what, id, ok := s.c.marks.readAddress(m.To)
	if !ok {
		if r.feedback == "" && len(r.recipients) == 0 {
			return nil, connector.ErrForged
		}
		for _, hint := range r.hints {
			if id, ok = s.c.marks.find(hint); ok {
				break
			}
		}
		if !ok {
			return nil, connector.ErrForged
		}
		what = markBounce
	}
	one := connector.Receipt{MessageID: id, At: s.time().UTC().Truncate(time.Second)}
	if what == markUnsubscribe {
		// A bounce or an absence is no wish of the person's.
		if r.auto || m.From == "" || r.feedback != "" || len(r.recipients) > 0 {
			return nil, nil
		}
		one.Kind, one.Reason = connector.Unsubscribed, "by mail"
		return []connector.Receipt{one}, nil
	}
	if r.about(&one, m.From == "") {
		return []connector.Receipt{one}, nil
	}
	return nil, nil
}

// about fills in what a report says of its message; false if that is nothing
// that lasts: a delay, an absence, an answer. bare is whether it came without a
// sender, as what programs write must.
func (r *report) about(one *connector.Receipt, bare bool) bool {
	switch r.feedback {
	case "":
	case "abuse", "fraud", "virus", "other":
		one.Kind, one.Reason = connector.Complained, "marked as "+r.feedback
		return true
	case "opt-out", "opt-out-list":
		one.Kind, one.Reason = connector.Unsubscribed, "by the provider's button"
		return true
	default:
		return false // not-spam, auth-failure
	}
	delivered := false
	for _, x := range r.recipients {
		switch x.action {
		case "failed":
			one.Kind = connector.Bounced
			one.Class, one.Reason = bounce(x.status, x.diagnostic)
			return true
		case "delivered":
			delivered = true
		}
	}
	if len(r.recipients) > 0 {
		one.Kind = connector.Delivered
		return delivered
	}
	// Not by the standard: old programs write in plain words.
	if e, code := codes(r.text); r.failedTo || bare && !r.auto && (e[0] == 5 || code/100 == 5) {
		one.Kind = connector.Bounced
		one.Class, one.Reason = bounce("", r.text)
		return true
	}
	return false
}

// bounce sorts a failure by its status (RFC 3463) and by what the other server
// said: a status that says nothing (5.0.0) yields to the code in those words, and
// where there is none either, to the words that the common servers use.
func bounce(status, words string) (connector.Class, string) {
	e, _ := codes(status)
	said, code := codes(words)
	if e[0] == 0 || e[1] == 0 && said[1] != 0 {
		if e[0] == 0 || said[0] != 0 {
			e = said
		}
	}
	at := end{stage: recipient, reply: reply{code: code, enhanced: e}}
	if code == 0 {
		at.reply.code = 500 // of no meaning of its own
		if e[0] == 4 {
			at.reply.code = 400
		}
	}
	var c connector.Class
	switch {
	case e[0] == 4: // given up after days
		switch c = class(at); c {
		case connector.ClassAddress, connector.ClassContent:
			c = connector.ClassOther
		}
	case e[1] != 0:
		c = class(at)
		if e == [3]int{5, 4, 1} && contains(words, "access denied") {
			c = connector.ClassAddress // Exchange Online's unknown mailbox
		}
	default:
		c = byWords(words)
	}
	return c, reason(code, e, meaning(at, c))
}

// reason is without the other server's words, which hold the address.
func reason(code int, e [3]int, meaning string) string {
	var s []string
	if code != 0 {
		s = append(s, strconv.Itoa(code))
	}
	if e[0] != 0 {
		s = append(s, fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2]))
	}
	return strings.Join(append(s, meaning), " ")
}

// byWords sorts by the words of servers that give no code: those for a block
// first, since they also speak of recipients and addresses.
func byWords(words string) connector.Class {
	for _, x := range []struct {
		class connector.Class
		words []string
	}{
		{connector.ClassPolicy, []string{"spam", "blocked", "blacklist", "blocklist", "block list", "denylist", "reputation", "dmarc", "spf", "dkim", "policy", "not allowed", "relay"}},
		{connector.ClassFull, []string{"quota", "mailbox full", "mailbox is full", "insufficient storage", "over limit"}},
		{connector.ClassAddress, []string{
			"user unknown", "unknown user", "unknown recipient", "recipient unknown", "no such user", "no such recipient", "no such mailbox", "no mailbox here",
			"mailbox not found", "user not found", "recipient not found", "does not exist", "doesn't exist", "doesn't have a", "invalid recipient", "invalid mailbox",
			"mailbox unavailable or does not", "account has been disabled", "no longer available", "address unknown", "unrouteable address",
		}},
	} {
		for _, w := range x.words {
			if contains(words, w) {
				return x.class
			}
		}
	}
	return connector.ClassOther
}

// contains looks without regard to case, within what a diagnostic may have.
func contains(text, words string) bool {
	return strings.Contains(strings.ToLower(text[:min(len(text), 8<<10)]), words)
}
