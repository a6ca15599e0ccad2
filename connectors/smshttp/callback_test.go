package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

const testSecret = "0123456789abcdef"

func signing(body string) []byte {
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(body))
	return mac.Sum(nil)
}

func withCallbacks(t testing.TB, more connector.Settings) *smshttp {
	t.Helper()
	block := connector.Settings{
		"secret": testSecret, "message": "ref", "id": "msg.id", "status": "msg.status", "from": "from", "text": "text",
		"values": map[string]string{"1": "delivered", "2": "address", "8": "nothing", "FAILED": "content"},
	}
	for k, v := range more {
		block[k] = v
	}
	return configured(t, generic("https://api.provider.example", connector.Settings{"callbacks": block, "country_code": "91"}))
}

func TestCallbacks(t *testing.T) {
	s := withCallbacks(t, nil)
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	flat := connector.Settings{"auth": "path", "id": "id", "status": "status"}
	for _, c := range []struct {
		name string
		more connector.Settings
		url  string // behind the connector's address
		kind string // "" = JSON
		body string
		want []connector.Receipt
	}{
		{name: "delivered", body: `{"ref":"m1","msg":{"id":77,"status":"Delivered"}}`, want: []connector.Receipt{{MessageID: "m1", ProviderID: "77", Kind: connector.Delivered}}},
		{name: "by a value of its own", body: `{"msg":{"id":"a","status":1}}`, want: []connector.Receipt{{ProviderID: "a", Kind: connector.Delivered}}},
		{name: "no such number", body: `{"msg":{"id":"a","status":2}}`, want: []connector.Receipt{{ProviderID: "a", Kind: connector.Bounced, Class: connector.ClassAddress, Reason: "the provider: 2"}}},
		{name: "the settings know better than the usual", body: `{"msg":{"id":"a","status":"FAILED"}}`, want: []connector.Receipt{{ProviderID: "a", Kind: connector.Bounced, Class: connector.ClassContent, Reason: "the provider: FAILED"}}},
		{name: "the usual", body: `{"msg":{"id":"a","status":"EXPIRED"}}`, want: []connector.Receipt{{ProviderID: "a", Kind: connector.Bounced, Class: connector.ClassFull, Reason: "the provider: EXPIRED"}}},
		{name: "on its way", body: `{"msg":{"id":"a","status":8}}`},
		{name: "a status that nobody knows", body: `{"msg":{"id":"a","status":"ENROUTE"}}`},
		{name: "about nothing", body: `{"msg":{"status":"delivered"}}`},
		{name: "what is not read", body: `nonsense`},
		{name: "several", body: `[{"ref":"m1","msg":{"status":1}},{"from":"+919812345678","text":"STOP"},5,null,{"ref":"m2","msg":{"status":2}}]`, want: []connector.Receipt{
			{MessageID: "m1", Kind: connector.Delivered}, {Address: "+919812345678", Kind: connector.Unsubscribed},
			{MessageID: "m2", Kind: connector.Bounced, Class: connector.ClassAddress, Reason: "the provider: 2"},
		}},
		{name: "several, in a list", more: connector.Settings{"each": "data.results"}, body: `{"data":{"results":[{"ref":"m1","msg":{"status":1}}]}}`, want: []connector.Receipt{{MessageID: "m1", Kind: connector.Delivered}}},
		{name: "stop", body: `{"from":"919812345678","text":" Stop! "}`, want: []connector.Receipt{{Address: "+919812345678", Kind: connector.Unsubscribed}}},
		{name: "start", body: `{"from":"09812345678","text":"START"}`, want: []connector.Receipt{{Address: "+919812345678", Kind: connector.Subscribed}}},
		{name: "an answer", body: `{"from":"+491511234567","text":"thanks"}`, want: []connector.Receipt{{Address: "+491511234567", Kind: connector.Replied}}},
		{name: "an answer that says received", body: `{"from":"+491511234567","text":"thanks","msg":{"id":"x","status":"received"}}`, want: []connector.Receipt{{Address: "+491511234567", Kind: connector.Replied}}},
		{name: "from nobody", body: `{"from":"ACME","text":"STOP"}`},
		{name: "a form", kind: "application/x-www-form-urlencoded; charset=utf-8", more: flat, body: "ref=m1&id=5&status=DELIVRD", want: []connector.Receipt{{MessageID: "m1", ProviderID: "5", Kind: connector.Delivered}}},
		{name: "a query", more: flat, url: "?ref=m1&id=5&status=2", want: []connector.Receipt{{MessageID: "m1", ProviderID: "5", Kind: connector.Bounced, Class: connector.ClassAddress, Reason: "the provider: 2"}}},
		{name: "a query beside JSON", more: flat, url: "?ref=m1", body: `{"id":"5","status":"1"}`, want: []connector.Receipt{{MessageID: "m1", ProviderID: "5", Kind: connector.Delivered}}},
		{name: "a query beside JSON, which counts more", more: flat, url: "?ref=m1&status=1", body: `{"id":"5","status":"2"}`, want: []connector.Receipt{{MessageID: "m1", ProviderID: "5", Kind: connector.Bounced, Class: connector.ClassAddress, Reason: "the provider: 2"}}},
		{name: "a query beside what is signed, which anybody can write", url: "?ref=m1", body: `{"msg":{"id":"5","status":"1"}}`, want: []connector.Receipt{{ProviderID: "5", Kind: connector.Delivered}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s
			if c.more != nil {
				s = withCallbacks(t, c.more)
				s.now = func() time.Time { return now }
			}
			w := connector.Webhook{Method: "POST", URL: "https://engage.example/receipts/acme/sms", Body: []byte(c.body)}
			if c.more["auth"] == "path" {
				w.URL += "/" + testSecret
			}
			w.URL += c.url
			kind := c.kind
			if kind == "" {
				kind = "application/json"
			}
			w.Headers = []connector.Header{{Name: "Content-Type", Value: kind}, {Name: "X-Signature", Value: hex.EncodeToString(signing(c.body))}}
			a, err := s.Receipts(t.Context(), w)
			must(t, err)
			if len(a.Receipts) != len(c.want) {
				t.Fatalf("%+v", a.Receipts)
			}
			for i, r := range a.Receipts {
				c.want[i].At = now
				if r != c.want[i] {
					t.Errorf("%+v, want %+v", r, c.want[i])
				}
			}
		})
	}
}

