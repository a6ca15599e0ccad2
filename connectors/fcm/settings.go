package main

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// The forms of a payload.
const (
	formNotification = "notification" // Android itself shows it
	formCleverTap    = "clevertap"    // CleverTap's SDK in the app does
)

// config is what the settings mean.
type config struct {
	account  account
	project  string
	send     string // URL
	tokenURL string
	form     string
	clever   string // account id for CleverTap's SDK
	channel  string
	conns    int
	streams  int // on one connection
	timeout  time.Duration
	proxy    *url.URL
	tls      *tls.Config
}

// account is Google's file of a service account, as much of it as is needed.
type account struct {
	Type     string `json:"type"`
	Project  string `json:"project_id"`
	KeyID    string `json:"private_key_id"`
	Key      string `json:"private_key"`
	Email    string `json:"client_email"`
	Audience string `json:"token_uri"`
}

// Schema implements connector.Connector.
func (f *fcm) Schema() connector.Schema {
	one, conns, streams := 1.0, 16.0, 100.0
	return connector.Schema{Settings: []connector.Setting{
		{Name: "service_account", Type: connector.TypeString, Required: true, Sensitive: true, Doc: "Google's JSON file of a service account that may send; write file(\"..\") or credential(\"..\")."},
		{Name: "project", Type: connector.TypeString, Pattern: `^[a-z0-9][a-z0-9:.-]{2,62}$`, Doc: "Id of the Firebase project, if it is not the service account's own."},
		{Name: "payload", Type: connector.TypeString, Default: formNotification, Enum: []string{formNotification, formCleverTap}, Doc: "\"notification\": Android shows it, in any app; \"clevertap\": CleverTap's SDK in the app does."},
		{Name: "clevertap_account", Type: connector.TypeString, Pattern: `^[A-Za-z0-9-]{1,64}$`, Doc: "Account id that the app gives CleverTap's SDK, if it has several."},
		{Name: "channel", Type: connector.TypeString, Doc: "Android's notification channel of messages whose campaign names none."},
		{Name: "connections", Type: connector.TypeNumber, Default: 2.0, Min: &one, Max: &conns, Doc: "How many connections are kept to FCM."},
		{Name: "streams", Type: connector.TypeNumber, Default: 50.0, Min: &one, Max: &streams, Doc: "How many messages are on their way at once, on each connection."},
		{Name: "timeout", Type: connector.TypeDuration, Default: "10s", Doc: "How long FCM may take for one answer."},
		{Name: "proxy", Type: connector.TypeString, Reach: true, Sensitive: true, Doc: "HTTP proxy on the way to Google: \"http://proxy.acme.example:3128\", with a name and password before the host if it wants them."},
		{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that Google's, or those of a proxy that opens the encryption, must come from, if not the system's; write file(\"..\")."},
		{Name: "url", Type: connector.TypeString, Default: "https://fcm.googleapis.com", Reach: true, Doc: "Where FCM is."},
		{Name: "token_url", Type: connector.TypeString, Default: "https://oauth2.googleapis.com/token", Reach: true, Doc: "Where the service account signs in."},
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
		form: s.Text("payload"), clever: s.Text("clevertap_account"), channel: s.Text("channel"), tokenURL: s.Text("token_url"),
		conns: orNumber("connections", 2), streams: orNumber("streams", 50), timeout: s.Duration("timeout"),
		tls: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	var err error
	if c.account, err = readAccount(s.Text("service_account")); err != nil {
		bad("not a service account", sentence(err)+" Write file(\"..\") of the JSON file that the Firebase console gives under Project settings, Service accounts.", "service_account")
	}
	if c.project = s.Text("project"); c.project == "" {
		c.project = c.account.Project
	}
	if c.project == "" && err == nil {
		bad("no project", "The service account names none: write the Firebase project's id.", "project")
	}
	base := strings.TrimSuffix(s.Text("url"), "/")
	for name, v := range map[string]string{"url": base, "token_url": c.tokenURL} {
		if u, err := url.Parse(v); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
			bad("not an https URL", "Leave it out to reach Google itself.", name)
		}
	}
	c.send = base + "/v1/projects/" + url.PathEscape(c.project) + "/messages:send"
	if v := s.Text("proxy"); v != "" {
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
	if c.clever != "" && c.form != formCleverTap {
		problems = append(problems, connector.Problem{
			Severity: connector.SeverityWarning, Path: []string{"clevertap_account"},
			Summary: "it is not used", Detail: "Write payload = \"clevertap\" too.",
		})
	}
	return c, problems
}

var email = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)

// readAccount reads the file of a service account. Its errors hold nothing of it.
func readAccount(text string) (account, error) {
	var a account
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, errors.New("it is not JSON")
	}
	if a.Type != "service_account" {
		return a, fmt.Errorf("its \"type\" is not \"service_account\"")
	}
	if !email.MatchString(a.Email) {
		return a, errors.New("its \"client_email\" is missing")
	}
	block, _ := pem.Decode([]byte(a.Key))
	if block == nil {
		return a, errors.New("its \"private_key\" is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if _, ok := key.(*rsa.PrivateKey); err != nil || !ok {
		return a, errors.New("its \"private_key\" is not an RSA key")
	}
	return a, nil
}

// transport makes connections by the settings.
func (c *config) transport() *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: c.timeout / 2}).DialContext,
		TLSClientConfig:     c.tls.Clone(),
		TLSHandshakeTimeout: c.timeout / 2,
		IdleConnTimeout:     5 * time.Minute,
		DisableCompression:  true,
	}
	if c.proxy != nil {
		t.Proxy = http.ProxyURL(c.proxy)
	}
	return t
}

// sentence is an error as a sentence for the operator.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
