package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// The forms of a payload.
const (
	formNotification = "notification"
	formCleverTap    = "clevertap" // with the keys that CleverTap's SDK reads
)

// config is what the settings mean.
type config struct {
	key     *ecdsa.PrivateKey // nil = by certificate
	keyID   string
	team    string
	topic   string
	base    string // URL of a device without its token
	form    string
	clever  string
	conns   int
	streams int // on one connection
	timeout time.Duration
	proxy   *url.URL
	tls     *tls.Config
}

// Schema implements connector.Connector.
func (a *apns) Schema() connector.Schema {
	one, conns, streams := 1.0, 16.0, 1000.0
	return connector.Schema{Settings: []connector.Setting{
		{Name: "topic", Type: connector.TypeString, Required: true, Pattern: `^[A-Za-z0-9.-]{1,255}$`, Doc: "Bundle id of the app: com.acme.app."},
		{Name: "key", Type: connector.TypeString, Sensitive: true, Doc: "Key of Apple's for token-based sign-in, the .p8 file; write file(\"..\") or credential(\"..\")."},
		{Name: "key_id", Type: connector.TypeString, Pattern: `^[A-Z0-9]{10}$`, Doc: "Id of that key, ten characters."},
		{Name: "team_id", Type: connector.TypeString, Pattern: `^[A-Z0-9]{10}$`, Doc: "Id of the team in Apple's developer account, ten characters."},
		{Name: "certificate", Type: connector.TypeString, Doc: "Certificate, PEM, instead of a key; write file(\"..\")."},
		{Name: "certificate_key", Type: connector.TypeString, Sensitive: true, Doc: "Key of the certificate, PEM; write file(\"..\")."},
		{Name: "payload", Type: connector.TypeString, Default: formNotification, Enum: []string{formNotification, formCleverTap}, Doc: "\"clevertap\" names links, images and ids as CleverTap's SDK in the app wants them."},
		{Name: "clevertap_account", Type: connector.TypeString, Pattern: `^[A-Za-z0-9-]{1,64}$`, Doc: "Account id that the app gives CleverTap's SDK, if it has several."},
		{Name: "connections", Type: connector.TypeNumber, Default: 2.0, Min: &one, Max: &conns, Doc: "How many connections are kept to Apple."},
		{Name: "streams", Type: connector.TypeNumber, Default: 100.0, Min: &one, Max: &streams, Doc: "How many messages are on their way at once, on each connection."},
		{Name: "timeout", Type: connector.TypeDuration, Default: "10s", Doc: "How long Apple may take for one answer."},
		{Name: "proxy", Type: connector.TypeString, Reach: true, Sensitive: true, Doc: "HTTP proxy on the way to Apple: \"http://proxy.acme.example:3128\", with a name and password before the host if it wants them."},
		{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that Apple's must come from, if not the system's; write file(\"..\")."},
		{Name: "url", Type: connector.TypeString, Default: "https://api.push.apple.com", Reach: true, Doc: "Where Apple's service is: https://api.sandbox.push.apple.com for apps that are in development; both also at port 2197."},
	}}
}

// read makes sense of the settings. The problems are all there are.
func read(s connector.Settings) (config, []connector.Problem) {
	var problems []connector.Problem
	bad := func(summary, detail string, path ...string) {
		problems = append(problems, connector.Problem{Path: path, Summary: summary, Detail: detail})
	}
	orNumber := func(name string, v int) int {
		if n := int(s.Number(name)); n > 0 {
			return n
		}
		return v
	}
	c := config{
		keyID: s.Text("key_id"), team: s.Text("team_id"), topic: s.Text("topic"), form: s.Text("payload"), clever: s.Text("clevertap_account"),
		conns: orNumber("connections", 2), streams: orNumber("streams", 100), timeout: s.Duration("timeout"),
		tls: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	if c.topic == "" {
		bad("no topic", "Write the app's bundle id, such as com.acme.app.", "topic")
	}
	switch key, cert := s.Text("key"), s.Text("certificate"); {
	case key != "" && cert != "":
		bad("two ways to sign in", "Write either key, key_id and team_id, or certificate and certificate_key.", "certificate")
	case key != "":
		if c.key = readKey(key); c.key == nil {
			bad("not a key of Apple's", "Write file(\"..\") of the .p8 file that Apple gave once: a P-256 key in PEM.", "key")
		}
		if c.keyID == "" || c.team == "" {
			bad("half a sign-in", "Write key_id and team_id beside key.", "key")
		}
	case cert != "":
		pair, err := tls.X509KeyPair([]byte(cert), []byte(s.Text("certificate_key")))
		if err != nil {
			bad("not a certificate with its key", "Write file(\"..\") of a PEM file in both certificate and certificate_key.", "certificate")
		}
		c.tls.Certificates = []tls.Certificate{pair}
	default:
		bad("no sign-in", "Write key, key_id and team_id, or certificate and certificate_key.", "key")
	}
	base := strings.TrimSuffix(s.Text("url"), "/")
	if u, err := url.Parse(base); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		bad("not an https URL", "Write https://api.push.apple.com or https://api.sandbox.push.apple.com.", "url")
	}
	c.base = base + "/3/device/"
	if v := s.Text("proxy"); v != "" {
		var err error
		if c.proxy, err = url.Parse(v); err != nil || c.proxy.Scheme != "http" && c.proxy.Scheme != "https" || c.proxy.Host == "" {
			bad("not a proxy", "Write it as http://proxy.acme.example:3128.", "proxy")
		}
	}
	if v := s.Text("ca"); v != "" {
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(v)) {
			bad("no certificate in it", "Write file(\"/path/ca.pem\") of a file with -----BEGIN CERTIFICATE-----.", "ca")
		}
	}
	return c, problems
}

// readKey reads a .p8 file; nil if it is none.
func readKey(text string) *ecdsa.PrivateKey {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil
	}
	return key
}

// transport makes connections by the settings.
func (c *config) transport() *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: c.timeout / 2}).DialContext,
		TLSClientConfig:     c.tls.Clone(),
		TLSHandshakeTimeout: c.timeout / 2,
		DisableCompression:  true,
	}
	if c.proxy != nil {
		t.Proxy = http.ProxyURL(c.proxy)
	}
	return t
}
