package main

import (
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// nowhere is a provider that is not asked.
var nowhere = &httptest.Server{URL: "https://api.twilio.example"}

func TestTwilioSends(t *testing.T) {
	faults := map[string]int{}
	want := map[string]connector.Outcome{"+4915112345678": {Result: connector.Accepted}}
	n := 0
	fault := func(code int, o connector.Outcome) {
		n++
		to := "+49151999" + string(rune('0'+n/10)) + string(rune('0'+n%10)) + "00"
		faults[to], want[to] = code, o
	}
	fault(21211, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress})
	fault(21610, connector.Outcome{Result: connector.Refused, Class: connector.ClassPolicy})
	fault(21617, connector.Outcome{Result: connector.Refused, Class: connector.ClassContent})
	fault(21606, connector.Outcome{Result: connector.Again, Class: connector.ClassConfig})
	fault(20429, connector.Outcome{Result: connector.Again, RetryAfter: 5 * time.Second})
	fault(99999, connector.Outcome{Result: connector.Refused, Class: connector.ClassOther})
	fault(30008, connector.Outcome{Result: connector.Refused, Class: connector.ClassFull}) // by the settings
	api := newTwilio(t, faults)
	s := configured(t, api.settings(connector.Settings{"errors": map[string]string{"30008": "full"}, "callback": "https://engage.example/receipts/acme/sms"}))
	must(t, s.Check(t.Context()))
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	for to, w := range want {
		m := sms("m-1")
		m.To = to
		o := send(t, s, m)[0]
		if w.Result == connector.Accepted && (len(o.ProviderID) != 34 || o.ProviderID[:2] != "SM") {
			t.Errorf("%+v", o)
		}
		o.ID, o.ProviderID, o.Reason = "", "", ""
		if o != w {
			t.Errorf("%d: %+v, want %+v", faults[to], o, w)
		}
	}
	all := api.all()
	slices.SortFunc(all, func(a, b asked) int { return len(a.method) - len(b.method) })
	form := all[len(all)-1].form
	form.Del("To")
	if fields := (url.Values{"Body": {"Hello"}, "From": {"+15005550006"}, "StatusCallback": {"https://engage.example/receipts/acme/sms?message=m-1"}}); !maps.EqualFunc(form, fields, slices.Equal) {
		t.Errorf("%v", form)
	}
}

// A messaging service chooses the sender, an API key signs in, and a message
// that is of no use later says so, as far as Twilio can be told.
func TestTwilioService(t *testing.T) {
	api := newTwilio(t, nil)
	const key, service = "SK0123456789abcdef0123456789abcdef", "MG0123456789abcdef0123456789abcdef"
	api.user, api.password = key, "s3cret"
	set := api.settings(connector.Settings{"key": key, "key_secret": "s3cret", "service": service})
	delete(set, "sender")
	s := configured(t, set)
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	m := sms("1")
	m.Expires = now.Add(48 * time.Hour)
	if o := send(t, s, m)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	want := url.Values{"To": {m.To}, "Body": {"Hello"}, "MessagingServiceSid": {service}, "ValidityPeriod": {"36000"}}
	if got := api.one(t).form; !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v", got)
	}
	api.password = "another"
	if o := send(t, s, sms("2"))[0]; o.Result != connector.Again || o.Class != connector.ClassConfig {
		t.Errorf("%+v", o)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("signed in with the wrong secret")
	}
}
