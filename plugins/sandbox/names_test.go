package sandbox

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// table is a resolver that answers from a table.
type table struct {
	names map[string][]string
	asked []string
}

func (r *table) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	r.asked = append(r.asked, host)
	if host == "broken.example" {
		return nil, errors.New("no server answers")
	}
	var out []netip.Addr
	for _, s := range r.names[host] {
		if a := netip.MustParseAddr(s); network == "ip" || a.Is4() == (network == "ip4") {
			out = append(out, a)
		}
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return out, nil
}

func question(t testing.TB, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	err := b.StartQuestions()
	if err == nil {
		err = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET})
	}
	raw, ferr := b.Finish()
	if err = errors.Join(err, ferr); err != nil {
		t.Fatal(err)
	}
	return raw
}

func listed(t testing.TB, texts ...string) []connector.Host {
	t.Helper()
	var out []connector.Host
	for _, s := range texts {
		h, err := connector.ParseHost(s, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h)
	}
	return out
}

func TestNames(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := &table{names: map[string][]string{
		"relay.example":    {"93.184.216.34", "10.0.0.5", "127.0.0.1", "169.254.169.254", "2606:2800:220:1::1"},
		"a.push.example":   {"93.184.216.35", "10.0.0.6"},
		"private.example":  {"10.0.0.7"},
		"elsewhere.others": {"93.184.216.36"},
	}}
	n := newNames(listed(t, "relay.example:587", "*.push.example:443", "private.example:25", "broken.example:25", "198.51.100.1:25"), r, nil, func() time.Time { return now })
	allowed := func(s string) bool { return n.allowed(netip.MustParseAddrPort(s)) }
	if allowed("93.184.216.34:587") || !allowed("198.51.100.1:25") {
		t.Error("an address is allowed before its name was asked for, or one that is listed is not")
	}
	for _, c := range []struct {
		name  string
		kind  dnsmessage.Type
		code  dnsmessage.RCode
		addrs []string
	}{
		{"relay.example.", dnsmessage.TypeA, 0, []string{"93.184.216.34", "10.0.0.5"}},
		{"ReLay.Example.", dnsmessage.TypeA, 0, []string{"93.184.216.34", "10.0.0.5"}},
		{"relay.example.", dnsmessage.TypeAAAA, 0, []string{"2606:2800:220:1::1"}},
		{"relay.example.", dnsmessage.TypeMX, 0, nil},
		{"relay.example.", dnsmessage.TypeTXT, 0, nil},
		{"a.push.example.", dnsmessage.TypeA, 0, []string{"93.184.216.35"}},
		{"push.example.", dnsmessage.TypeA, dnsmessage.RCodeNameError, nil},
		{"b.push.example.", dnsmessage.TypeA, 0, nil}, // it does not exist
		{"private.example.", dnsmessage.TypeA, 0, []string{"10.0.0.7"}},
		{"broken.example.", dnsmessage.TypeA, dnsmessage.RCodeServerFailure, nil},
		{"elsewhere.others.", dnsmessage.TypeA, dnsmessage.RCodeNameError, nil},
		{"relay.example.evil.", dnsmessage.TypeA, dnsmessage.RCodeNameError, nil},
		{"data.relay.example.", dnsmessage.TypeA, dnsmessage.RCodeNameError, nil},
	} {
		raw, unlisted := n.answer(t.Context(), question(t, c.name, c.kind))
		var m dnsmessage.Message
		if err := m.Unpack(raw); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []string
		for _, a := range m.Answers {
			switch b := a.Body.(type) {
			case *dnsmessage.AResource:
				got = append(got, netip.AddrFrom4(b.A).String())
			case *dnsmessage.AAAAResource:
				got = append(got, netip.AddrFrom16(b.AAAA).String())
			}
		}
		if m.ID != 7 || !m.Response || m.RCode != c.code || !slices.Equal(got, c.addrs) || (unlisted != "") != (c.code == dnsmessage.RCodeNameError) {
			t.Errorf("%s %s: %s, %v, %q", c.name, c.kind, m.RCode, got, unlisted)
		}
	}
	if slices.Contains(r.asked, "elsewhere.others") || slices.Contains(r.asked, "data.relay.example") || slices.Contains(r.asked, "relay.example.evil") {
		t.Errorf("what is not listed was asked for: %v", r.asked)
	}
	for address, want := range map[string]bool{
		"93.184.216.34:587": true, "10.0.0.5:587": true, "93.184.216.34:25": false, "127.0.0.1:587": false,
		"93.184.216.35:443": true, "93.184.216.35:587": false, "10.0.0.6:443": false, "93.184.216.36:443": false, "[2606:2800:220:1::1]:587": true,
	} {
		if allowed(address) != want {
			t.Errorf("%s allowed: %v", address, !want)
		}
	}
	// What was given is forgotten, and then the names are asked once more.
	now = now.Add(rememberFor + time.Second)
	if allowed("93.184.216.34:587") {
		t.Error("an address is remembered for ever")
	}
	to := netip.MustParseAddrPort("93.184.216.34:587")
	if ask := n.stale(to); !slices.Equal(ask, []string{"relay.example"}) {
		t.Errorf("asks %v", ask)
	}
	if ask := n.stale(to); len(ask) != 0 {
		t.Errorf("asks %v at once again", ask)
	}
	n.lookUpAll(t.Context(), []string{"relay.example"})
	if !n.allowed(to) {
		t.Error("not allowed after its name was asked for again")
	}
	if ask := n.stale(netip.MustParseAddrPort("169.254.169.254:587")); len(ask) != 0 {
		t.Errorf("asks %v for an address that no name may lead to", ask)
	}
}

// A name's owner can make it lead to ever other addresses.
func TestNamesAreBounded(t *testing.T) {
	r := &table{names: map[string][]string{}}
	n := newNames(listed(t, "*:443"), r, nil, time.Now)
	for i := range 3 * maxGiven / answersOf {
		var all []string
		for j := range answersOf + 5 {
			k := i*64 + j
			all = append(all, netip.AddrFrom4([4]byte{93, byte(k >> 16), byte(k >> 8), byte(k)}).String())
		}
		r.names["a.example"] = all
		if got, err := n.lookUp(t.Context(), "a.example", "ip4"); err != nil || len(got) != answersOf {
			t.Fatalf("%d addresses, %v", len(got), err)
		}
		if len(n.given) > maxGiven {
			t.Fatalf("%d addresses are remembered", len(n.given))
		}
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(question(f, "relay.example.", dnsmessage.TypeA))
	f.Add(question(f, "evil.example.", dnsmessage.TypeAAAA))
	f.Add([]byte{})
	hosts := listed(f, "relay.example:587")
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &table{names: map[string][]string{"relay.example": {"93.184.216.34"}}}
		n := newNames(hosts, r, nil, time.Now)
		reply, _ := n.answer(context.Background(), raw)
		for _, name := range r.asked {
			if name != "relay.example" {
				t.Fatalf("%q was asked for", name)
			}
		}
		var m dnsmessage.Message
		if reply != nil && m.Unpack(reply) != nil {
			t.Fatalf("%x is no answer", reply)
		}
	})
}
