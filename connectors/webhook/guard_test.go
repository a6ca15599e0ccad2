package main

import (
	"net/netip"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func guarded(t testing.TB, plain bool, private ...string) guard {
	t.Helper()
	g := guard{plain: plain}
	for _, p := range private {
		h, err := connector.ParseHost(p, 0)
		must(t, err)
		g.private = append(g.private, h)
	}
	return g
}

func TestGuard(t *testing.T) {
	none := guarded(t, false)
	for to, want := range map[string]bool{
		"93.184.216.34:443":           true,
		"[2606:2800:220:1::1]:443":    true,
		"[::ffff:93.184.216.34]:443":  true,
		"[64:ff9b::5db8:d822]:443":    true, // NAT64 of 93.184.216.34
		"10.1.2.3:443":                false,
		"172.16.0.1:443":              false,
		"192.168.1.1:443":             false,
		"127.0.0.1:443":               false,
		"127.8.9.10:443":              false,
		"0.0.0.0:443":                 false,
		"169.254.169.254:80":          false, // metadata
		"169.254.170.2:80":            false,
		"100.64.0.1:443":              false, // CGNAT
		"100.100.100.200:80":          false, // metadata
		"192.0.0.192:80":              false, // metadata
		"224.0.0.1:443":               false,
		"255.255.255.255:443":         false,
		"240.0.0.1:443":               false,
		"198.18.0.1:443":              false,
		"[::]:443":                    false,
		"[::1]:443":                   false,
		"[fe80::1]:443":               false,
		"[fc00::1]:443":               false,
		"[fd00:ec2::254]:80":          false, // metadata
		"[ff02::1]:443":               false,
		"[::ffff:10.1.2.3]:443":       false,
		"[::ffff:169.254.169.254]:80": false,
		"[::127.0.0.1]:443":           false,
		"[64:ff9b::7f00:1]:443":       false, // NAT64 of 127.0.0.1
		"[64:ff9b::a9fe:a9fe]:80":     false, // NAT64 of metadata
		"[64:ff9b:1::a01:203]:443":    false, // local NAT64
		"[2002:a01:203::1]:443":       false, // 6to4 of 10.1.2.3
		"[2001:0:1::1]:443":           false, // Teredo
		"[2001:db8::1]:443":           false,
		"[fec0::1]:443":               false,
	} {
		a := netip.MustParseAddrPort(to)
		if got := none.allows(a, "hooks.acme.example"); got != want {
			t.Errorf("%s: %v", to, got)
		}
		if guarded(t, true).allows(a, "hooks.acme.example") {
			t.Errorf("%s without encryption", to)
		}
	}
	listed := guarded(t, false, "10.1.2.0/24:8443", "169.254.10.10:80", "hooks.acme.internal:443", "localhost:9000", "[fd00::1]:443")
	for _, c := range []struct {
		to, name string
		want     bool
	}{
		{"10.1.2.3:8443", "x.example", true},
		{"10.1.2.3:8443", "", true},
		{"[::ffff:10.1.2.3]:8443", "", true},
		{"10.1.2.3:443", "x.example", false},
		{"10.1.3.3:8443", "x.example", false},
		{"169.254.10.10:80", "", true},
		{"169.254.169.254:80", "", false},
		{"10.9.9.9:443", "hooks.acme.internal", true},
		{"10.9.9.9:443", "other.acme.internal", false},
		{"127.0.0.1:443", "hooks.acme.internal", false}, // a name never leads to the machine itself
		{"169.254.169.254:443", "hooks.acme.internal", false},
		{"127.0.0.1:9000", "localhost", true},
		{"127.0.0.1:9001", "localhost", false},
		{"[fd00::1]:443", "", true},
		{"[fd00::2]:443", "", false},
	} {
		if got := listed.allows(netip.MustParseAddrPort(c.to), c.name); got != c.want {
			t.Errorf("%s by %q: %v", c.to, c.name, got)
		}
	}
}

// FuzzGuard: whatever is let pass without a list is none of the ranges that an
// organisation, a machine or a cloud keeps to itself, also not written in IPv6.
func FuzzGuard(f *testing.F) {
	inside := []netip.Prefix{}
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", "0.0.0.0/8", "224.0.0.0/3",
		"::1/128", "::/128", "fc00::/7", "fe80::/10", "ff00::/8"} {
		inside = append(inside, netip.MustParsePrefix(p))
	}
	for _, a := range []string{"1.2.3.4", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::"} {
		raw := netip.MustParseAddr(a).As16()
		f.Add(raw[:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, ok := netip.AddrFromSlice(raw)
		if !ok || !guarded(t, false).allows(netip.AddrPortFrom(a, 443), "hooks.acme.example") {
			return
		}
		b := a.As16()
		means := []netip.Addr{a.Unmap()}
		if netip.MustParsePrefix("64:ff9b::/96").Contains(a) {
			means = append(means, netip.AddrFrom4([4]byte(b[12:])))
		}
		if netip.MustParsePrefix("2002::/16").Contains(a) {
			means = append(means, netip.AddrFrom4([4]byte(b[2:6])))
		}
		for _, m := range means {
			for _, p := range inside {
				if p.Contains(m) {
					t.Errorf("%s is of %s", a, p)
				}
			}
		}
	})
}

// FuzzSecret: what is taken for a secret is written back as it was.
func FuzzSecret(f *testing.F) {
	f.Add(testSecret)
	f.Add("whsec_")
	f.Add(" " + testSecret + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := readSecret(text)
		if err == nil && (len(key) < 24 || len(key) > 64) {
			t.Errorf("%d bytes", len(key))
		}
	})
}
