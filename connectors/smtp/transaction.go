package main

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// end is how a message ended.
type end struct {
	stage stage
	reply reply // zero if the connection failed
	err   error
}

// stage is how far a message came.
type stage int

const (
	beforeData stage = iota // MAIL, RCPT or DATA: nothing of it was sent
	sender                  // refused at MAIL
	recipient               // refused at RCPT
	content                 // refused at DATA, or after it
	afterDot                // all was sent; the answer was lost
	taken
)

// carry hands over one message, and opens the next behind its last byte, so that
// a message costs one way to the relay and back (RFC 2920). Only one message is
// ever on its way as a whole: were several, as CHUNKING allows, a lost connection
// would leave all of them unknown. next gives a message without waiting, or nil;
// what it gave is returned, open on this connection, or, after an error, not
// begun: the connection is then of no more use.
func (k *conn) carry(ctx context.Context, e *envelope, opened bool, next func() *job) (end, *job) {
	if !opened {
		if big := k.tooLarge(e); big != nil {
			return *big, nil
		}
	}
	k.sent++
	pipelined := k.can("PIPELINING")
	var answers [3]reply
	var err error
	if pipelined {
		if !opened {
			k.open(e)
			if _, err = k.flush(ctx); err != nil {
				return end{err: err}, nil
			}
		}
		k.until(ctx)
		for i := range answers {
			if answers[i], err = k.read(); err != nil {
				return end{err: err}, nil
			}
		}
	} else {
		for i, line := range [...]string{k.mail(e), k.rcpt(e), "DATA"} {
			k.until(ctx)
			if answers[i], err = k.command(line); err != nil {
				return end{err: err}, nil
			}
			if !answers[i].ok() && answers[i].code != 354 {
				break // the rest would be refused for this
			}
		}
	}
	result, wanted := opening(answers)
	last := 0 // of k.out, after which the message counts
	switch {
	case wanted:
		k.out = append(k.out, e.data...)
		last = len(k.out)
	case answers[2].code == 354:
		k.out = append(k.out, ".\r\n"...) // it wants a message all the same, to nobody
	case answers[0].ok():
		k.out = append(k.out, "RSET\r\n"...)
	}
	var after *job
	if pipelined && result.reply.code != 421 {
		if after = next(); after != nil {
			k.open(after.e)
		}
	}
	if len(k.out) == 0 {
		return result, nil
	}
	owed := wanted || answers[2].code == 354 || answers[0].ok() // an answer to what is not the next one's
	n, err := k.flush(ctx)
	if err != nil {
		if wanted && n < last {
			return end{err: err}, after // without its dot a message does not count
		}
		if wanted {
			return end{stage: afterDot, err: err}, after
		}
		result.err = err
		return result, after
	}
	if !owed {
		return result, after
	}
	k.until(ctx)
	r, err := k.read()
	switch {
	case err != nil && wanted:
		return end{stage: afterDot, err: err}, after
	case err != nil:
		result.err = err
		return result, after
	case !wanted:
		return result, after
	case !r.ok():
		result = end{stage: content, reply: r}
	default:
		result = end{stage: taken, reply: r}
	}
	k.used = time.Now()
	return result, after
}

// opening says what the answers to an envelope mean; wanted is whether the
// message is to follow.
func opening(answers [3]reply) (e end, wanted bool) {
	for i, at := range []stage{sender, recipient} {
		if !answers[i].ok() {
			return end{stage: at, reply: answers[i]}, false
		}
	}
	if answers[2].code != 354 {
		return end{stage: content, reply: answers[2]}, false
	}
	return end{}, true
}

// open puts an envelope into what is written next.
func (k *conn) open(e *envelope) {
	k.out = append(k.out, k.mail(e)...)
	k.out = append(k.out, "\r\n"...)
	k.out = append(k.out, k.rcpt(e)...)
	k.out = append(k.out, "\r\nDATA\r\n"...)
}

// mail and rcpt ask, of a relay that can (RFC 3461), that a bounce names the
// message and holds no more of it than its headers. Nothing is asked about delays:
// nobody would do anything about them.
func (k *conn) mail(e *envelope) string {
	line := "MAIL FROM:<" + e.from + ">"
	if k.can("DSN") {
		line += " RET=HDRS"
		if e.id != "" {
			line += " ENVID=" + e.id
		}
	}
	return line
}

func (k *conn) rcpt(e *envelope) string {
	line := "RCPT TO:<" + e.to + ">"
	if k.can("DSN") {
		line += " NOTIFY=FAILURE ORCPT=rfc822;" + xtext.Replace(e.to)
	}
	return line
}

// xtext writes what RFC 3461 does not allow as it is, of what addresses have.
var xtext = strings.NewReplacer("+", "+2B", "=", "+3D")

func (k *conn) can(what string) bool {
	_, ok := k.ext[what]
	return ok
}

// tooLarge is the relay's answer to what is larger than it says it takes.
func (k *conn) tooLarge(e *envelope) *end {
	if limit, err := strconv.Atoi(k.ext["SIZE"]); err == nil && limit > 0 && e.size > limit {
		return &end{stage: content, reply: reply{code: 552, enhanced: [3]int{5, 3, 4}}}
	}
	return nil
}

// maxKept is how large a buffer a connection keeps.
const maxKept = 256 << 10

// flush writes what there is and says how much of it the relay may have.
func (k *conn) flush(ctx context.Context) (int, error) {
	k.until(ctx)
	n, err := k.nc.Write(k.out)
	if k.out = k.out[:0]; cap(k.out) > maxKept {
		k.out = nil
	}
	return n, err
}
