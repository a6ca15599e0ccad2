package connector

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct {
		text string
		port uint16
		want string // "" = refused
	}{
		{"https://api.push.example/3/device", 0, "api.push.example:443"},
		{"HTTP://Gateway.Example.", 0, "gateway.example:80"},
		{"https://user:secret@gateway.example:8443/", 0, "gateway.example:8443"},
		{"smpp://gateway.example:2775", 0, "gateway.example:2775"},
		{"smpp://gateway.example", 2775, "gateway.example:2775"},
		{"smpp://gateway.example", 0, ""},
		{"https://", 0, ""},
		{"mail.acme.example", 587, "mail.acme.example:587"},
		{"mail.acme.example:25", 587, "mail.acme.example:25"},
		{"mail.acme.example", 0, ""},
		{"mail.acme.example:*", 0, "mail.acme.example:*"},
		{"mail.acme.example:0", 0, ""},
		{"mail.acme.example:65536", 0, ""},
		{"mail.acme.example:smtp", 0, ""},
		{"10.1.2.3:25", 0, "10.1.2.3:25"},
		{"10.1.2.3", 25, "10.1.2.3:25"},
		{"[fd00::1]:25", 0, "[fd00::1]:25"},
		{"fd00::1", 25, "[fd00::1]:25"},
		{"[::ffff:10.1.2.3]:25", 0, "10.1.2.3:25"},
		{"[fe80::1%eth0]:25", 0, ""},
		{"10.0.0.0/8:443", 0, "10.0.0.0/8:443"},
		{"10.1.2.3/8:443", 0, "10.0.0.0/8:443"},
		{"[fd00::/16]:443", 0, "fd00::/16:443"},
		{"0.0.0.0/0:443", 0, ""},
		{"[::/0]:443", 0, ""},
		{"*", 0, "*:*"},
		{"*:443", 0, "*:443"},
		{"*.push.example:443", 0, "*.push.example:443"},
		{"*.push.example", 0, ""},
		{"a.*.example:443", 0, ""},
		{"a..example:443", 0, ""},
		{"", 443, ""},
		{"a b:443", 0, ""},
	} {
		h, err := ParseHost(c.text, c.port)
		switch {
		case c.want == "" && !errors.Is(err, ErrHost):
			t.Errorf("%q: %v, %v; want a refusal", c.text, h, err)
		case c.want != "" && (err != nil || h.String() != c.want):
			t.Errorf("%q: %v, %v; want %s", c.text, h, err, c.want)
		}
	}
}

