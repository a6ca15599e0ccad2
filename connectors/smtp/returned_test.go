package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	bounceKey = "sixteen bytes and more"
	someID    = "0f3a5b7c9d1e2f4a6b8c0d2e4f6a8b0c"
)

func withBounces(more connector.Settings) connector.Settings {
	s := connector.Settings{"bounces": connector.Settings{"domain": "bounce.acme.example", "key": bounceKey}}
	for k, v := range more {
		s[k] = v
	}
	return settingsFor("127.0.0.1:25", s)
}

// Each file in testdata says what it must become.
func TestReturned(t *testing.T) {
	c := configured(t, withBounces(nil))
	c.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	if got := c.MailDomains(); len(got) != 1 || got[0] != "bounce.acme.example" {
		t.Errorf("domains %v", got)
	}
	files, err := filepath.Glob("testdata/returned/*.eml")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	address := c.c.marks.address(markBounce, someID)
	local, _, _ := strings.Cut(address, "@")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("MARK"), []byte(address)), []byte("LOCAL"), []byte(local))
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(file, err)
		}
		to := address
		if strings.Contains(m.Header.Get("To"), "complaints@") {
			to = "complaints@bounce.acme.example"
		}
		for name, in := range map[string][]byte{"LF": raw, "CRLF": bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))} {
			rs, err := c.Returned(t.Context(), connector.Mail{To: to, Message: in})
			if err != nil {
				t.Errorf("%s, %s: %v", file, name, err)
				continue
			}
			got := "nothing"
			if len(rs) > 0 {
				r := rs[0]
				got = strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", r.Kind, r.Class, r.Reason)), " ")
				if r.MessageID != someID || !r.At.Equal(c.now()) || len(rs) > 1 {
					t.Errorf("%s, %s: %+v", file, name, rs)
				}
			}
			if want := m.Header.Get("X-Want"); got != want {
				t.Errorf("%s, %s: %q, want %q", file, name, got, want)
			}
		}
		// To a forged address the same says nothing, unless the mark is inside.
		for _, forged := range []string{"b-" + someID + "-aaaaaaaaaaaaaaaa@bounce.acme.example", local + "@other.example", "b@bounce.acme.example", ""} {
			rs, err := c.Returned(t.Context(), connector.Mail{To: forged, Message: bytes.ReplaceAll(raw, []byte(local), []byte("b-x-aaaaaaaaaaaaaaaa"))})
			if !errors.Is(err, connector.ErrForged) || rs != nil {
				t.Errorf("%s to %q: %v, %v", file, forged, rs, err)
			}
		}
	}
}

func TestUnsubscribeByMail(t *testing.T) {
	c := configured(t, withBounces(nil))
	to := strings.ToUpper(c.c.marks.address(markUnsubscribe, someID))
	for _, x := range []struct {
		name, from, message string
		want                int
	}{
		{"a person", "ana@example.net", "Subject: unsubscribe\r\n\r\n", 1},
		{"nothing at all", "ana@example.net", "", 1},
		{"a bounce", "", "Subject: failed\r\n\r\n", 0},
		{"an absence", "ana@example.net", "Auto-Submitted: auto-replied\r\n\r\n", 0},
	} {
		rs, err := c.Returned(t.Context(), connector.Mail{From: x.from, To: to, Message: []byte(x.message)})
		if err != nil || len(rs) != x.want {
			t.Errorf("%s: %v, %v", x.name, rs, err)
		}
		for _, r := range rs {
			if r.Kind != connector.Unsubscribed || r.MessageID != someID {
				t.Errorf("%s: %+v", x.name, r)
			}
		}
	}
	// One address is no other's.
	swapped := "b" + c.c.marks.address(markUnsubscribe, someID)[1:]
	if _, err := c.Returned(t.Context(), connector.Mail{To: swapped}); !errors.Is(err, connector.ErrForged) {
		t.Errorf("%s: %v", swapped, err)
	}
}

// With another key, or none, nothing is believed.
func TestReturnedToAnother(t *testing.T) {
	c := configured(t, withBounces(nil))
	mine := connector.Mail{To: c.c.marks.address(markBounce, someID)}
	for name, s := range map[string]connector.Settings{
		"another key": settingsFor("127.0.0.1:25", connector.Settings{"bounces": connector.Settings{"domain": "bounce.acme.example", "key": "another key of 16"}}),
		"no bounces":  settingsFor("127.0.0.1:25", nil),
	} {
		other := configured(t, s)
		if rs, err := other.Returned(t.Context(), mine); !errors.Is(err, connector.ErrForged) {
			t.Errorf("%s: %v, %v", name, rs, err)
		}
	}
}

// Every id comes back as it went, in an address that may be sent.
func TestMarks(t *testing.T) {
	k := &marks{domain: "bounce.acme.example", key: []byte(bounceKey)}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,42}`), rapid.String()).Draw(t, "id")
		what := rapid.SampledFrom([]byte{markBounce, markUnsubscribe}).Draw(t, "what")
		a := k.address(what, id)
		if out, err := checkAddress(a); err != nil || out != a {
			t.Fatalf("%q: %v", a, err)
		}
		gotWhat, got, ok := k.readAddress(strings.ToUpper(a))
		if ok != markable.MatchString(id) || ok && (got != id || gotWhat != what) {
			t.Fatalf("%q became %q and then %q", id, a, got)
		}
		if found, ok := k.find("Return-Path: <" + a + ">"); ok != markable.MatchString(id) || ok && found != id {
			t.Fatalf("%q is not found in %q", id, a)
		}
	})
}

// FuzzReturned: whatever comes back, reading it ends, tells of that message
// alone, and holds nothing of what it said.
func FuzzReturned(f *testing.F) {
	files, _ := filepath.Glob("testdata/returned/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(strings.Repeat("Content-Type: multipart/mixed; boundary=x\n\n--x\n", 40)))
	c := &smtp{}
	if _, err := c.Configure(f.Context(), withBounces(nil)); err != nil {
		f.Fatal(err)
	}
	to := c.c.marks.address(markBounce, someID)
	f.Fuzz(func(t *testing.T, raw []byte) {
		rs, err := c.Returned(t.Context(), connector.Mail{To: to, Message: raw})
		if err != nil || len(rs) > 1 {
			t.Fatalf("%v, %v", rs, err)
		}
		for _, r := range rs {
			if r.MessageID != someID || len(r.Reason) > 100 || strings.ContainsAny(r.Reason, "@<>\r\n") {
				t.Errorf("%+v", r)
			}
		}
		if rs, err := c.Returned(t.Context(), connector.Mail{To: "x@bounce.acme.example", Message: raw}); err == nil && !bytes.Contains(raw, []byte(someID)) {
			t.Errorf("believed without a mark: %v", rs)
		}
	})
}
