package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	maxAnswer  = 4 << 10 // of a push service's answer is read
	ourTrouble = 5 * time.Minute
	theirs     = 30 * time.Second
)

func accepted(provider string) connector.Outcome {
	return connector.Outcome{Result: connector.Accepted, ProviderID: provider}
}

func refused(class connector.Class, reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Refused, Class: class, Reason: reason}
}

func gone(why connector.Gone, reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Reason: reason, Gone: why}
}

func again(reason string, after time.Duration) connector.Outcome {
	return connector.Outcome{Result: connector.Again, Reason: reason, RetryAfter: after}
}

// outcomeOf says what a push service's answer means.
func outcomeOf(r *http.Response, now time.Time) connector.Outcome {
	said := readAnswer(r)
	reason := strconv.Itoa(r.StatusCode)
	if said.code != "" {
		reason += " " + said.code
	}
	switch code := r.StatusCode; {
	case code >= 200 && code < 300:
		id := r.Header.Get("Location")
		if len(id) > 256 {
			id = ""
		}
		return accepted(id)
	case said.code == "errno 102": // Mozilla: never was one
		return gone(connector.GoneInvalid, reason)
	case code == http.StatusGone, code == http.StatusNotFound:
		return gone(connector.GoneRemoved, reason)
	case said.otherKey:
		// The address stays: if the wrong key is configured, this is the answer for
		// all, and no mistake of ours may cost everybody their subscription.
		return refused(connector.ClassConfig, reason+": subscribed with another key")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		o := again(reason+": the key or the subject is not taken", max(ourTrouble, calls.RetryAfter(r.Header, now)))
		o.Class = connector.ClassConfig
		return o
	case code == http.StatusRequestEntityTooLarge:
		return refused(connector.ClassContent, reason)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout,
		code == http.StatusNotAcceptable, // Microsoft: throttled
		code >= 500:
		return again(reason, max(theirs, calls.RetryAfter(r.Header, now)))
	case code >= 300 && code < 400:
		return again(reason+": redirects are not followed", ourTrouble)
	}
	return refused(connector.ClassContent, reason)
}

// answer is what a push service says beside the status. Nothing else of it goes
// into reports.
type answer struct {
	code     string // Apple's ("BadJwtToken") or Mozilla's ("errno 109"); "" = none
	otherKey bool   // the browser subscribed with another key than ours
}

var code = regexp.MustCompile(`^[A-Za-z]{1,40}$`)

// otherKeys is how services say that: Google, Mozilla, Apple. It has no status
// of its own.
var otherKeys = regexp.MustCompile(`(?i)do not correspond to the credentials used to create|public key mismatch|VapidPkHashMismatch`)

func readAnswer(r *http.Response) answer {
	if r.StatusCode < 300 {
		return answer{}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		return answer{} // the status says enough
	}
	out := answer{otherKey: r.StatusCode < 500 && otherKeys.Match(body)}
	var said struct {
		Reason string `json:"reason"`
		Errno  int    `json:"errno"`
	}
	switch err := json.Unmarshal(body, &said); {
	case err != nil:
	case code.MatchString(said.Reason):
		out.code = said.Reason
	case said.Errno > 0 && said.Errno < 10_000:
		out.code = fmt.Sprintf("errno %d", said.Errno)
	}
	return out
}
