package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// What holds where nothing is written.
const (
	defaultDataDir     = "/var/lib/cloister"
	defaultDiskReserve = 2 << 30
)

var defaultAddress = map[string]string{
	Collect: "127.0.0.1:8480",
	Console: "127.0.0.1:8481",
	Metrics: "127.0.0.1:8482",
	Mail:    "127.0.0.1:2525",
}

func dirOf(r hcl.Range) string { return filepath.Dir(r.Filename) }

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// config decodes the whole.
func (l *loader) config(root *node) *Config {
	r := l.reader(root)
	c := &Config{Files: l.files}
	c.Appliance = l.appliance(r.one("appliance"))
	c.Keyring = l.keyring(r.one("keyring"), c.Appliance.DataDir)
	c.Sandbox.Bounds = Bounds{Memory: 1 << 30, Threads: 512}
	if b := r.one("sandbox"); b != nil {
		c.Sandbox.Range, c.Sandbox.Require = b.n.at(), b.text("require", textRule{choice: Grades})
		c.Sandbox.Bounds = bounds(b, c.Sandbox.Bounds)
		b.end()
	}
	l.sandbox = c.Sandbox
	c.Authors = l.authors(r.many("author", "name"))
	c.Listeners = l.listeners(r.many("listener", "name"))
	c.Publishers = l.publishers(r.many("publisher", "name"))
	r.end()
	if len(c.Publishers) == 0 && len(l.files) > 0 && len(l.sources) > 0 {
		l.bad(codeEmpty, nil, hcl.Range{Filename: l.files[0]}, "there is no publisher",
			`Add one: publisher "acme" { .. }, and in it key "app" { id = "ACME-APP" }.`)
	}
	l.links(c)
	return c
}

var authorPattern = regexp.MustCompile(`^ed25519:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$`)

func (l *loader) authors(rs []*reader) []Author {
	var out []Author
	for _, r := range rs {
		a := Author{Range: r.n.at()}
		a.Name, _ = r.name(0, textRule{pattern: namePattern, form: nameForm})
		a.Key = r.text("key", textRule{need: true, max: 64, pattern: authorPattern, example: `"ed25519:BASE64"`,
			form: `It is "ed25519:" and 44 characters of base64, as "cloister connector key" prints it for the author.`})
		r.end()
		out = append(out, a)
	}
	return out
}

func (l *loader) appliance(r *reader) Appliance {
	a := Appliance{DataDir: defaultDataDir, DiskReserve: defaultDiskReserve}
	a.Name, _ = os.Hostname()
	if a.Name == "" {
		a.Name = "cloister"
	}
	if r != nil {
		a.Range = r.n.at()
		a.Name = r.text("name", textRule{missing: a.Name, min: 1, max: 128, example: `"dc1"`})
		a.DataDir = r.path("data_dir", false, a.DataDir)
		a.PublicURL = publicURL(r)
		for _, dir := range r.texts("connector_dirs", textRule{min: 1, max: 4096, example: `"/usr/lib/cloister/connectors"`}) {
			a.Connectors = append(a.Connectors, absolute(dirOf(r.at("connector_dirs")), dir))
		}
		a.DiskReserve = r.size("disk_reserve", a.DiskReserve, 256<<20, 1<<50)
		a.LogLevel = levels[r.text("log_level", textRule{missing: "info", choice: []string{"debug", "info", "warn", "error"}})]
		r.end()
	}
	if l.o.DataDir != "" {
		a.DataDir = absolute(".", l.o.DataDir)
	}
	return a
}

// publicURL reads the address that stands in every message. Recipients' mail
// programs refuse plain HTTP, and one-click unsubscribing demands HTTPS.
func publicURL(r *reader) string {
	const name, form = "public_url", `Write where apps and recipients find the collect listener, without a query: "https://engage.acme.example".`
	s := r.text(name, textRule{max: 512, example: `"https://engage.acme.example"`})
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		r.bad(codeMalformed, name, "public_url is not the address of a web server", form)
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return strings.TrimRight(s, "/")
	case u.Scheme == "http":
		r.bad(codePublicURL, name, "public_url must begin with https://", "Plain HTTP is for trying it out on the same machine: http://localhost:8480.")
	default:
		r.bad(codeMalformed, name, "public_url must begin with https://", form)
	}
	return ""
}

