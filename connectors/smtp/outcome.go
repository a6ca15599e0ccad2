package main

import (
	"encoding/base64"
	"errors"
	"regexp"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// outcome says what an end means for the message.
func (e end) outcome(id string) connector.Outcome {
	o := connector.Outcome{ID: id}
	switch {
	case e.stage == taken:
		o.Result, o.ProviderID = connector.Accepted, queueID(e.reply.text)
	case e.stage == afterDot:
		o.Result, o.Reason = connector.Unknown, "the connection was lost after the message, before the answer"
	case e.reply.code == 0:
		o.Result, o.Reason, o.RetryAfter = connector.Again, "the connection was lost before the message", 10*time.Second
	case e.reply.code/100 == 5 && !unready(e):
		o.Result, o.Class = connector.Refused, class(e)
		o.Reason = e.reply.String() + " " + meaning(e, o.Class)
	default:
		o.Result, o.RetryAfter = connector.Again, later(e.reply)
		o.Reason = e.reply.String() + " not now"
		if unready(e) {
			o.Reason = e.reply.String() + " the relay wants encryption or a sign-in first"
		}
	}
	return o
}

// unready is a refusal of the connection, not of the message: nothing is wrong
// with what waits, and it goes out once the operator has set this right.
func unready(e end) bool {
	switch e.reply.code {
	case 530, 534, 535, 538: // sign in or encrypt first
		return true
	case 502, 503: // the relay does not know, or does not expect, the command
		return e.stage == sender
	}
	return false
}

// class sorts a refusal by RFC 3463, and where there is no enhanced code by
// RFC 5321. Without one a 550 can be anything, from an unknown mailbox to a
// blocked sender, so that it never costs anybody their address.
func class(e end) connector.Class {
	switch subject, detail := e.reply.enhanced[1], e.reply.enhanced[2]; subject {
	case 1: // addressing
		switch detail {
		case 7, 8: // of the sender
			return connector.ClassPolicy
		case 9: // message relayed to non-compliant mailer
			return connector.ClassOther
		}
		if e.stage == sender {
			return connector.ClassPolicy
		}
		return connector.ClassAddress
	case 2: // mailbox
		switch detail {
		case 1, 4: // disabled; mailing list
			return connector.ClassAddress
		case 2:
			return connector.ClassFull
		case 3:
			return connector.ClassContent
		}
		return connector.ClassOther
	case 3: // mail system
		switch detail {
		case 1:
			return connector.ClassFull
		case 4:
			return connector.ClassContent
		}
		return connector.ClassOther
	case 6: // content
		return connector.ClassContent
	case 7: // policy
		return connector.ClassPolicy
	case 4, 5:
		return connector.ClassOther
	}
	switch e.reply.code {
	case 551, 553:
		if e.stage == recipient {
			return connector.ClassAddress
		}
		return connector.ClassPolicy
	case 552:
		if e.stage == recipient {
			return connector.ClassFull
		}
		return connector.ClassContent
	case 554:
		return connector.ClassPolicy
	}
	if e.stage == content {
		return connector.ClassContent
	}
	return connector.ClassOther
}

// meaning puts a refusal into words. The relay's own may hold the address.
func meaning(e end, c connector.Class) string {
	switch c {
	case connector.ClassAddress:
		return "no such mailbox"
	case connector.ClassFull:
		return "the mailbox is full"
	case connector.ClassPolicy:
		if e.stage == sender {
			return "the relay does not want this sender"
		}
		return "refused by policy"
	case connector.ClassContent:
		if e.reply.enhanced == [3]int{5, 3, 4} {
			return "too large for the relay"
		}
		return "the message was refused"
	}
	return "refused"
}

// later says when a message may be tried again; 0 = the appliance decides.
func later(r reply) time.Duration {
	switch {
	case r.code == 421:
		return time.Minute // it shuts down, or has too many of us
	case r.enhanced == [3]int{4, 2, 2}:
		return time.Hour
	case r.code == 450 || r.code == 451:
		return 5 * time.Minute // greylisting wants a few
	case r.code/100 == 5:
		return 5 * time.Minute
	}
	return 0
}

// failed says what a connection that could not be had means for a message.
func failed(id string, err error) connector.Outcome {
	o := connector.Outcome{ID: id, Result: connector.Again, Reason: "no connection to the relay", RetryAfter: 30 * time.Second}
	var s *stepError
	if errors.As(err, &s) {
		o.Reason = "no connection to the relay: " + string(s.step)
		if s.reply.code != 0 {
			o.Reason += ": " + s.reply.String()
		}
		if s.step == "signing in" || s.step == "encrypting" {
			o.RetryAfter = 5 * time.Minute // until somebody sets it right
		}
	}
	return o
}

var queued = regexp.MustCompile(`(?i)queued (?:mail for delivery|as) ?([0-9A-Za-z._-]{4,64})`)

// queueID is the relay's name for a message, to find it in the relay's log. It
// is only ever shown.
func queueID(text string) string {
	if m := queued.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func encode(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decode(s string) ([]byte, error) { return base64.StdEncoding.DecodeString(s) }