func TestCovers(t *testing.T) {
	host := func(s string) Host {
		h, err := ParseHost(s, 0)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	ours := host("api.push.example:443")
	ours.Public = true
	for _, c := range []struct {
		h    Host
		to   string
		name string
		want bool
	}{
		{host("mail.example:25"), "93.184.216.34:25", "mail.example", true},
		{host("mail.example:25"), "93.184.216.34:25", "Mail.Example.", true},
		{host("mail.example:25"), "93.184.216.34:587", "mail.example", false},
		{host("mail.example:25"), "93.184.216.34:25", "other.example", false},
		{host("mail.example:25"), "93.184.216.34:25", "", false},
		{host("mail.example:*"), "93.184.216.34:587", "mail.example", true},
		{host("mail.example:25"), "10.1.1.1:25", "mail.example", true},
		{host("mail.example:25"), "100.64.1.1:25", "mail.example", true},
		{host("mail.example:25"), "[fd00::5]:25", "mail.example", true},
		// What a name that somebody else controls must not lead to.
		{host("mail.example:25"), "127.0.0.1:25", "mail.example", false},
		{host("mail.example:25"), "[::1]:25", "mail.example", false},
		{host("mail.example:25"), "[::ffff:127.0.0.1]:25", "mail.example", false},
		{host("mail.example:25"), "0.0.0.0:25", "mail.example", false},
		{host("mail.example:80"), "169.254.169.254:80", "mail.example", false},
		{host("mail.example:80"), "[fe80::1]:80", "mail.example", false},
		{host("mail.example:80"), "224.0.0.1:80", "mail.example", false},
		{ours, "93.184.216.34:443", "api.push.example", true},
		{ours, "10.1.1.1:443", "api.push.example", false},
		{host("localhost:25"), "127.0.0.1:25", "localhost", true},
		{host("localhost:25"), "[::1]:25", "localhost", true},
		{host("*.push.example:443"), "93.184.216.34:443", "a.push.example", true},
		{host("*.push.example:443"), "93.184.216.34:443", "a.b.push.example", true},
		{host("*.push.example:443"), "93.184.216.34:443", "push.example", false},
		{host("*.push.example:443"), "93.184.216.34:443", "evilpush.example", false},
		{host("*.push.example:443"), "10.1.1.1:443", "a.push.example", false},
		{host("*"), "93.184.216.34:8443", "", true},
		{host("*:443"), "93.184.216.34:443", "", true},
		{host("*:443"), "93.184.216.34:80", "", false},
		{host("*"), "[2606:2800:220:1::1]:443", "", true},
		{host("*"), "10.1.1.1:443", "", false},
		{host("*"), "127.0.0.1:443", "", false},
		{host("*"), "169.254.169.254:80", "", false},
		{host("*"), "100.100.100.200:80", "", false}, // another cloud's metadata
		{host("*"), "192.168.1.1:80", "", false},
		{host("*"), "0.0.0.0:80", "", false},
		{host("*"), "[::]:80", "", false},
		{host("*"), "[::1]:80", "", false},
		{host("*"), "[::ffff:10.0.0.1]:80", "", false},
		{host("*"), "[::7f00:1]:80", "", false},          // IPv4-compatible
		{host("*"), "[64:ff9b::a00:1]:80", "", false},    // NAT64 of 10.0.0.1
		{host("*"), "[64:ff9b::5db8:d822]:80", "", true}, // and of a public one
		{host("*"), "[2002:a9fe:a9fe::1]:80", "", false}, // 6to4 of 169.254.169.254
		{host("*"), "[2001::1]:80", "", false},           // Teredo
		{host("*"), "[fd00:ec2::254]:80", "", false},
		{host("*"), "[fe80::1]:80", "", false},
		{host("*"), "255.255.255.255:80", "", false},
		{host("10.0.0.0/8:443"), "10.1.1.1:443", "", true},
		{host("10.0.0.0/8:443"), "11.1.1.1:443", "", false},
		{host("127.0.0.1:25"), "127.0.0.1:25", "", true},
		{host("127.0.0.1:25"), "127.0.0.2:25", "", false},
		{host("169.0.0.0/8:80"), "169.254.169.254:80", "", false},
		{host("169.254.169.254:80"), "169.254.169.254:80", "", true},
	} {
		if got := c.h.Covers(netip.MustParseAddrPort(c.to), c.name); got != c.want {
			t.Errorf("%s covers %s (%q): %v", c.h, c.to, c.name, got)
		}
	}
}

func TestReached(t *testing.T) {
	schema := Schema{
		Settings: []Setting{
			{Name: "host", Type: TypeString, Reach: true},
			{Name: "port", Type: TypeNumber},
			{Name: "api", Type: TypeString, Reach: true, Default: "https://api.push.example"},
			{Name: "to", Type: TypeStrings, Reach: true, Default: []string{"*.push.example:443"}},
			{Name: "note", Type: TypeString},
		},
		Blocks: []Block{{Name: "more", Settings: []Setting{{Name: "url", Type: TypeString, Reach: true}}}},
	}
	hosts, problems := Reached(schema, Settings{
		"host": "10.0.0.1", "port": 2525.0, "api": "https://api.push.example", "to": []string{"*.push.example:443", "10.1.0.0/16:443"},
		"note": "https://elsewhere.example", "more": Settings{"url": "http://proxy.example:3128"},
	})
	var got []string
	for _, h := range hosts {
		got = append(got, h.String())
	}
	if want := []string{"10.0.0.1:2525", "api.push.example:443", "*.push.example:443", "10.1.0.0/16:443", "proxy.example:3128"}; !slices.Equal(got, want) || len(problems) != 0 {
		t.Errorf("got %v, %v", got, problems)
	}
	if !hosts[1].Public || hosts[4].Public {
		t.Error("a default may lead inside, or the operator's own may not")
	}
	_, problems = Reached(schema, Settings{"host": "relay", "more": Settings{"url": "http://"}})
	if len(problems) != 2 || !slices.Equal(problems[0].Path, []string{"host"}) || !slices.Equal(problems[1].Path, []string{"more", "url"}) {
		t.Errorf("problems %+v", problems)
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"https://a.example", "10.0.0.0/8:443", "*:443", "*.a:1", "[::1]:2", "a:*"} {
		f.Add(s, uint16(0))
	}
	f.Fuzz(func(t *testing.T, s string, port uint16) {
		h, err := ParseHost(s, port)
		if err != nil {
			return
		}
		again, err := ParseHost(h.String(), 0)
		if err != nil || again != h {
			t.Errorf("%q is %+v, and written again (%q) it is %+v, %v", s, h, h.String(), again, err)
		}
	})
}