func (l *loader) keyring(r *reader, dataDir string) Keyring {
	k := Keyring{File: filepath.Join(dataDir, "master.key"), Make: true}
	if r == nil {
		return k
	}
	k.Range = r.n.at()
	file := r.path("file", false, "")
	credential := r.text("credential", textRule{max: 255, example: `"cloister-master"`})
	r.end()
	switch {
	case r.is("file") && r.is("credential"):
		r.bad(codeTogether, "credential", "the master key is named twice", "Keep either file or credential.")
	case !r.is("file") && !r.is("credential"):
		r.l.bad(codeMissing, r.n, r.n.at(), "the keyring names no key",
			`Set file = "/etc/cloister/master.key", or credential = "cloister-master"; without a keyring block the key is master.key in the data directory.`)
	case credential != "" && !validCredential(credential):
		r.bad(codeMalformed, "credential", "this is no name of a credential", "A name has no slash and does not begin with a dot; LoadCredential=NAME:/path in the service's unit gives it.")
	case credential != "":
		k.File, k.Make = filepath.Join(l.o.Credentials, credential), false
	case file != "":
		k.File, k.Make = file, false
	}
	return k
}

// listeners gives all three that there always are, in order, and that for mail
// if it is written.
func (l *loader) listeners(rs []*reader) []Listener {
	names := []string{Collect, Console, Metrics, Mail}
	written := map[string]*reader{}
	for _, r := range rs {
		if name, ok := r.name(0, textRule{choice: names}); ok {
			written[name] = r
		}
	}
	var out []Listener
	for _, name := range names {
		r := written[name]
		if r == nil && name == Mail {
			continue
		}
		if r == nil {
			out = append(out, Listener{Name: name, Address: defaultAddress[name], Limits: defaultLimits})
			continue
		}
		out = append(out, l.listener(r, name))
	}
	l.collisions(out, written)
	return out
}

// collisions finds listeners that cannot both have their address. Of two that
// were written the later one is told, with the other's place.
func (l *loader) collisions(all []Listener, written map[string]*reader) {
	for i, a := range all {
		for _, b := range all[:i] {
			if !collide(a.Address, b.Address) {
				continue
			}
			ra, rb := written[a.Name], written[b.Name]
			switch {
			case ra != nil && rb != nil:
				ra.bad(codeTaken, "address", "the listener "+strconv.Quote(b.Name)+" is at "+rb.shown("address", b.Address)+" already", "Give each its own port.",
					Place{Range: rb.at("address"), Note: "the other one"})
			case ra != nil:
				l.defaultTaken(ra, b)
			case rb != nil:
				l.defaultTaken(rb, a)
			}
		}
	}
}

// defaultTaken tells of an address that is the default of another listener.
func (l *loader) defaultTaken(r *reader, other Listener) {
	r.bad(codeTaken, "address", fmt.Sprintf("the listener %q is at %s when nothing else is written", other.Name, other.Address),
		fmt.Sprintf("Take another port, or write listener %q { address = \"..\" } as well.", other.Name))
}

// collide says whether two addresses cannot be listened on at once. Every
// address of the machine is one of "0.0.0.0"; port 0 is a new one each time.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	every := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	return hostA == hostB || every(hostA) || every(hostB)
}

func (l *loader) listener(r *reader, name string) Listener {
	out := Listener{Name: name, Range: r.n.at()}
	out.Address = address(r, defaultAddress[name])
	if name != Mail { // whose senders decide
		out.Insecure = r.flag("insecure", false)
	}
	if t := r.one("tls"); t != nil {
		out.TLS = l.tls(t)
	}
	if name != Metrics && name != Mail {
		out.TrustedProxies = proxies(r)
	}
	out.Limits = defaultLimits
	if name == Mail {
		out.Limits = mailLimits
	}
	if b := r.one("limits"); b != nil {
		out.Limits = listenerLimits(b, out.Limits, name)
	}
	r.end()
	host, _, _ := net.SplitHostPort(out.Address)
	switch {
	case out.TLS != nil && out.Insecure:
		r.bad(codeTogether, "insecure", "insecure and tls do not go together", "Remove one of the two.")
	case name != Mail && out.TLS == nil && !out.Insecure && !loopback(host):
		r.bad(codePlain, "address", r.shown("address", out.Address)+" can be reached from other machines, without encryption",
			"Add a block tls with cert_file and key_file, or tls { self_signed = true }; or take an address on 127.0.0.1; or say insecure = true if something in front of it encrypts.")
	}
	return out
}

