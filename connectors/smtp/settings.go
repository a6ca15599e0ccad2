package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// The ways of encrypting the connection.
const (
	tlsStart = "starttls" // begin in the clear, encrypt before anything is said
	tlsWhole = "tls"      // encrypted from the first byte
	tlsNone  = "none"
)

// config is what the settings mean.
type config struct {
	address    string // host:port
	host       string
	hello      string
	from       *mail.Address
	replyTo    *mail.Address // nil = none
	returnPath string        // envelope sender, unless there are marks
	marks      *marks        // nil = mail that comes back is somebody else's
	files      *files        // nil = no attachments
	username   string
	password   string
	auth       string // one of mechanisms; "" = the best that is offered
	conns      int
	perConn    int // messages on one connection
	timeout    time.Duration
	idle       time.Duration
	tlsMode    string
	tls        *tls.Config
	dkim       []signer // none, one, or one of each kind
}

// files are the attachments that are allowed.
type files struct {
	max   int // bytes, of a message's together
	types []string
}

// Schema implements connector.Connector.
func (s *smtp) Schema() connector.Schema {
	one, most, port, lots, room := 1.0, 64.0, 65535.0, 100_000.0, 2.0*(1<<20)
	return connector.Schema{
		Settings: []connector.Setting{
			{Name: "host", Type: connector.TypeString, Required: true, Reach: true, Doc: "Name or address of the relay."},
			{Name: "port", Type: connector.TypeNumber, Default: 587.0, Min: &one, Max: &port, Doc: "Port of the relay: 587 for submission, 465 with tls mode \"tls\", 25 between servers."},
			{Name: "from", Type: connector.TypeString, Required: true, Doc: "Sender that people see: \"Acme <hello@acme.example>\"."},
			{Name: "reply_to", Type: connector.TypeString, Doc: "Where answers go, if not to the sender."},
			{Name: "return_path", Type: connector.TypeString, Doc: "Address that takes bounces, where somebody else reads them; the sender's own if left out."},
			{Name: "username", Type: connector.TypeString, Doc: "Name to sign in to the relay with; left out, there is no sign-in."},
			{Name: "password", Type: connector.TypeString, Sensitive: true, Doc: "Password of that name; write file(\"..\") or credential(\"..\")."},
			{Name: "auth", Type: connector.TypeString, Enum: mechanisms, Doc: "How to sign in, if not by the first of these that the relay offers."},
			{Name: "hello", Type: connector.TypeString, Pattern: `^[A-Za-z0-9.:\[\]-]+$`, Doc: "Name to greet the relay with; the sender's domain if left out."},
			{Name: "connections", Type: connector.TypeNumber, Default: 4.0, Min: &one, Max: &most, Doc: "How many connections are kept to the relay."},
			{Name: "messages_per_connection", Type: connector.TypeNumber, Default: 500.0, Min: &one, Max: &lots, Doc: "After how many messages a connection is given up."},
			{Name: "timeout", Type: connector.TypeDuration, Default: "15s", Doc: "How long the relay may take for one answer."},
			{Name: "idle", Type: connector.TypeDuration, Default: "30s", Doc: "How long an unused connection is kept."},
		},
		Blocks: []connector.Block{
			{Name: "tls", Doc: "Encryption of the connection; left out, STARTTLS is required.", Settings: []connector.Setting{
				{Name: "mode", Type: connector.TypeString, Default: tlsStart, Enum: []string{tlsStart, tlsWhole, tlsNone}, Doc: "\"starttls\" (required, never skipped), \"tls\" from the first byte, or \"none\"."},
				{Name: "server_name", Type: connector.TypeString, Doc: "Name in the relay's certificate, if it is not the host."},
				{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that the relay's must come from, if not the system's; write file(\"..\")."},
				{Name: "verify", Type: connector.TypeBool, Default: true, Doc: "Whether the relay's certificate is checked; without, anybody between can read and change the mail."},
			}},
			{Name: "dkim", Doc: "Signature of messages; left out, they are not signed here.", Settings: []connector.Setting{
				{Name: "domain", Type: connector.TypeString, Required: true, Doc: "Domain that signs; the sender's or one above it."},
				{Name: "selector", Type: connector.TypeString, Required: true, Pattern: `^[A-Za-z0-9._-]+$`, Doc: "Selector: the key is published as SELECTOR._domainkey.DOMAIN."},
				{Name: "key", Type: connector.TypeString, Required: true, Sensitive: true, Doc: "Private key, PEM: RSA of at least 1024 bits, or Ed25519; write file(\"..\")."},
				{Name: "ed25519_selector", Type: connector.TypeString, Pattern: `^[A-Za-z0-9._-]+$`, Doc: "Selector of a second signature beside RSA's."},
				{Name: "ed25519_key", Type: connector.TypeString, Sensitive: true, Doc: "Private key of the second signature, Ed25519, PEM; write file(\"..\")."},
			}},
			{Name: "bounces", Doc: "Mail that comes back to the appliance: bounces, complaints, unsubscribing by mail; left out, return_path takes them.", Settings: []connector.Setting{
				{Name: "domain", Type: connector.TypeString, Required: true, Doc: "Domain whose mail comes to the appliance, such as bounce.acme.example."},
				{Name: "key", Type: connector.TypeString, Required: true, Sensitive: true, Doc: "Secret of 16 bytes at least by which mail that comes back is told from forged; write file(\"..\")."},
			}},
			{Name: "attachments", Doc: "Files with messages; left out, a message that has one is refused.", Settings: []connector.Setting{
				{Name: "types", Type: connector.TypeStrings, Required: true, Doc: "Media types that are allowed: [\"application/pdf\"]."},
				{Name: "max_size", Type: connector.TypeNumber, Default: float64(maxFiles), Min: &one, Max: &room, Doc: "Bytes that the files of one message may have together."},
			}},
		},
	}
}

// read makes sense of the settings. The problems are all there are.
func read(s connector.Settings) (config, []connector.Problem) {
	var problems []connector.Problem
	bad := func(summary, detail string, path ...string) {
		problems = append(problems, connector.Problem{Path: path, Summary: summary, Detail: detail})
	}
	warn := func(summary, detail string, path ...string) {
		problems = append(problems, connector.Problem{Severity: connector.SeverityWarning, Path: path, Summary: summary, Detail: detail})
	}
	orNumber := func(name string, v int) int {
		if n := int(s.Number(name)); n > 0 {
			return n
		}
		return v
	}
	orDuration := func(name string, v time.Duration) time.Duration {
		if d := s.Duration(name); d > 0 {
			return d
		}
		return v
	}
	c := config{
		host: s.Text("host"), username: s.Text("username"), password: s.Text("password"), auth: s.Text("auth"), hello: s.Text("hello"),
		conns: orNumber("connections", 4), perConn: orNumber("messages_per_connection", 500),
		timeout: orDuration("timeout", 15*time.Second), idle: orDuration("idle", 30*time.Second),
		tlsMode: tlsStart,
	}
	if c.host == "" || strings.ContainsAny(c.host, "/ \t\r\n") {
		bad("not a host", "Write a name or an address without scheme and port, such as mail.acme.example.", "host")
	}
	c.address = net.JoinHostPort(c.host, strconv.Itoa(orNumber("port", 587)))
	address := func(name string) *mail.Address {
		v := s.Text(name)
		if v == "" {
			return nil
		}
		a, err := mail.ParseAddress(v)
		if err == nil {
			_, err = checkAddress(a.Address)
		}
		if err != nil || strings.ContainsAny(v, "\r\n") {
			bad("not an e-mail address", "Write it as hello@acme.example or Acme <hello@acme.example>.", name)
			return nil
		}
		return a
	}
	if c.from = address("from"); c.from == nil && s.Text("from") == "" {
		bad("no sender", "Write the address that people see, such as Acme <hello@acme.example>.", "from")
	}
	c.replyTo = address("reply_to")
	if c.from != nil {
		c.returnPath = c.from.Address
		if c.hello == "" {
			c.hello = domainOf(c.from.Address)
		}
	}
	if a := address("return_path"); a != nil {
		c.returnPath = a.Address
	}
	if (c.username == "") != (c.password == "") {
		bad("half a sign-in", "Write both username and password, or neither.", "username")
	}
	c.readTLS(s, bad, warn)
	c.readDKIM(s.Block("dkim"), bad)
	c.readBounces(s, bad)
	c.readFiles(s.Block("attachments"), bad)
	return c, problems
}

type complain func(summary, detail string, path ...string)

func (c *config) readTLS(s connector.Settings, bad, warn complain) {
	t := s.Block("tls")
	c.tls = &tls.Config{ServerName: c.host, MinVersion: tls.VersionTLS12}
	if t != nil {
		if m := t.Text("mode"); m != "" {
			c.tlsMode = m
		}
		if n := t.Text("server_name"); n != "" {
			c.tls.ServerName = n
		}
		if ca := t.Text("ca"); ca != "" {
			c.tls.RootCAs = x509.NewCertPool()
			if !c.tls.RootCAs.AppendCertsFromPEM([]byte(ca)) {
				bad("no certificate in it", "Write file(\"/path/ca.pem\") of a file with -----BEGIN CERTIFICATE-----.", "tls", "ca")
			}
		}
		if v, ok := t["verify"].(bool); ok && !v {
			c.tls.InsecureSkipVerify = true
			warn("the relay's certificate is not checked", "Anybody between can read and change the mail. Write ca = file(\"..\") instead.", "tls", "verify")
		}
	}
	if c.tlsMode != tlsStart && c.tlsMode != tlsWhole && c.tlsMode != tlsNone {
		bad("not a mode", "Allowed are \"starttls\", \"tls\" and \"none\".", "tls", "mode")
	}
	if c.tlsMode == tlsNone && !local(c.host) {
		if c.password != "" {
			bad("the password would cross the network unencrypted", "Write mode = \"starttls\", or leave username and password out.", "tls", "mode")
		} else {
			warn("mail crosses the network unencrypted", "Write mode = \"starttls\" if the relay can do it.", "tls", "mode")
		}
	}
}

// local says whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func domainOf(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// under says whether domain is above or one below it.
func under(domain, above string) bool {
	domain, above = strings.ToLower(domain), strings.ToLower(above)
	return domain == above || strings.HasSuffix(domain, "."+above)
}

// sentence is an error as a sentence for the operator.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
