package connector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Host is what a connector's process may connect to, by TCP. Exactly one of
// Name, Net and Any is set. It is written HOST:PORT, [ADDRESS]:PORT,
// NETWORK/BITS:PORT, "*.NAME:PORT" for every name below NAME, "*:PORT" for
// every public address, or as a URL; a PORT of "*" is every port.
//
// Whoever controls a name decides where it leads. So a name written by the
// operator may lead to a private address, but never to the machine itself
// (but for "localhost") or to a link-local address, of which one hands out the
// machine's credentials in most clouds; wildcards, and names that the
// connector's own defaults hold, lead to public addresses only. An address or
// network is what is written.
type Host struct {
	Name   string       `json:"name,omitempty"`  // in lower case, without the dot at the end
	Below  bool         `json:"below,omitempty"` // every name below Name, and not Name
	Net    netip.Prefix `json:"net"`
	Any    bool         `json:"any,omitempty"`
	Port   uint16       `json:"port,omitempty"` // 0 = every port
	Public bool         `json:"public,omitempty"`
}

// ErrHost means that a text names no host that could be reached.
var ErrHost = errors.New("not a host")

// ParseHost reads a host as it is written. port is meant where none is written,
// 0 if there is none to be meant; a text without one is then an error, but for "*".
func ParseHost(text string, port uint16) (Host, error) {
	bad := func(why string) (Host, error) { return Host{}, fmt.Errorf("%w: %s", ErrHost, why) }
	s := text
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return bad("the URL has no host")
		}
		known := map[string]uint16{"https": 443, "wss": 443, "http": 80, "ws": 80}
		if p := known[strings.ToLower(u.Scheme)]; p != 0 {
			port = p
		}
		s = u.Host
	}
	host, written, err := net.SplitHostPort(s)
	if err != nil {
		host, written = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), ""
		if strings.Contains(host, ":") && !isNetwork(host) {
			return bad("write an address of IPv6 in brackets: [fd00::1]:443")
		}
	}
	h := Host{Port: port}
	switch {
	case written == "*":
		h.Port = 0
	case written != "":
		n, err := strconv.ParseUint(written, 10, 16)
		if err != nil || n == 0 {
			return bad("the port is a number from 1 to 65535, or *")
		}
		h.Port = uint16(n)
	case port == 0 && host != "*":
		return bad("the port is missing")
	}
	if host == "*" {
		h.Any, h.Public = true, true
		return h, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return bad("an address with a zone")
		}
		h.Net = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return h, nil
	}
	if p, err := netip.ParsePrefix(host); err == nil {
		if least := map[bool]int{true: 8, false: 16}[p.Addr().Is4()]; p.Bits() < least || p.Addr().Is4In6() {
			return bad("the network is too wide; \"*\" is every public address")
		}
		h.Net = p.Masked()
		return h, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if below, ok := strings.CutPrefix(name, "*."); ok {
		name, h.Below, h.Public = below, true, true
	}
	if !isName(name) {
		return bad("neither a name nor an address")
	}
	h.Name = name
	return h, nil
}

func isNetwork(s string) bool {
	_, err := netip.ParsePrefix(s)
	_, aerr := netip.ParseAddr(s)
	return err == nil || aerr == nil
}

func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
				return false
			}
		}
	}
	return true
}

// String is how it is written.
func (h Host) String() string {
	port := "*"
	if h.Port != 0 {
		port = strconv.Itoa(int(h.Port))
	}
	switch {
	case h.Any:
		return "*:" + port
	case h.Name != "" && h.Below:
		return "*." + h.Name + ":" + port
	case h.Name != "":
		return h.Name + ":" + port
	case h.Net.IsSingleIP():
		return net.JoinHostPort(h.Net.Addr().String(), port)
	}
	return h.Net.String() + ":" + port
}

// Named says whether a name is one that h means. An address has none.
func (h Host) Named(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if h.Below {
		return strings.HasSuffix(name, "."+h.Name)
	}
	return h.Name != "" && name == h.Name || h.Any
}

// Covers says whether h allows a connection to an address that a name led to;
// name is "" if it is not known to come from one.
func (h Host) Covers(to netip.AddrPort, name string) bool {
	a := to.Addr().Unmap()
	if h.Port != 0 && h.Port != to.Port() || !a.IsValid() {
		return false
	}
	switch {
	case h.Net.IsValid():
		// A network that happens to hold link-local addresses did not name them.
		return h.Net.Contains(a.WithZone("")) && (!a.IsLinkLocalUnicast() || h.Net.Addr().IsLinkLocalUnicast())
	case h.Any:
		return public(a)
	case name == "" || !h.Named(name):
		return false
	case h.Public:
		return public(a)
	case a.IsLoopback():
		return h.Name == "localhost" || strings.HasSuffix(h.Name, ".localhost")
	}
	return public(a) || inside(a)
}

// inside says whether a is one of an organisation's own addresses.
func inside(a netip.Addr) bool { return a.IsPrivate() || carrier.Contains(a) }

var (
	carrier = netip.MustParsePrefix("100.64.0.0/10")
	// What is global by its form and leads elsewhere, or nowhere: RFC 6890 and
	// its registries.
	special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/8", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10")
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	sixTo = netip.MustParsePrefix("2002::/16")
)

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// public says whether an address is one of the internet's.
func public(a netip.Addr) bool {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return public(netip.AddrFrom4([4]byte(b[12:16])))
	case sixTo.Contains(a):
		return public(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Reached gives what settings say that the connector connects to: those that
// the schema marks Reach. Its errors name the settings, and are the operator's.
func Reached(schema Schema, s Settings) ([]Host, []Problem) {
	var hosts []Host
	var problems []Problem
	walk := func(prefix []string, known []Setting, s Settings) {
		port := s.Number("port")
		for _, k := range known {
			if !k.Reach {
				continue
			}
			texts, _ := s[k.Name].([]string)
			if t := s.Text(k.Name); t != "" {
				texts = []string{t}
			}
			for _, t := range texts {
				h, err := ParseHost(t, uint16(min(max(port, 0), 65535)))
				if err != nil {
					problems = append(problems, Problem{Path: append(slices.Clone(prefix), k.Name), Summary: "this names nothing to connect to", Detail: err.Error()})
					continue
				}
				if t == k.Default || isDefault(k.Default, t) {
					h.Public = true // nobody here has written it
				}
				hosts = append(hosts, h)
			}
		}
	}
	walk(nil, schema.Settings, s)
	for _, b := range schema.Blocks {
		walk([]string{b.Name}, b.Settings, s.Block(b.Name))
	}
	return hosts, problems
}

func isDefault(def any, text string) bool {
	all, _ := def.([]string)
	return slices.Contains(all, text)
}
