package main

import (
	"bytes"
	"maps"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// FuzzCompose: whatever stands in a message, what is sent is one message: with
// the headers that were meant and no other, none of them twice, and no line that
// ends it before its end.
func FuzzCompose(f *testing.F) {
	for _, evil := range []string{
		"x", "x\r\nBcc: all@example.com", "x\nBcc: all@example.com", "x\rBcc: all@example.com", "x\x00", "x\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<a@b>",
		"=?utf-8?q?x=0D=0ABcc:_a@b?=", "x\u2028Bcc: a@b", "x\u0085y", strings.Repeat("x", 2000), strings.Repeat("ä", 500), " \t ", "\"x\" <y@z>,", "--x--", "x\v\fy", "\ufeff", "x\xff\xfe",
	} {
		f.Add(evil, "ana@example.com", "X-Campaign", "ok", "https://engage.acme.example/u/1", "Hi", "<p>Hi</p>", "a.pdf")
		f.Add("Hi", "ana@"+evil, "X-Campaign", evil, "https://engage.acme.example/"+evil, evil, evil, evil)
		f.Add("Hi", evil+"@example.com", "X-"+evil, "ok", evil, "Hi", "", "a.pdf")
	}
	c, problems := read(settingsFor("127.0.0.1:25", connector.Settings{
		"attachments": connector.Settings{"types": []string{"application/pdf"}},
		"bounces":     connector.Settings{"domain": "bounce.acme.example", "key": bounceKey},
	}))
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	meant := []string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", "List-Unsubscribe", "List-Unsubscribe-Post", "Reply-To"}
	f.Fuzz(func(t *testing.T, subject, to, name, value, unsubscribe, text, html, file string) {
		m := connector.Message{
			ID: "m1", Channel: "email", To: to, ToName: value, Subject: subject, Text: text, HTML: html, Unsubscribe: unsubscribe,
			Headers: []connector.Header{{Name: name, Value: value}}, Files: []connector.File{{Name: file, Type: "application/pdf", Content: []byte(text)}},
		}
		e, err := c.compose(m, time.Unix(0, 0))
		if err != nil {
			return // refused
		}
		address, _ := checkAddress(to)
		if strings.ContainsAny(e.from+e.to+e.id, "<> \r\n\x00") || e.to != address {
			t.Fatalf("an envelope from %q to %q", e.from, e.to)
		}
		body, ok := bytes.CutSuffix(e.data, []byte("\r\n.\r\n"))
		if !ok || bytes.Contains(body, []byte("\r\n.\r\n")) || bytes.HasPrefix(body, []byte(".\r\n")) || !clean(append(body, "\r\n"...)) {
			t.Fatalf("it ends before its end, or not at all: %q", e.data)
		}
		got, err := mail.ReadMessage(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%v: %q", err, body)
		}
		for h, all := range got.Header {
			if len(all) != 1 || !slices.Contains(meant, h) && h != textproto.CanonicalMIMEHeaderKey(name) {
				t.Errorf("%s is there %d times, of all of %q: %q", h, len(all), slices.Sorted(maps.Keys(got.Header)), body)
			}
		}
		if list, err := got.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != address {
			t.Errorf("to %v, %v: %q", list, err, body)
		}
	})
}
