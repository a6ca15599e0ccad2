package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// What a provider's words can mean, as the settings write it: the classes of
// refusals, and these.
const (
	meansAccepted  = "accepted"
	meansAgain     = "again"
	meansThrottled = "throttled"
	meansUnknown   = "unknown"
	meansDelivered = "delivered" // in callbacks
	meansNothing   = "nothing"   // in callbacks
)

var classes = []string{"address", "full", "policy", "content", "config", "other"}

// path leads into a document: names of members and numbers of elements, from 0.
type path []string

func parsePath(s string) path {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

// at gives what a path leads to in a document, if that is there.
func (p path) at(doc any) (any, bool) {
	for _, name := range p {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[name]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(d) {
				return nil, false
			}
			doc = d[n]
		default:
			return nil, false
		}
	}
	return doc, doc != nil
}

// text gives a text, number or truth value as text.
func (p path) text(doc any) (string, bool) {
	v, ok := p.at(doc)
	switch v := v.(type) {
	case string:
		return v, ok && v != ""
	case json.Number:
		return v.String(), ok
	case bool:
		return strconv.FormatBool(v), ok
	}
	return "", false
}

// document reads JSON, keeping numbers as they are written. Nil means that it is none.
func document(body []byte) any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var doc any
	if d.Decode(&doc) != nil {
		return nil
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil
	}
	return doc
}

// response is what the provider's answers mean.
type response struct {
	id, status path           // in JSON
	pattern    *regexp.Regexp // nil = JSON
	values     map[string]string
	statuses   map[int]string // by HTTP status, before what it means by itself
}

// find gives the id and status of an answer, as far as they are there. fits says
// whether the answer looks as the settings say that one does.
func (r *response) find(body []byte) (id, status string, fits bool) {
	if r.pattern != nil {
		found := r.pattern.FindSubmatch(body)
		if found == nil {
			return "", "", false
		}
		group := func(name string) string {
			if i := r.pattern.SubexpIndex(name); i >= 0 {
				return string(found[i])
			}
			return ""
		}
		return group("id"), group("status"), true
	}
	doc := document(body)
	fits = true
	if r.id != nil {
		id, fits = r.id.text(doc)
	}
	if r.status != nil {
		status, _ = r.status.text(doc)
	}
	return id, status, fits
}

// strict says whether a message is only accepted if the answer says so by a value.
func (r *response) strict() bool {
	for _, m := range r.values {
		if m == meansAccepted {
			return true
		}
	}
	return false
}

// judge says what an answer means; all, that every other message would fare the same.
func (r *response) judge(a answer, now time.Time) (out connector.Outcome, all bool) {
	id, status, fits := r.find(a.body)
	reason := "HTTP " + strconv.Itoa(a.status)
	if status != "" {
		reason += ", " + anonymous(status)
	}
	asked := calls.RetryAfter(a.header, now)
	good := a.status/100 == 2
	means, told := r.values[status]
	if !told || status == "" {
		means, told = r.statuses[a.status]
	}
	switch {
	case told:
	case good && r.strict() && status != "":
		means = "other"
	case good && (r.strict() || !fits):
		means, reason = meansUnknown, reason+", and an answer that does not look like the provider's"
	case good:
		means = meansAccepted
	default:
		means, _ = httpMeans(a.status)
	}
	if means == string(connector.ClassConfig) {
		_, all = httpMeans(a.status)
	}
	switch means {
	case meansAccepted:
		return connector.Outcome{Result: connector.Accepted, ProviderID: short(id)}, false
	case meansAgain:
		return again(reason, asked), false
	case meansThrottled:
		return again(reason, max(asked, 5*time.Second)), false
	case meansUnknown:
		return connector.Outcome{Result: connector.Unknown, Reason: reason}, false
	case string(connector.ClassConfig):
		return connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, Reason: reason, RetryAfter: asked}, all
	}
	return refused(connector.Class(means), reason), false
}

// httpMeans is what a status that is not 2xx means where the settings do not say
// so; all, that it is about us and not about the message.
func httpMeans(status int) (means string, all bool) {
	switch status {
	case http.StatusTooManyRequests, http.StatusTooEarly:
		return meansThrottled, false
	case http.StatusServiceUnavailable, http.StatusRequestTimeout:
		return meansAgain, false
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusUnsupportedMediaType:
		return string(connector.ClassConfig), true
	case http.StatusRequestEntityTooLarge:
		return string(connector.ClassContent), false
	}
	switch status / 100 {
	case 3:
		return string(connector.ClassConfig), true
	case 4:
		return string(connector.ClassOther), false
	}
	return meansUnknown, false
}

// short is an id that fits; a longer one is of no use cut.
func short(id string) string {
	if len(id) > 256 {
		return ""
	}
	return id
}

var personal = regexp.MustCompile(`[0-9][0-9 ().-]{5,}[0-9]|\S+@\S+`)

// anonymous is a provider's word for reports: short, and without what could be
// a number or an address.
func anonymous(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, personal.ReplaceAllString(s, "…"))
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "")
	}
	return s
}

func refused(c connector.Class, reason string) connector.Outcome {
	return connector.Outcome{Result: connector.Refused, Class: c, Reason: reason}
}

func again(reason string, after time.Duration) connector.Outcome {
	return connector.Outcome{Result: connector.Again, Reason: reason, RetryAfter: after}
}
