package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Statuses that are named here (SMPP 3.4, 5.1.3).
const (
	statusUnknownCommand = 0x03
	statusNotBound       = 0x04
	statusBound          = 0x05
	statusSystemError    = 0x08
	statusQueueFull      = 0x14
	statusThrottled      = 0x58
	statusTemporary      = 0x64
	statusPermanent      = 0x65
)

// What a status can mean for a message, as the setting statuses names it: the
// classes of refusals, and these.
const (
	meansAgain = "again"
	meansSlow  = "throttled"
)

// meaning is what a status means.
type meaning struct {
	means string
	words string
}

// statuses are the meanings of what messages are answered with. What is not
// here is refused as "other".
var statuses = map[uint32]meaning{
	0x01: {"content", "the message has a length that it does not take"},
	0x02: {"other", "the unit has a length that it does not take"},
	0x03: {"config", "it does not know the command"},
	0x04: {meansAgain, "the session is not bound for sending"},
	0x06: {"config", "it does not take this priority"},
	0x07: {"config", "it does not take requests for receipts"},
	0x08: {meansAgain, "an error in the message centre"},
	0x0a: {"policy", "it does not take this sender"},
	0x0b: {"address", "no such number"},
	0x14: {meansSlow, "its queue is full"},
	0x15: {"config", "it does not take this service_type"},
	0x43: {"config", "it does not take this esm_class: perhaps another way for long texts"},
	0x45: {"other", "it could not take the message"},
	0x48: {"config", "it does not take the sender's type of number"},
	0x49: {"config", "it does not take the sender's numbering plan"},
	0x50: {"config", "it does not take the number's type"},
	0x51: {"config", "it does not take the number's numbering plan"},
	0x53: {"config", "it does not take this system_type"},
	0x58: {meansSlow, "too many messages a second"},
	0x62: {"config", "it does not take this validity"},
	0x64: {meansAgain, "an error that passes"},
	0x65: {"other", "an error that stays"},
	0x66: {"other", "refused"},
	0xc0: {"config", "it does not take the optional parameters"},
	0xc1: {"config", "it does not take one of the optional parameters"},
	0xc2: {"config", "an optional parameter has a length that it does not take"},
	0xc3: {"content", "an optional parameter is missing"},
	0xc4: {"content", "an optional parameter has a value that it does not take"},
	0xfe: {"other", "the delivery failed"},
	0xff: {"other", "an unknown error"},
	// 5.0:
	0x100: {"policy", "this service is not open to us"},
	0x101: {"policy", "the operation is forbidden"},
	0x102: {meansAgain, "the service is not there just now"},
	0x103: {"policy", "the service is denied"},
	0x104: {"content", "it does not take this data_coding"},
}

// statusText is a status for the operator.
func statusText(status uint32) string {
	words := map[uint32]string{
		statusBound: "bound already, or the account has no more sessions", 0x0d: "it refuses to bind", 0x0e: "the password is wrong", 0x0f: "it does not know this system_id",
	}[status]
	if words == "" {
		words = statuses[status].words
	}
	if words == "" {
		words = "an error of its own"
	}
	return fmt.Sprintf("0x%02x %s", status, words)
}

// means is what a status means here, by the settings first.
func (c *config) means(status uint32) string {
	if m, ok := c.statuses[status]; ok {
		return m
	}
	if m, ok := statuses[status]; ok {
		return m.means
	}
	return "other"
}

// again is an outcome of a message of which nothing was sent.
func again(id, reason string, after time.Duration) connector.Outcome {
	return connector.Outcome{ID: id, Result: connector.Again, Reason: reason, RetryAfter: after}
}

// refused is the outcome of a message that the message centre, or we, do not want.
func refused(id string, class connector.Class, reason string) connector.Outcome {
	return connector.Outcome{ID: id, Result: connector.Refused, Class: class, Reason: reason}
}

// answered says what a status other than success means for a message of which
// nothing was taken yet.
func (c *config) answered(id string, status uint32) connector.Outcome {
	reason := statusText(status)
	switch m := c.means(status); m {
	case meansAgain:
		return again(id, reason, 30*time.Second)
	case meansSlow:
		return again(id, reason, 5*time.Second)
	default:
		return refused(id, connector.Class(m), reason)
	}
}

// unsent says why a message was not even begun.
func unsent(id string, err error) connector.Outcome {
	var down *downError
	if errors.As(err, &down) {
		reason := "no session with the message centre"
		var r *bindError
		if errors.As(err, &r) {
			reason = "the bind is refused: " + statusText(r.status)
		}
		return again(id, reason, max(down.again, time.Second))
	}
	return again(id, "out of time", 5*time.Second)
}
