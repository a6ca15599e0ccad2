package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	// leastQuota is waited after QUOTA_EXCEEDED that does not say how long.
	leastQuota = time.Minute
	// idle is after how long FCM forgets a token that is not used.
	idle = 270 * 24 * time.Hour
)

// problem is the body of an answer that is not 200.
type problem struct {
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			Type       string `json:"@type"`
			Code       string `json:"errorCode"`
			Violations []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"`
		} `json:"details"`
	} `json:"error"`
}

const (
	typeFCM     = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
	typeRequest = "type.googleapis.com/google.rpc.BadRequest"
)

// code is FCM's own error code, "" if the answer has none.
func (p problem) code() string {
	for _, d := range p.Error.Details {
		if d.Type == typeFCM {
			return d.Code
		}
	}
	return ""
}

// fault is what is wrong with a request.
type fault int

const (
	faultUnclear fault = iota
	faultToken
	faultContent
)

// fault says what an INVALID_ARGUMENT is about, where FCM tells.
func (p problem) fault() fault {
	f := faultUnclear
	for _, d := range p.Error.Details {
		if d.Type != typeRequest {
			continue
		}
		for _, v := range d.Violations {
			if v.Field != "message.token" {
				return faultContent
			}
			f = faultToken
		}
	}
	return f
}

// verdict is what an answer means: an outcome, or what must be done first.
type verdict struct {
	out connector.Outcome
	// signIn: the access token was refused.
	signIn bool
	// all: every other message would fare the same.
	all bool
	// unclear: token or content is at fault, FCM does not say which.
	unclear bool
}

// judge reads an answer. since is when the address was registered, zero if unknown.
func judge(a calls.Answer, since, now time.Time) verdict {
	if a.Status == http.StatusOK {
		var ok struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(a.Body, &ok) // without a name it was accepted all the same
		return verdict{out: connector.Outcome{Result: connector.Accepted, ProviderID: ok.Name[strings.LastIndexByte(ok.Name, '/')+1:]}}
	}
	var p problem
	_ = json.Unmarshal(a.Body, &p) // what is not JSON came from somebody in between
	code := p.code()
	asked := calls.RetryAfter(a.Header, now)
	reason := "FCM: " + strconv.Itoa(a.Status)
	if code != "" {
		reason += " " + code
	}
	switch code {
	case "UNREGISTERED":
		g := connector.GoneRemoved
		if !since.IsZero() && now.Sub(since) > idle {
			g = connector.GoneStale
		}
		return verdict{out: gone(g, reason)}
	case "SENDER_ID_MISMATCH":
		return verdict{out: gone(connector.GoneInvalid, reason)}
	case "QUOTA_EXCEEDED":
		return verdict{out: again(reason, max(asked, leastQuota))}
	case "UNAVAILABLE", "INTERNAL":
		return verdict{out: again(reason, asked)}
	case "THIRD_PARTY_AUTH_ERROR":
		return verdict{out: misconfigured(reason + ": Firebase cannot sign in to Apple or the browser's push service")}
	}
	switch {
	case a.Status == http.StatusBadRequest:
		switch p.fault() {
		case faultToken:
			return verdict{out: gone(connector.GoneInvalid, reason)}
		case faultContent:
			return verdict{out: refused(connector.ClassContent, reason)}
		}
		return verdict{out: refused(connector.ClassContent, reason), unclear: code == "INVALID_ARGUMENT"}
	case a.Status == http.StatusUnauthorized:
		return verdict{out: misconfigured(reason + ": the access token was refused"), signIn: true, all: true}
	case a.Status == http.StatusForbidden:
		return verdict{out: misconfigured(reason + ": the service account may not send in this project"), all: true}
	case a.Status == http.StatusNotFound:
		return verdict{out: misconfigured(reason + ": there is no such project"), all: true}
	case a.Status == http.StatusTooManyRequests:
		return verdict{out: again(reason, max(asked, leastQuota))}
	case a.Status == http.StatusServiceUnavailable, a.Status/100 == 5 && p.Error.Status != "":
		return verdict{out: again(reason, asked)}
	case a.Status/100 == 5:
		// Somebody between answered for FCM, which may have it.
		return verdict{out: connector.Outcome{Result: connector.Unknown, Reason: reason}}
	}
	return verdict{out: refused(connector.ClassOther, reason)}
}

func gone(g connector.Gone, reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: g, Reason: reason}
}

func refused(c connector.Class, reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Refused, Class: c, Reason: reason}
}

func again(reason string, after time.Duration) connector.Outcome {
	return connector.Outcome{Result: connector.Again, Reason: reason, RetryAfter: after}
}

// misconfigured is what waits until somebody sets it right.
func misconfigured(reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, Reason: reason}
}
