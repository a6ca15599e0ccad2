package main

import (
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestDLT(t *testing.T) {
	settings := connector.Settings{
		"entity": "1101234567890123456", "headers": []string{"ACMEBK-S", "ACMEIN-T", "ACMEOF-P", "600123"}, "chain": "abc123",
		"templates": map[string]string{
			"1107161234567890123": "Dear {#var#}, your {#var#}{#var#} is due on {#numeric#}.\nACME",
			"1107161234567890124": "See {#url#} (10% off)",
		},
		"template_headers": map[string]string{"1107161234567890124": "ACMEOF 600123"},
	}
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"dlt": settings, "sender": "ACMEBK"}))
	for _, tc := range []struct {
		name   string
		change func(*connector.Message)
		reason string // "" = accepted
	}{
		{"as registered", func(m *connector.Message) {}, ""},
		{"another line break", func(m *connector.Message) { m.Text = strings.ReplaceAll(m.Text, "\n", "\r\n") + "\n" }, ""},
		{"sixty characters in two variables", func(m *connector.Message) {
			m.Text = "Dear Ana, your " + strings.Repeat("क", 60) + " is due on 1.\nACME"
		}, ""},
		{"sixty-one", func(m *connector.Message) {
			m.Text = "Dear Ana, your " + strings.Repeat("x", 61) + " is due on 1.\nACME"
		}, "does not fit"},
		{"words for a number", func(m *connector.Message) { m.Text = strings.ReplaceAll(m.Text, "01", "first") }, "does not fit"},
		{"another word", func(m *connector.Message) { m.Text = strings.ReplaceAll(m.Text, "Dear", "Hi") }, "does not fit"},
		{"something behind", func(m *connector.Message) { m.Text += " Bye" }, "does not fit"},
		{"no template", func(m *connector.Message) { m.Template = "" }, "names no template"},
		{"an unknown template", func(m *connector.Message) { m.Template = "1107" }, "not registered here"},
		{"an unknown header", func(m *connector.Message) { m.Sender = "ABCDEF" }, "none of the registered"},
		{"no header", func(m *connector.Message) { m.Sender = "ACME" }, "six letters"},
		{"a number", func(m *connector.Message) { m.Sender = "+919812345678" }, "six letters"},
		{"a suffix that is right", func(m *connector.Message) { m.Sender = "acmebk-S" }, ""},
		{"a suffix that is wrong", func(m *connector.Message) { m.Sender = "ACMEBK-P" }, "registered as -S"},
		{"marketing as transactional", func(m *connector.Message) { m.Sender = "ACMEIN" }, "cannot carry marketing"},
		{"transactional", func(m *connector.Message) { m.Sender, m.Marketing = "ACMEIN", false }, ""},
		{"another header's template", func(m *connector.Message) {
			m.Template, m.Text = "1107161234567890124", "See https://acme.example/x (10% off)"
		}, "not registered for this header"},
		{"of this header", func(m *connector.Message) {
			m.Template, m.Text, m.Sender = "1107161234567890124", "See https://acme.example/x (10% off)", "ACMEOF"
		}, ""},
		{"digits", func(m *connector.Message) {
			m.Template, m.Text, m.Sender = "1107161234567890124", "See https://acme.example/x (10% off)", "600123"
		}, ""},
		{"abroad", func(m *connector.Message) { m.To, m.Template, m.Text, m.Sender = "+4915112345678", "", "Hi", "ACME" }, ""},
	} {
		m := smsTo("1", "+919812345678")
		m.Template, m.Text = "1107161234567890123", "Dear Ana, your bill is due on 01.\nACME"
		tc.change(&m)
		before := len(s.messages())
		o := send(t, c, m)[0]
		if tc.reason == "" {
			if o.Result != connector.Accepted {
				t.Errorf("%s: %+v", tc.name, o)
			}
		} else if o.Result != connector.Refused || o.Class != connector.ClassContent || !strings.Contains(o.Reason, tc.reason) || len(s.messages()) != before {
			t.Errorf("%s: %+v", tc.name, o)
		}
	}
	got := s.messages()[0]
	for tag, want := range map[uint16]string{0x1400: "1101234567890123456\x00", 0x1401: "1107161234567890123\x00", 0x1402: "abc123\x00"} {
		if v := string(got.options.get(tag)); v != want {
			t.Errorf("%#x: %q, want %q", tag, v, want)
		}
	}
	if got.from != (address{5, 0, "ACMEBK"}) {
		t.Errorf("%+v", got.from)
	}
}

// Another gateway's way of the same, on a long message too.
func TestDLTOfAnotherGateway(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"sender": "ACMEBK", "dlt": connector.Settings{
		"entity": "1101234567890123456", "headers": []string{"ACMEBK-P"}, "entity_tag": "0x1401", "template_tag": "0x1400", "terminated": false, "suffix": true,
	}}))
	m := smsTo("1", "+919812345678")
	m.Template, m.Text = "42", strings.Repeat("x", 200)
	if o := send(t, c, m)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	got := s.messages()
	for _, g := range got {
		if string(g.options.get(0x1401)) != "1101234567890123456" || string(g.options.get(0x1400)) != "42" || g.options.get(0x1402) != nil || g.from.digits != "ACMEBK-P" {
			t.Errorf("%+v", g)
		}
	}
	if len(got) != 2 {
		t.Errorf("%d parts", len(got))
	}
}
