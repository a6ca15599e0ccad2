package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	maxAnswer  = 4 << 10 // of an answer is read
	ourTrouble = 5 * time.Minute
	theirs     = 30 * time.Second
)

func refused(class connector.Class, reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Refused, Class: class, Reason: reason}
}

func again(reason string, after time.Duration) connector.Outcome {
	return connector.Outcome{Result: connector.Again, Reason: reason, RetryAfter: after}
}

// trouble is what the operator has to put right; the messages are in order.
func trouble(reason string, after time.Duration) connector.Outcome {
	o := again(reason, max(ourTrouble, after))
	o.Class = connector.ClassConfig
	return o
}

// outcomeOf says what a receiver's answer means. Nothing it says goes into
// reports but the status: what it wrote may be about the person.
func outcomeOf(r *http.Response, now time.Time) connector.Outcome {
	reason, asked := strconv.Itoa(r.StatusCode), calls.RetryAfter(r.Header, now)
	switch code := r.StatusCode; {
	case code >= 200 && code < 300:
		return connector.Outcome{Result: connector.Accepted}
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return trouble(reason+": the signature or a header is not taken", asked)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return again(reason, max(theirs, asked))
	case code >= 300 && code < 400:
		return trouble(reason+": redirects are not followed", 0)
	case code == http.StatusNotFound, code == http.StatusGone, code == http.StatusMethodNotAllowed, code == http.StatusUnsupportedMediaType:
		return trouble(reason+": nothing takes messages there", 0)
	}
	return refused(connector.ClassContent, reason)
}
