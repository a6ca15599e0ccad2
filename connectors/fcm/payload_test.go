package main

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/connectors/fcm/standin"
	"github.com/cloisterhq/cloister/plugins/connector"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// full is a message that has everything.
func full() connector.Message {
	badge := 3
	m := push(1)
	m.Link = "acme://offers/7?a=1&b=2"
	m.Expires = noon.Add(2 * time.Hour)
	m.Data = []connector.Header{{Name: "sku", Value: "A<1>"}}
	m.Push = &connector.Push{
		Subtitle: "For you", Image: "https://cdn.acme.example/a.png", Sound: "ping", Badge: &badge, Channel: "offers",
		Category: "OFFER", Thread: "offers", Collapse: "offer", Urgent: true,
		Buttons: []connector.Button{{ID: "buy", Title: "Buy", Link: "acme://buy"}, {ID: "no", Title: "Not now"}},
	}
	return m
}

func TestPayload(t *testing.T) {
	for _, c := range []struct {
		name string
		set  connector.Settings
		m    func() connector.Message
		want string
	}{
		{"plain", nil, func() connector.Message { return push(1) }, `{
			"notification": {"title": "Hello", "body": "There"}, "data": {"cloister_id": "m1"},
			"android": {"priority": "NORMAL", "notification": {}}}`},
		{"everything", nil, full, `{
			"notification": {"title": "Hello", "body": "There", "image": "https://cdn.acme.example/a.png"},
			"data": {"cloister_id": "m1", "cloister_link": "acme://offers/7?a=1&b=2", "sku": "A<1>",
				"cloister_buttons": "[{\"id\":\"buy\",\"title\":\"Buy\",\"link\":\"acme://buy\"},{\"id\":\"no\",\"title\":\"Not now\"}]"},
			"android": {"priority": "HIGH", "ttl": "7200s", "collapse_key": "offer",
				"notification": {"channel_id": "offers", "sound": "ping", "tag": "offer", "notification_count": 3}},
			"apns": {"headers": {"apns-collapse-id": "offer"}, "payload": {"aps": {
				"alert": {"title": "Hello", "subtitle": "For you", "body": "There"}, "badge": 3, "sound": "ping",
				"category": "OFFER", "thread-id": "offers", "mutable-content": 1}}}}`},
		{"the usual channel", connector.Settings{"channel": "news"}, func() connector.Message { return push(1) }, `{
			"notification": {"title": "Hello", "body": "There"}, "data": {"cloister_id": "m1"},
			"android": {"priority": "NORMAL", "notification": {"channel_id": "news"}}}`},
		{"silent", nil, func() connector.Message {
			m := full()
			m.Expires, m.Push = time.Time{}, &connector.Push{Silent: true}
			return m
		}, `{"data": {"cloister_id": "m1", "sku": "A<1>"}, "android": {"priority": "NORMAL"},
			"apns": {"headers": {"apns-push-type": "background", "apns-priority": "5"}, "payload": {"aps": {"content-available": 1}}}}`},
		{"for CleverTap's SDK", connector.Settings{"payload": "clevertap", "clevertap_account": "ABC-123"}, full, `{
			"data": {"wzrk_pn": "true", "wzrk_id": "m1", "wzrk_pid": "m1", "wzrk_acct_id": "ABC-123", "nt": "Hello", "nm": "There",
				"wzrk_st": "For you", "wzrk_dl": "acme://offers/7?a=1&b=2", "wzrk_bp": "https://cdn.acme.example/a.png",
				"wzrk_cid": "offers", "wzrk_sound": "ping", "wzrk_ck": "offer", "wzrk_bc": "3", "pr": "high", "wzrk_ttl": "1795701600",
				"wzrk_acts": "[{\"l\":\"Buy\",\"dl\":\"acme://buy\",\"id\":\"buy\",\"ac\":true},{\"l\":\"Not now\",\"id\":\"no\",\"ac\":true}]",
				"sku": "A<1>"},
			"android": {"priority": "HIGH", "ttl": "7200s", "collapse_key": "offer"}}`},
		{"for CleverTap's SDK, silent", connector.Settings{"payload": "clevertap"}, func() connector.Message {
			m := push(1)
			m.Push = &connector.Push{Silent: true}
			return m
		}, `{"data": {"wzrk_pn": "true", "wzrk_pn_s": "true", "wzrk_id": "m1", "wzrk_pid": "m1"}, "android": {"priority": "NORMAL"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			f := configured(t, settingsFor(s, c.set))
			f.now = func() time.Time { return noon }
			f.tokens.now = time.Now
			if o := one(t, f, c.m()); o.Result != connector.Accepted {
				t.Fatalf("%+v, %v", o, s.Refusals())
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			want["token"] = device(1)
			raw, err := json.Marshal(s.Got()[0].Raw)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %s\nwant %v", raw, want)
			}
		})
	}
}

// What is refused here never reaches FCM.
func TestRefusedHere(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	s.Answer = func(w http.ResponseWriter, _ *http.Request, m standin.Message) bool {
		t.Errorf("it was sent: %v", m.Raw)
		return false
	}
	refusal := func(c connector.Class, g connector.Gone) connector.Outcome {
		return connector.Outcome{Result: connector.Refused, Class: c, Gone: g}
	}
	for name, c := range map[string]struct {
		change func(*connector.Message)
		want   connector.Outcome
	}{
		"another channel":  {func(m *connector.Message) { m.Channel = "email" }, refusal(connector.ClassConfig, "")},
		"another platform": {func(m *connector.Message) { m.Platform = "apns" }, refusal(connector.ClassConfig, "")},
		"no token":         {func(m *connector.Message) { m.To = "%" }, refusal(connector.ClassAddress, connector.GoneInvalid)},
		"a line break":     {func(m *connector.Message) { m.To += "\r\n" }, refusal(connector.ClassAddress, connector.GoneInvalid)},
		"expired":          {func(m *connector.Message) { m.Expires = time.Now().Add(-time.Second) }, refusal(connector.ClassOther, "")},
		"too long":         {func(m *connector.Message) { m.Text = strings.Repeat("x", maxPayload) }, refusal(connector.ClassContent, "")},
		"a key of FCM's":   {func(m *connector.Message) { m.Data = []connector.Header{{Name: "google.x", Value: "1"}} }, refusal(connector.ClassContent, "")},
	} {
		m := push(1)
		c.change(&m)
		got := one(t, f, m)
		if got.Reason == "" {
			t.Errorf("%s: no reason", name)
		}
		if got.ID, got.Reason = "", ""; got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The longest that is taken here is taken by FCM, in every script.
func TestLongest(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	for _, text := range []string{"x", "é", "न", "👋", "\"", "<", "\x00"} {
		m := push(1)
		own := len(m.Subject) + len(keyID) + len(m.ID)
		m.Text = strings.Repeat(text, (maxPayload-own)/len(text))
		if o := one(t, f, m); o.Result != connector.Accepted {
			t.Errorf("%q: %+v, %v", text, o, s.Refusals())
		}
		m.Text += text
		if o := one(t, f, m); o.Class != connector.ClassContent {
			t.Errorf("%q and one more: %+v", text, o)
		}
	}
}