func TestGenuine(t *testing.T) {
	const body = `{"ref":"m1","msg":{"status":"1"}}`
	sum := signing(body)
	other := append([]byte(nil), sum...)
	other[0] ^= 1
	upper := strings.ToUpper(hex.EncodeToString(sum))
	for _, c := range []struct {
		auth, header, value, url string
		genuine                  bool
	}{
		{auth: "hmac-sha256", value: hex.EncodeToString(sum), genuine: true},
		{auth: "hmac-sha256", value: upper, genuine: true},
		{auth: "hmac-sha256", value: b64(sum), genuine: true},
		{auth: "hmac-sha256", value: strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(b64(sum)), genuine: true},
		{auth: "hmac-sha256", value: "sha256=" + hex.EncodeToString(sum), genuine: true},
		{auth: "hmac-sha256", value: "sha256=" + b64(sum), genuine: true},
		{auth: "hmac-sha256", header: "x-hub-signature-256", value: hex.EncodeToString(sum), genuine: true},
		{auth: "hmac-sha256", value: hex.EncodeToString(other)},
		{auth: "hmac-sha256", value: b64(other)},
		{auth: "hmac-sha256", value: hex.EncodeToString(sum[:16])},
		{auth: "hmac-sha256", value: ""},
		{auth: "hmac-sha256", value: "="},
		{auth: "hmac-sha256", value: testSecret},
		{auth: "hmac-sha1", value: hex.EncodeToString(sum)},
		{auth: "hmac-sha512", value: hex.EncodeToString(sum)},
		{auth: "header", value: testSecret, genuine: true},
		{auth: "header", value: testSecret + "x"},
		{auth: "header", value: ""},
		{auth: "header", value: hex.EncodeToString(sum)},
		{auth: "path", url: "/" + testSecret, genuine: true},
		{auth: "path", url: "/" + testSecret + "?a=b", genuine: true},
		{auth: "path", url: "/" + testSecret + "/"},
		{auth: "path", url: "?" + testSecret},
		{auth: "path", url: "?/" + testSecret},
		{auth: "path", value: testSecret},
	} {
		header := c.header
		if header == "" {
			header = "X-Signature"
		}
		s := withCallbacks(t, connector.Settings{"auth": c.auth, "header": header})
		a, err := s.Receipts(t.Context(), connector.Webhook{
			Method: "POST", URL: "https://engage.example/receipts/acme/sms" + c.url, Body: []byte(body),
			Headers: []connector.Header{{Name: "X-Signature", Value: c.value}, {Name: "X-Hub-Signature-256", Value: c.value}},
		})
		if c.genuine != (err == nil) || !c.genuine && !errors.Is(err, connector.ErrForged) || c.genuine != (len(a.Receipts) == 1) {
			t.Errorf("%+v: %v, %+v", c, err, a.Receipts)
		}
	}
	// Without callbacks in the settings none is anybody's.
	s := configured(t, generic("https://api.provider.example", nil))
	if _, err := s.Receipts(t.Context(), connector.Webhook{URL: "https://engage.example/receipts/acme/sms/", Body: []byte(body)}); !errors.Is(err, connector.ErrForged) {
		t.Errorf("%v", err)
	}
}

