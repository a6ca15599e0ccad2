package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// config is what the settings mean.
type config struct {
	vapid    *vapid
	services services
	ttl      time.Duration // how long a push service keeps what has no end of its own
	icon     string
	timeout  time.Duration
	requests int // at once
	proxy    *url.URL
	tls      *tls.Config
}

// Schema implements connector.Connector.
func (w *webpush) Schema() connector.Schema {
	one, most := 1.0, 500.0
	return connector.Schema{Settings: []connector.Setting{
		{Name: "key", Type: connector.TypeString, Required: true, Sensitive: true, Doc: "Private VAPID key: PEM of P-256, or 32 bytes as base64url; write file(\"..\")."},
		{Name: "subject", Type: connector.TypeString, Required: true, Doc: "Whom push services turn to: \"mailto:ops@acme.example\" or an https address."},
		{Name: "services", Type: connector.TypeStrings, Default: known, Reach: true, Doc: "Push services that subscriptions may be at, as HOST:PORT; \"*.HOST:PORT\" is everything below."},
		{Name: "ttl", Type: connector.TypeDuration, Default: "672h", Doc: "How long a push service keeps a message that does not expire, for a browser that is away."},
		{Name: "icon", Type: connector.TypeString, Pattern: `^https://`, Doc: "Picture beside each message, an https address."},
		{Name: "requests", Type: connector.TypeNumber, Default: 64.0, Min: &one, Max: &most, Doc: "How many messages are on their way at once."},
		{Name: "timeout", Type: connector.TypeDuration, Default: "15s", Doc: "How long a push service may take for one answer."},
		{Name: "proxy", Type: connector.TypeString, Reach: true, Doc: "Proxy towards the internet: \"http://proxy.acme.example:3128\"."},
		{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that the services' must come from, if not the system's; write file(\"..\")."},
	}}
}

// read makes sense of the settings. The problems are all there are.
func read(s connector.Settings) (config, []connector.Problem) {
	var problems []connector.Problem
	bad := func(name, summary, detail string) {
		problems = append(problems, connector.Problem{Path: []string{name}, Summary: summary, Detail: detail})
	}
	c := config{ttl: 28 * 24 * time.Hour, timeout: 15 * time.Second, requests: 64, icon: s.Text("icon"),
		tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if why := subjectWrong(s.Text("subject")); why != "" {
		bad("subject", why, "Write an address that somebody reads: mailto:ops@acme.example, or https://acme.example/contact.")
	}
	if key, err := readKey(s.Text("key")); err != nil {
		bad("key", "not a key: "+err.Error(), "Make one with: openssl ecparam -name prime256v1 -genkey -noout -out vapid.pem")
	} else if c.vapid, err = newVapid(key, s.Text("subject")); err != nil {
		bad("key", "not a key: "+err.Error(), "Make one with: openssl ecparam -name prime256v1 -genkey -noout -out vapid.pem")
	}
	list, given := s["services"].([]string)
	if !given {
		list = known
	}
	var err error
	if c.services, err = readServices(list); err != nil {
		bad("services", err.Error(), "Write fcm.googleapis.com:443 or *.push.apple.com:443.")
	} else if len(list) == 0 {
		bad("services", "no push service", "Leave the line out for those of all browsers.")
	}
	if c.icon != "" {
		if u, err := url.Parse(c.icon); err != nil || u.Host == "" || len(c.icon) > 500 {
			bad("icon", "not an address", "Write an https address of at most 500 bytes.")
		}
	}
	duration := func(name string, to *time.Duration, least, most time.Duration) {
		d := s.Duration(name)
		if s.Text(name) == "" {
			return
		}
		if d < least || d > most {
			bad(name, "out of range", "Write "+least.String()+" to "+most.String()+".")
			return
		}
		*to = d
	}
	duration("ttl", &c.ttl, 0, 28*24*time.Hour)
	duration("timeout", &c.timeout, time.Second, 2*time.Minute)
	if n := int(s.Number("requests")); n > 0 {
		c.requests = n
	}
	if p := s.Text("proxy"); p != "" {
		if c.proxy, err = url.Parse(p); err != nil || c.proxy.Scheme != "http" && c.proxy.Scheme != "https" || c.proxy.Host == "" || strings.Trim(c.proxy.Path, "/") != "" {
			bad("proxy", "not the address of a proxy", "Write http://HOST:PORT.")
		}
	}
	if ca := s.Text("ca"); ca != "" {
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			bad("ca", "no certificate in it", "Write file(\"/path/ca.pem\") of a file with -----BEGIN CERTIFICATE-----.")
		}
	}
	return c, problems
}

// subjectWrong says why a push service would not take a subject; "" = it does.
// Apple refuses what it takes for nobody's.
func subjectWrong(s string) string {
	host := ""
	if address, ok := strings.CutPrefix(s, "mailto:"); ok {
		a, err := mail.ParseAddress(address)
		if err != nil || a.Name != "" || a.Address != address {
			return "not an e-mail address"
		}
		host = address[strings.LastIndexByte(address, '@')+1:]
	} else {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return "neither mailto: nor https:"
		}
		host = u.Hostname()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch last {
	case "localhost", "local", "invalid", host: // and a name without a dot
		return "Apple's push service refuses such a host"
	}
	if net.ParseIP(host) != nil {
		return "Apple's push service refuses such a host"
	}
	return ""
}

// transport keeps connections to push services; HTTP/2 carries many messages
// at once over one.
func (c *config) transport() *http.Transport {
	t := &http.Transport{
		TLSClientConfig: c.tls, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 8, MaxConnsPerHost: 32, IdleConnTimeout: 90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
	}
	if c.proxy != nil {
		t.Proxy = http.ProxyURL(c.proxy)
	}
	return t
}
