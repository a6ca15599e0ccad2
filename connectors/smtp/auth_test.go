package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Which way is taken of those that a relay offers.
func TestMechanism(t *testing.T) {
	for offered, want := range map[string]struct{ best, plain string }{
		"LOGIN PLAIN":                  {plain, plain},
		"LOGIN":                        {login, ""},
		"CRAM-MD5 LOGIN":               {login, ""},
		"CRAM-MD5 DIGEST-MD5":          {cramMD5, ""},
		"PLAIN CRAM-MD5 SCRAM-SHA-256": {scramSHA256, plain},
		"SCRAM-SHA-1 XOAUTH2":          {"", ""},
		"":                             {"", ""},
	} {
		all := strings.Fields(offered)
		best, named := (&config{}).mechanism(all), (&config{auth: plain}).mechanism(all)
		if best != want.best || named != want.plain {
			t.Errorf("%s: %q and %q, want %q and %q", offered, best, named, want.best, want.plain)
		}
		slices.Reverse(all)
		if (&config{}).mechanism(all) != best {
			t.Errorf("%s: it depends on their order", offered)
		}
	}
}

// A relay that offers nothing known gets no name and no password, and one that
// asks SCRAM for too little or too much gets no proof.
func TestNothingIsShown(t *testing.T) {
	for name, c := range map[string]struct{ offers, answers, says string }{
		"unknown":        {"DIGEST-MD5", "334 \r\n", "offers none of"},
		"not as named":   {"PLAIN", "334 \r\n", "does not offer SCRAM-SHA-256"},
		"few rounds":     {"SCRAM-SHA-256", "334 " + encode([]byte("r=x,s=eA==,i=1")) + "\r\n", "not understood"},
		"many rounds":    {"SCRAM-SHA-256", "334 " + encode([]byte("r=x,s=eA==,i=2000000000")) + "\r\n", "not understood"},
		"another nonce":  {"SCRAM-SHA-256", "334 " + encode([]byte("r=x,s=eA==,i=4096")) + "\r\n", "unexpected"},
		"false proof":    {"SCRAM-SHA-256", "334 " + encode([]byte("v=eA==")) + "\r\n", "unexpected"},
		"not base64":     {"SCRAM-SHA-256", "334 ?\r\n", "not understood"},
		"endless":        {"SCRAM-SHA-256", "334 \r\n", "334"},
		"named as taken": {"SCRAM-SHA-256 PLAIN", "535 5.7.8 no\r\n", "535"},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, "220 relay.test\r\n", func(_ int, line string, to net.Conn) bool {
				answer := c.answers
				if strings.HasPrefix(line, "EHLO") {
					answer = "250-relay.test\r\n250 AUTH " + c.offers + "\r\n"
				}
				fmt.Fprint(to, answer)
				return true
			})
			k := configured(t, settingsFor(s.addr, connector.Settings{"tls": connector.Settings{"mode": "none"}, "username": "acme", "password": "hush-hush", "auth": scramSHA256}))
			if name == "unknown" {
				k.c.auth = ""
			}
			if err := k.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
