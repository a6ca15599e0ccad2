package main

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's own choice; as a MAC it holds
	"encoding/base64"
	"maps"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// twilio is the account that callbacks are signed by.
type twilio struct{ token string }

// twilioErrors are the codes of Twilio's dictionary that are about a message, or
// pass; in answers and in callbacks.
// https://www.twilio.com/docs/api/errors
var twilioErrors = map[string]string{
	"21211": "address", "21217": "address", "21614": "address", "21635": "address", "30005": "address", "30006": "address",
	"30003": "full", "30017": "full", "30410": "full",
	"21265": "policy", "21408": "policy", "21610": "policy", "21612": "policy", "30004": "policy", "30007": "policy",
	"30024": "policy", "30032": "policy", "30034": "policy",
	"21602": "content", "21605": "content", "21617": "content", "21619": "content", "30019": "content",
	"14107": meansThrottled, "20429": meansThrottled, "21611": meansThrottled, "30001": meansThrottled, "30022": meansThrottled, "63038": meansAgain,
	"20003": "config", "20404": "config", "21212": "config", "21601": "config", "21603": "config", "21606": "config", "21608": "config",
	"21609": "config", "21659": "config", "21660": "config", "21701": "config", "21703": "config", "21705": "config", "30002": "config",
}

// readTwilio makes Twilio's request and answers of the block.
func (c *config) readTwilio(set connector.Settings, p *complaints) {
	account, service, callback := set.Text("account"), set.Text("service"), set.Text("callback")
	base := strings.TrimSuffix(set.Text("url"), "/")
	if base == "" {
		base = "https://api.twilio.com"
	}
	if !regexp.MustCompile(`^https?://[^/{}@?#]+(/[^{}?#]*)?$`).MatchString(base) {
		p.bad("not a URL", "Leave it out to reach Twilio itself.", "twilio", "url")
		return
	}
	if c.sender == "" && service == "" {
		p.bad("nobody to send as", "Write sender, a number of the account's, or service in twilio {}, a messaging service.", "twilio")
	}
	c.twilio = &twilio{token: set.Text("token")}
	r := &c.request
	r.method, r.maxTTL = "POST", 36000 // Twilio's ValidityPeriod ends there
	root := base + "/2010-04-01/Accounts/" + url.PathEscape(account)
	r.url, r.check = target{path: text{root + "/Messages.json"}}, root+"/Messages.json?PageSize=1"
	r.user, r.password, r.basic = account, c.twilio.token, true
	if key := set.Text("key"); key != "" {
		r.user, r.password = key, set.Text("key_secret")
		if r.password == "" {
			p.bad("no secret of the key", "Write key_secret, or leave out key.", "twilio", "key")
		}
	}
	r.form = []field{
		{"To", text{"", "to", ""}}, {"Body", text{"", "text", ""}}, {"From", text{"", "sender", ""}},
		{"ValidityPeriod", text{"", "ttl", ""}},
	}
	if service != "" {
		r.form = append(r.form, field{"MessagingServiceSid", text{service}})
	}
	if callback != "" {
		u, err := url.Parse(callback)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			p.bad("not a URL", "Write what `cloister connector list` shows: https://engage.acme.example/receipts/PUBLISHER/NAME.", "twilio", "callback")
		}
		r.form = append(r.form, field{"StatusCallback", text{callback + "?message=", "id", ""}})
	}
	c.response.id, c.response.status = path{"sid"}, path{"code"}
	c.response.values = maps.Clone(twilioErrors)
	maps.Copy(c.response.values, p.meanings(set, append([]string{meansAgain, meansThrottled}, classes...), "twilio", "errors"))
}

// fromTwilio reads a callback: what became of a message, or what a person wrote.
func (c *config) fromTwilio(w connector.Webhook, u *url.URL, now time.Time) (connector.Answer, error) {
	form := url.Values{}
	if kind, _, _ := mime.ParseMediaType(header(w, "Content-Type")); w.Method == "POST" && kind == "application/x-www-form-urlencoded" {
		var err error
		if form, err = url.ParseQuery(string(w.Body)); err != nil {
			return connector.Answer{}, connector.ErrForged
		}
	}
	if !c.twilio.signed(header(w, "X-Twilio-Signature"), w.URL, form) {
		return connector.Answer{}, connector.ErrForged
	}
	query := u.Query()
	if w.Method == "GET" { // Twilio can be told to call so, and then signs the query
		form = query
	}
	a := connector.Answer{Headers: []connector.Header{{Name: "Content-Type", Value: "text/xml; charset=utf-8"}}, Body: []byte("<Response/>")} // nobody is written back to
	var r connector.Receipt
	ok := false
	status, code := form.Get("MessageStatus"), form.Get("ErrorCode")
	switch {
	case form.Get("OptOutType") == "STOP":
		r, ok = c.wrote(form.Get("From"), "")
		r.Kind = connector.Unsubscribed
	case form.Get("OptOutType") == "START":
		r, ok = c.wrote(form.Get("From"), "")
		r.Kind = connector.Subscribed
	case status == "" && form.Has("Body"):
		r, ok = c.wrote(form.Get("From"), form.Get("Body"))
	default:
		r.MessageID, r.ProviderID = query.Get("message"), short(form.Get("MessageSid"))
		switch status {
		case "delivered", "read":
			r, ok = c.outcome(r, meansDelivered, "")
		case "undelivered", "failed":
			means := c.response.values[code]
			if !slices.Contains(classes, means) {
				means = "other"
			}
			r, ok = c.outcome(r, means, strings.TrimSuffix("Twilio: "+status+" "+anonymous(code), " "))
		}
	}
	if ok {
		r.At = now
		a.Receipts = []connector.Receipt{r}
	}
	return a, nil
}

// signed checks X-Twilio-Signature: HMAC-SHA1, by the account's token, of the URL
// and the form's names and values in the order of the names.
// https://www.twilio.com/docs/usage/security#validating-requests
// Twilio signs with the port or without: either is right.
func (t *twilio) signed(given, called string, form url.Values) bool {
	got, err := base64.StdEncoding.DecodeString(given)
	if err != nil || t.token == "" {
		return false
	}
	scheme, rest, _ := strings.Cut(called, "://")
	authority, rest, slash := strings.Cut(rest, "/")
	if slash {
		rest = "/" + rest
	}
	host, port := authority, map[string]string{"https": ":443", "http": ":80"}[scheme]
	if at := strings.LastIndexByte(authority, ':'); at > strings.LastIndexByte(authority, ']') {
		host, port = authority[:at], authority[at:]
	}
	for _, as := range []string{host, host + port} {
		if hmac.Equal(got, t.sign(scheme+"://"+as+rest, form)) {
			return true
		}
	}
	return false
}

func (t *twilio) sign(url string, form url.Values) []byte {
	mac := hmac.New(sha1.New, []byte(t.token))
	mac.Write([]byte(url))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		all := slices.Sorted(slices.Values(form[name]))
		for _, v := range slices.Compact(all) {
			mac.Write([]byte(name))
			mac.Write([]byte(v))
		}
	}
	return mac.Sum(nil)
}