// Whatever comes, what is not signed says nothing.
func FuzzReceipts(f *testing.F) {
	f.Add("POST", "https://engage.example/receipts/acme/sms?a=b", "application/json", "X-Signature", "sha256=00", []byte(`{"ref":"m1","msg":{"status":"1"}}`))
	f.Add("GET", "://", "application/x-www-form-urlencoded", "X-Twilio-Signature", "AAAA", []byte(`MessageStatus=delivered&MessageSid=SM1`))
	f.Add("POST", "", "", "", "", []byte("[[[[[{}"))
	f.Fuzz(func(t *testing.T, method, url, kind, name, value string, body []byte) {
		w := connector.Webhook{Method: method, URL: url, Body: body, Headers: []connector.Header{{Name: "Content-Type", Value: kind}, {Name: name, Value: value}}}
		for _, s := range []*smshttp{withCallbacks(t, nil), configured(t, (&twilioAPI{provider: &provider{Server: nowhere}}).settings(nil))} {
			if a, err := s.Receipts(t.Context(), w); err == nil {
				t.Fatalf("%+v", a)
			}
		}
		w.Headers = append(w.Headers, connector.Header{Name: "X-Signature", Value: hex.EncodeToString(signing(string(body)))})
		if name != "" {
			return
		}
		a, err := withCallbacks(t, nil).Receipts(t.Context(), w)
		if err != nil && !errors.Is(err, connector.ErrForged) {
			t.Fatal(err)
		}
		for _, r := range a.Receipts {
			if r.Kind == "" || r.MessageID+r.ProviderID+r.Address == "" || len(r.Reason) > 200 {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func TestPerson(t *testing.T) {
	for _, c := range []struct{ from, country, want string }{
		{"+919812345678", "49", "+919812345678"}, {"919812345678", "", "+919812345678"}, {"919812345678", "91", "+919812345678"},
		{"9112345678", "91", "+919112345678"}, {"09812345678", "91", "+919812345678"}, {"00919812345678", "49", "+919812345678"},
		{"+49 (151) 123-45678", "", "+4915112345678"}, {"ACME", "91", ""}, {"56767", "", ""}, {"", "91", ""}, {"+0049151", "", ""},
	} {
		if got := person(c.from, c.country); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.from, c.country, got, c.want)
		}
	}
}

// The example of Twilio's documents, and what was changed of it.
func TestTwilioSignature(t *testing.T) {
	tw := &twilio{token: "12345"}
	form := url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675310"}, "Digits": {"1234"}, "From": {"+14158675310"}, "To": {"+18005551212"}}
	const signature, called = "GvWf1cFY/Q7PnoempGyD5oXAezc=", "https://mycompany.com/myapp.php?foo=1&bar=2"
	if !tw.signed(signature, called, form) {
		t.Error("the documents' example is not genuine")
	}
	for _, u := range []string{"https://mycompany.com/myapp.php?foo=1&bar=3", "http://mycompany.com/myapp.php?foo=1&bar=2", "https://mycompany.com:8443/myapp.php?foo=1&bar=2x", ""} {
		if tw.signed(signature, u, form) {
			t.Errorf("it is of %q too", u)
		}
	}
	for _, s := range []string{"", "HvWf1cFY/Q7PnoempGyD5oXAezc=", "GvWf1cFY/Q7Pnoemp", "GvWf1cFY/Q7PnoempGyD5oXAezc"} {
		if tw.signed(s, called, form) {
			t.Errorf("%q is right, too", s)
		}
	}
	form.Set("Digits", "1235")
	if tw.signed(signature, called, form) || (&twilio{}).signed(signature, called, form) {
		t.Error("another form")
	}
}

func TestTwilioCallbacks(t *testing.T) {
	api := newTwilio(t, nil)
	s := configured(t, api.settings(nil))
	const at = "https://engage.example/receipts/acme/sms"
	of := func(pairs ...string) url.Values {
		v := url.Values{"AccountSid": {testAccount}, "MessageSid": {"SM1"}, "ApiVersion": {"2010-04-01"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	for _, c := range []struct {
		name, url string
		form      url.Values
		want      connector.Receipt
	}{
		{"delivered", "?message=m1", of("MessageStatus", "delivered"), connector.Receipt{MessageID: "m1", ProviderID: "SM1", Kind: connector.Delivered}},
		{"delivered, of a messaging service", "", of("MessageStatus", "delivered"), connector.Receipt{ProviderID: "SM1", Kind: connector.Delivered}},
		{"undelivered", "", of("MessageStatus", "undelivered", "ErrorCode", "30005"), connector.Receipt{ProviderID: "SM1", Kind: connector.Bounced, Class: connector.ClassAddress, Reason: "Twilio: undelivered 30005"}},
		{"failed", "", of("MessageStatus", "failed"), connector.Receipt{ProviderID: "SM1", Kind: connector.Bounced, Class: connector.ClassOther, Reason: "Twilio: failed"}},
		{"failed, of a queue that was full", "", of("MessageStatus", "failed", "ErrorCode", "30001"), connector.Receipt{ProviderID: "SM1", Kind: connector.Bounced, Class: connector.ClassOther, Reason: "Twilio: failed 30001"}},
		{"sent", "", of("MessageStatus", "sent"), connector.Receipt{}},
		{"stop", "", of("SmsStatus", "received", "From", "+4915112345678", "Body", "Stop"), connector.Receipt{Address: "+4915112345678", Kind: connector.Unsubscribed}},
		{"stop, as Twilio understood it", "", of("SmsStatus", "received", "From", "+4915112345678", "Body", "genug", "OptOutType", "STOP"), connector.Receipt{Address: "+4915112345678", Kind: connector.Unsubscribed}},
		{"start, as Twilio understood it", "", of("SmsStatus", "received", "From", "+4915112345678", "Body", "los", "OptOutType", "START"), connector.Receipt{Address: "+4915112345678", Kind: connector.Subscribed}},
		{"help", "", of("SmsStatus", "received", "From", "+4915112345678", "Body", "help", "OptOutType", "HELP"), connector.Receipt{Address: "+4915112345678", Kind: connector.Replied}},
		{"a picture", "", of("SmsStatus", "received", "From", "+4915112345678", "Body", "", "NumMedia", "1"), connector.Receipt{Address: "+4915112345678", Kind: connector.Replied}},
		{"from another channel", "", of("SmsStatus", "received", "From", "whatsapp:+4915112345678", "Body", "stop"), connector.Receipt{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := s.Receipts(t.Context(), call(at+c.url, c.form, "X-Twilio-Signature", b64(s.c.twilio.sign(at+c.url, c.form))))
			must(t, err)
			var got connector.Receipt
			if len(a.Receipts) == 1 {
				got = a.Receipts[0]
				got.At = time.Time{}
			}
			if got != c.want || len(a.Receipts) > 1 || string(a.Body) != "<Response/>" {
				t.Errorf("%+v %s", a.Receipts, a.Body)
			}
			if _, err := s.Receipts(t.Context(), call(at+c.url, c.form)); !errors.Is(err, connector.ErrForged) {
				t.Error(err)
			}
		})
	}
	// By GET the query is what is signed, and what counts.
	by := at + "?MessageStatus=delivered&MessageSid=SM1"
	a, err := s.Receipts(t.Context(), connector.Webhook{Method: "GET", URL: by, Headers: []connector.Header{{Name: "X-Twilio-Signature", Value: b64(s.c.twilio.sign(by, nil))}}})
	if err != nil || len(a.Receipts) != 1 || a.Receipts[0].Kind != connector.Delivered {
		t.Errorf("%+v %v", a.Receipts, err)
	}
	// A body that is not signed says nothing.
	w := connector.Webhook{Method: "POST", URL: at, Body: []byte(`MessageStatus=delivered&MessageSid=SM1`), Headers: []connector.Header{{Name: "X-Twilio-Signature", Value: b64(s.c.twilio.sign(at, nil))}, {Name: "Content-Type", Value: "text/plain"}}}
	if a, err := s.Receipts(t.Context(), w); err != nil || len(a.Receipts) != 0 {
		t.Errorf("%+v %v", a.Receipts, err)
	}
}