// proxies reads whom X-Forwarded-For is believed. Everything is nobody's proxy:
// then each client would say itself who it is.
func proxies(r *reader) []netip.Prefix {
	const name, form = "trusted_proxies", `Write addresses or networks: "10.1.2.3", "10.1.2.0/24", "fd00:12::/64".`
	var out []netip.Prefix
	for i, s := range r.texts(name, textRule{min: 1, max: 64, example: `"10.1.2.0/24"`}) {
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			r.l.bad(codeMalformed, r.n, elementAt(r.n.args[name], i), r.shown(name, s)+" is no network", form)
		case p.Bits() == 0:
			r.l.bad(codeBounds, r.n, elementAt(r.n.args[name], i), "every address would be a trusted proxy", "Anybody could say that they are somebody else. Name the proxies.")
		default:
			out = append(out, p.Masked())
		}
	}
	return out
}

// defaultLimits let a bank's servers, or the phones of a mobile network, come
// from one address.
var defaultLimits = ListenerLimits{Connections: 16384, AddressConnections: 4096, AddressRequests: 1024, AddressRate: 10_000}

// mailLimits are enough for what comes back of large campaigns, by a few relays.
var mailLimits = ListenerLimits{Connections: 512, AddressConnections: 64}

func listenerLimits(r *reader, out ListenerLimits, name string) ListenerLimits {
	out.Range = r.n.at()
	out.Connections = r.whole("connections", false, out.Connections, 16, 1_000_000)
	out.AddressConnections = r.whole("address_connections", false, out.AddressConnections, 1, 1_000_000)
	if name == Collect {
		out.AddressRequests = r.whole("address_requests", false, out.AddressRequests, 1, 100_000)
		out.AddressRate, _ = measure(r, "address_rate", false, out.AddressRate, `"500/s"`, rateForm, ParseRate)
	}
	r.end()
	return out
}

// address reads host:port.
func address(r *reader, missing string) string {
	const form = `Write an IP address and a port: "0.0.0.0:8443", "127.0.0.1:8481", "[::1]:8481".`
	s := r.text("address", textRule{need: true, min: 1, max: 300, example: strconv.Quote(missing)})
	if s == "" {
		return missing
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		r.bad(codeMalformed, "address", "address cannot be "+r.shown("address", s), form)
		return missing
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		r.bad(codeMalformed, "address", r.shown("address", port)+" is no port", form)
		return missing
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostPattern.MatchString(host) {
		r.bad(codeMalformed, "address", r.shown("address", host)+" is no host", form)
		return missing
	}
	return s
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// loopback says whether only this machine reaches a host.
func loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost"
}

func (l *loader) tls(r *reader) *TLS {
	t := &TLS{Range: r.n.at()}
	t.CertFile = r.path("cert_file", false, "")
	t.KeyFile = r.path("key_file", false, "")
	t.SelfSigned = r.flag("self_signed", false)
	r.end()
	cert, key := r.is("cert_file"), r.is("key_file")
	switch {
	case t.SelfSigned && (cert || key):
		r.bad(codeTLS, "self_signed", "a self-signed certificate needs no files", "Remove self_signed, or cert_file and key_file.")
	case t.SelfSigned:
	case !cert && !key:
		r.l.bad(codeTLS, r.n, r.n.at(), "there is no certificate", `Set cert_file and key_file, or self_signed = true.`)
	case !cert:
		r.l.bad(codeTLS, r.n, r.n.at(), "cert_file is missing", `Set it: cert_file = "/etc/cloister/tls.crt"`)
	case !key:
		r.l.bad(codeTLS, r.n, r.n.at(), "key_file is missing", `Set it: key_file = "/etc/cloister/tls.key"`)
	}
	return t
}

// links warns when messages are sent whose links lead nowhere.
func (l *loader) links(c *Config) {
	if c.Appliance.PublicURL != "" || l.found.HasErrors() {
		return
	}
	for _, p := range c.Publishers {
		for _, n := range p.Connectors {
			l.warn(codeNoPublicURL, nil, n.Range, "messages will have no links: there is no public_url",
				`Set it in the appliance block: public_url = "https://engage.acme.example". Opens, clicks and unsubscribing need it.`)
			return
		}
	}
}
