package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// verdict is what an answer means.
type verdict struct {
	out connector.Outcome
	// expired: the provider token is too old.
	expired bool
	// all: every other message would fare the same.
	all bool
}

// judge reads an answer. since is when the address was registered, zero if unknown.
func judge(a calls.Answer, since time.Time) verdict {
	if a.Status == http.StatusOK {
		return verdict{out: connector.Outcome{Result: connector.Accepted, ProviderID: a.Header.Get("apns-id")}}
	}
	var p struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp"` // milliseconds
	}
	_ = json.Unmarshal(a.Body, &p) // what is not JSON came from somebody in between
	reason := "Apple: " + strconv.Itoa(a.Status)
	if p.Reason != "" {
		reason += " " + p.Reason
	}
	switch p.Reason {
	case "BadDeviceToken", "DeviceTokenNotForTopic":
		return verdict{out: gone(connector.GoneInvalid, reason)}
	case "Unregistered", "ExpiredToken":
		if p.Timestamp > 0 && since.After(time.UnixMilli(p.Timestamp)) {
			return verdict{out: refused(connector.ClassOther, reason+": before the device registered again")}
		}
		if p.Reason == "ExpiredToken" {
			return verdict{out: gone(connector.GoneStale, reason)}
		}
		return verdict{out: gone(connector.GoneRemoved, reason)}
	case "PayloadTooLarge", "PayloadEmpty", "BadCollapseId", "BadExpirationDate", "BadPriority", "BadMessageId":
		return verdict{out: refused(connector.ClassContent, reason)}
	case "ExpiredProviderToken":
		return verdict{out: misconfigured(reason), expired: true, all: true}
	case "InvalidProviderToken", "MissingProviderToken", "BadCertificate", "BadCertificateEnvironment", "Forbidden",
		"BadTopic", "MissingTopic", "TopicDisallowed", "InvalidPushType", "BadPath", "MethodNotAllowed",
		"BadEnvironmentKeyIdInToken", "BadEnvironmentKeyInToken", "UnrelatedKeyIdInToken":
		return verdict{out: misconfigured(reason), all: true}
	case "TooManyProviderTokenUpdates":
		return verdict{out: again(reason, leastAge/2), all: true}
	case "TooManyRequests": // to this device
		return verdict{out: again(reason, time.Minute)}
	case "ServiceUnavailable", "Shutdown", "InternalServerError", "IdleTimeout":
		return verdict{out: again(reason, 0)}
	}
	switch {
	case a.Status == http.StatusGone:
		return verdict{out: gone(connector.GoneRemoved, reason)}
	case a.Status == http.StatusRequestEntityTooLarge:
		return verdict{out: refused(connector.ClassContent, reason)}
	case a.Status == http.StatusForbidden:
		return verdict{out: misconfigured(reason), all: true}
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable:
		return verdict{out: again(reason, 0)}
	case a.Status/100 == 5:
		// Somebody between answered for Apple, who may have it.
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
