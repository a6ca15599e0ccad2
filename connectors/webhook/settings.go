package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// config is what the settings mean.
type config struct {
	url         *url.URL
	secrets     secrets
	headers     map[string]string
	contentType string
	guard       guard
	timeout     time.Duration
	requests    int // at once
	tls         *tls.Config
}

// Schema implements connector.Connector.
func (w *webhook) Schema() connector.Schema {
	one, most := 1.0, 500.0
	return connector.Schema{Settings: []connector.Setting{
		{Name: "url", Type: connector.TypeString, Required: true, Reach: true, Pattern: `^https?://`, Doc: "Where messages are posted: \"https://hooks.acme.example/cloister\"; http only to a host of `private`."},
		{Name: "secret", Type: connector.TypeString, Required: true, Sensitive: true, Doc: "What messages are signed with: \"whsec_\" and 24 to 64 random bytes in base64; write file(\"..\")."},
		{Name: "previous", Type: connector.TypeString, Sensitive: true, Doc: "The secret before this one: while both are written, messages have both signatures."},
		{Name: "headers", Type: connector.TypeMap, Sensitive: true, Doc: "Further headers, such as { Authorization = \"Bearer ..\" }."},
		{Name: "content_type", Type: connector.TypeString, Default: "application/json", Pattern: `^application/([A-Za-z0-9.-]+\+)?json(; ?charset=utf-8)?$`, Doc: "Content type of messages, which are JSON."},
		{Name: "private", Type: connector.TypeStrings, Reach: true, Doc: "Hosts and networks that are not of the internet and may be posted to all the same: \"10.1.2.0/24:8443\", \"hooks.acme.internal:443\"."},
		{Name: "requests", Type: connector.TypeNumber, Default: 16.0, Min: &one, Max: &most, Doc: "How many messages are on their way at once."},
		{Name: "timeout", Type: connector.TypeDuration, Default: "15s", Doc: "How long the receiver may take for one answer."},
		{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that the receiver's must come from, if not the system's; write file(\"..\")."},
		{Name: "certificate", Type: connector.TypeString, Doc: "Certificate to show to the receiver, PEM; write file(\"..\")."},
		{Name: "key", Type: connector.TypeString, Sensitive: true, Doc: "Private key of the certificate, PEM; write file(\"..\")."},
	}}
}

// read makes sense of the settings. The problems are all there are.
func read(s connector.Settings) (config, []connector.Problem) {
	var problems []connector.Problem
	bad := func(name, summary, detail string) {
		problems = append(problems, connector.Problem{Path: []string{name}, Summary: summary, Detail: detail})
	}
	c := config{timeout: 15 * time.Second, requests: 16, contentType: "application/json", tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	list, _ := s["private"].([]string)
	for _, text := range list {
		h, err := connector.ParseHost(text, 0)
		if err == nil && h.Any {
			bad("private", "everything is not private", "Name the hosts or networks: 10.1.2.0/24:8443.")
		} else if err != nil {
			bad("private", err.Error(), "Write HOST:PORT, ADDRESS:PORT or NETWORK/BITS:PORT.")
		} else {
			c.guard.private = append(c.guard.private, h)
		}
	}
	u, err := url.Parse(s.Text("url"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		bad("url", "not an address to post to", "Write https://hooks.acme.example/cloister; name and password go into `headers`.")
		u = &url.URL{Scheme: "https", Host: "invalid."}
	} else if c.guard.plain = u.Scheme == "http"; c.guard.plain && !c.guard.named(u) {
		bad("url", "not encrypted", "Write https://, or list the host in `private` if the way to it is yours alone.")
	} else if a, err := netip.ParseAddr(u.Hostname()); err == nil && !public.Covers(netip.AddrPortFrom(a, 443), "") && !c.guard.named(u) {
		bad("url", "an address that is not of the internet", "List it in `private` with its port if it is meant.")
	}
	c.url = u
	for _, name := range []string{"secret", "previous"} {
		text := s.Text(name)
		if text == "" && name == "previous" {
			continue
		}
		key, err := readSecret(text)
		if err != nil {
			bad(name, err.Error(), "Make one with: echo whsec_$(openssl rand -base64 32)")
			continue
		}
		c.secrets = append(c.secrets, key)
	}
	c.headers, _ = s["headers"].(map[string]string)
	for name, v := range c.headers {
		if problem := headerProblem(name, v); problem != "" {
			bad("headers", problem, "Write names of letters, digits and -, values of one line, and none that the connector writes itself.")
		}
	}
	if t := s.Text("content_type"); t != "" {
		c.contentType = t
	}
	if s.Text("timeout") != "" {
		if c.timeout = s.Duration("timeout"); c.timeout < time.Second || c.timeout > 2*time.Minute {
			bad("timeout", "out of range", "Write 1s to 2m.")
		}
	}
	if n := int(s.Number("requests")); n > 0 {
		c.requests = n
	}
	if ca := s.Text("ca"); ca != "" {
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			bad("ca", "no certificate in it", "Write file(\"/path/ca.pem\") of a file with -----BEGIN CERTIFICATE-----.")
		}
	}
	if cert, key := s.Text("certificate"), s.Text("key"); cert != "" || key != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			bad("certificate", "not a certificate and its key", "Write file(\"/path/client.pem\"), and `key` = file(\"/path/client.key\") that belongs to it.")
		}
		c.tls.Certificates = []tls.Certificate{pair}
	}
	return c, problems
}

// headerProblem says why a header may not be added; "" = it may.
func headerProblem(name, value string) string {
	switch key := textproto.CanonicalMIMEHeaderKey(name); {
	case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
		return "not a header"
	case strings.HasPrefix(key, "Webhook-") || ours[key]:
		return "the connector writes " + key + " itself"
	}
	return ""
}

// ours are headers that are not the operator's to write.
var ours = map[string]bool{
	"Host": true, "Content-Type": true, "Content-Length": true, "Content-Encoding": true, "Transfer-Encoding": true, "Connection": true,
	"Upgrade": true, "Te": true, "Trailer": true, "Expect": true, "User-Agent": true,
}

// transport keeps connections to the receiver.
func (c *config) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig: c.tls, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: c.requests, MaxConnsPerHost: c.requests, IdleConnTimeout: 90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		DialContext: c.guard.dial,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
	}
}
