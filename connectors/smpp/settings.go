package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// config is what the settings mean.
type config struct {
	address    string      // host:port
	tls        *tls.Config // nil = in the clear
	systemID   string
	password   string
	systemType string
	version    byte
	binds      []bindAs // one session's
	sessions   int
	window     int     // of one session
	perSecond  float64 // of all; 0 = no bound
	timeout    time.Duration
	enquire    time.Duration
	retry      backoff

	sender   string
	ton, npi int // of senders; -1 = by what the sender is
	service  string
	long     string
	maxParts int

	registered byte
	ids        idForm
	country    string
	optOut     connector.OptOut
	statuses   map[uint32]string
	errors     map[string]string
	dlt        *dlt // nil = not for India
}

// Schema implements connector.Connector.
func (s *smpp) Schema() connector.Schema {
	n := func(v float64) *float64 { return &v }
	return connector.Schema{
		Settings: []connector.Setting{
			{Name: "host", Type: connector.TypeString, Required: true, Reach: true, Doc: "Name or address of the message centre."},
			{Name: "port", Type: connector.TypeNumber, Default: 2775.0, Min: n(1), Max: n(65535), Doc: "Port of the message centre; often 3550 with tls."},
			{Name: "system_id", Type: connector.TypeString, Required: true, Max: n(64), Doc: "Name of the account."},
			{Name: "password", Type: connector.TypeString, Sensitive: true, Max: n(64), Doc: "Password of the account; write file(\"..\") or credential(\"..\")."},
			{Name: "system_type", Type: connector.TypeString, Max: n(12), Doc: "Kind of client, where the message centre wants it."},
			{Name: "version", Type: connector.TypeString, Default: "3.4", Enum: []string{"3.4", "5.0"}, Doc: "Version of SMPP; with 5.0 the message centre tells how full it is."},
			{Name: "bind", Type: connector.TypeString, Default: "transceiver", Enum: []string{"transceiver", "pair", "transmitter"}, Doc: "\"transceiver\" for both ways on one connection, \"pair\" for one each, or \"transmitter\" for sending alone, without receipts."},
			{Name: "sessions", Type: connector.TypeNumber, Default: 1.0, Min: n(1), Max: n(16), Doc: "How many sessions are kept (pairs, with \"pair\"), if the account has several."},
			{Name: "window", Type: connector.TypeNumber, Default: 10.0, Min: n(1), Max: n(1000), Doc: "How many submits of one session may wait for their answers."},
			{Name: "per_second", Type: connector.TypeNumber, Min: n(0.1), Max: n(100_000), Doc: "How many submits a second the account allows; each part of a long message is one."},
			{Name: "timeout", Type: connector.TypeDuration, Default: "10s", Doc: "How long the message centre may take for one answer."},
			{Name: "enquire_link", Type: connector.TypeDuration, Default: "30s", Doc: "After how long a silence the message centre is asked whether it is there."},
			{Name: "sender", Type: connector.TypeString, Max: n(16), Doc: "Sender of messages whose campaign names none: a number, a short code, or a name of up to 11 characters."},
			{Name: "sender_ton", Type: connector.TypeNumber, Min: n(0), Max: n(6), Doc: "Type of number of senders, if not 1 for numbers, 3 for short codes, 5 for names."},
			{Name: "sender_npi", Type: connector.TypeNumber, Min: n(0), Max: n(18), Doc: "Numbering plan of senders, if not 1 for numbers and 0 else."},
			{Name: "service_type", Type: connector.TypeString, Max: n(5), Doc: "Service of messages, where the message centre wants it."},
			{Name: "long", Type: connector.TypeString, Default: longUDH, Enum: []string{longUDH, longSAR, longPayload}, Doc: "How texts go that do not fit one message: \"udh\" and \"sar\" in parts, \"payload\" whole."},
			{Name: "max_parts", Type: connector.TypeNumber, Default: 10.0, Min: n(1), Max: n(255), Doc: "Longest text, in parts; each is paid for."},
			{Name: "receipts", Type: connector.TypeBool, Default: true, Doc: "Whether receipts are asked for."},
			{Name: "receipt_ids", Type: connector.TypeString, Default: string(idsAuto), Enum: []string{string(idsAuto), string(idsSame), string(idsDecimal), string(idsHex)}, Doc: "How receipts write ids: as responses do (\"same\"), \"decimal\" or \"hex\" where responses have the other, or \"auto\"."},
			{Name: "country_code", Type: connector.TypeString, Pattern: `^[1-9][0-9]{0,2}$`, Doc: "Code of numbers that people's messages come from without one, such as 91."},
			{Name: "stop_words", Type: connector.TypeStrings, Doc: "What people write to get no more, instead of the usual words of many languages."},
			{Name: "start_words", Type: connector.TypeStrings, Doc: "What people write to get messages again, instead of the usual words."},
			{Name: "statuses", Type: connector.TypeMap, Doc: "What statuses of the message centre's own mean: { \"0x0401\" = \"again\" }, or \"throttled\", \"address\", \"full\", \"policy\", \"content\", \"config\", \"other\"."},
			{Name: "errors", Type: connector.TypeMap, Doc: "What errors in receipts mean: { \"001\" = \"address\" }, or \"full\", \"policy\", \"content\", \"other\"."},
		},
		Blocks: []connector.Block{
			{Name: "tls", Doc: "Encryption of the connection; left out, it is in the clear.", Settings: []connector.Setting{
				{Name: "server_name", Type: connector.TypeString, Doc: "Name in the message centre's certificate, if it is not the host."},
				{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that the message centre's must come from, if not the system's; write file(\"..\")."},
				{Name: "verify", Type: connector.TypeBool, Default: true, Doc: "Whether the certificate is checked; without, anybody between can read and change messages."},
				{Name: "certificate", Type: connector.TypeString, Doc: "Our certificate, PEM, where the message centre wants one; write file(\"..\")."},
				{Name: "key", Type: connector.TypeString, Sensitive: true, Doc: "Its private key, PEM; write file(\"..\")."},
			}},
			{Name: "dlt", Doc: "Registration of messages to India (+91).", Settings: []connector.Setting{
				{Name: "entity", Type: connector.TypeString, Required: true, Pattern: `^[0-9]{8,30}$`, Doc: "Id of the principal entity."},
				{Name: "headers", Type: connector.TypeStrings, Doc: "Registered headers, of six letters or digits, with their suffix if it is to be checked: \"ACMEBK-S\". Left out, any."},
				{Name: "templates", Type: connector.TypeMap, Doc: "Registered texts by template id: { \"1107..\" = \"Dear {#var#}, ..\" }. Left out, texts are not checked."},
				{Name: "template_headers", Type: connector.TypeMap, Doc: "Headers of templates that are registered for some only, by template id: \"ACMEBK ACMEIN\"."},
				{Name: "chain", Type: connector.TypeString, Max: n(256), Doc: "Hash, or id, of the chain of telemarketers, where the operator wants it."},
				{Name: "entity_tag", Type: connector.TypeString, Default: "0x1400", Pattern: tagPattern, Doc: "Parameter that holds the entity."},
				{Name: "template_tag", Type: connector.TypeString, Default: "0x1401", Pattern: tagPattern, Doc: "Parameter that holds the template's id."},
				{Name: "chain_tag", Type: connector.TypeString, Default: "0x1402", Pattern: tagPattern, Doc: "Parameter that holds the chain."},
				{Name: "terminated", Type: connector.TypeBool, Default: true, Doc: "Whether the values of these parameters end with a NUL."},
				{Name: "suffix", Type: connector.TypeBool, Default: false, Doc: "Whether headers go out with their suffix; operators mostly add it themselves."},
			}},
		},
	}
}

const tagPattern = `^0x[0-9A-Fa-f]{4}$`

// complaints collects problems.
type complaints []connector.Problem

func (p *complaints) bad(summary, detail string, path ...string) {
	*p = append(*p, connector.Problem{Path: path, Summary: summary, Detail: detail})
}

func (p *complaints) warn(summary, detail string, path ...string) {
	*p = append(*p, connector.Problem{Severity: connector.SeverityWarning, Path: path, Summary: summary, Detail: detail})
}

// read makes sense of the settings. The problems are all there are.
func read(s connector.Settings) (config, []connector.Problem) {
	var p complaints
	orNumber := func(name string, v int) int {
		if n, ok := s[name].(float64); ok {
			return int(n)
		}
		return v
	}
	orText := func(name, v string) string {
		if t := s.Text(name); t != "" {
			return t
		}
		return v
	}
	orDuration := func(name string, v, least, most time.Duration) time.Duration {
		d := s.Duration(name)
		if d == 0 {
			return v
		}
		if d < least || d > most {
			p.bad("out of range", fmt.Sprintf("Allowed is %s to %s.", least, most), name)
		}
		return d
	}
	host := s.Text("host")
	c := config{
		address:  net.JoinHostPort(host, strconv.Itoa(orNumber("port", 2775))),
		systemID: s.Text("system_id"), password: s.Text("password"), systemType: s.Text("system_type"), version: 0x34,
		sessions: orNumber("sessions", 1), window: orNumber("window", 10), perSecond: s.Number("per_second"),
		timeout: orDuration("timeout", 10*time.Second, 100*time.Millisecond, 20*time.Second),
		enquire: orDuration("enquire_link", 30*time.Second, 100*time.Millisecond, time.Hour),
		retry:   backoff{first: time.Second, most: time.Minute, refused: 5 * time.Minute},
		sender:  s.Text("sender"), ton: orNumber("sender_ton", -1), npi: orNumber("sender_npi", -1), service: s.Text("service_type"),
		long: orText("long", longUDH), maxParts: orNumber("max_parts", 10),
		registered: 1, ids: idForm(orText("receipt_ids", string(idsAuto))), country: s.Text("country_code"),
	}
	if host == "" || strings.ContainsAny(host, "/ \t\r\n") {
		p.bad("not a host", "Write a name or an address without scheme and port, such as smsc.acme.example.", "host")
	}
	for _, name := range []string{"system_id", "password", "system_type", "service_type", "sender"} {
		if strings.ContainsFunc(s.Text(name), func(r rune) bool { return r < ' ' || r > '~' }) {
			p.bad("a character that SMPP does not carry", "Allowed are the printable characters of ASCII.", name)
		}
	}
	if c.systemID == "" {
		p.bad("no account", "Write the name that the operator of the message centre has given.", "system_id")
	}
	if len(c.systemID) > 15 {
		p.warn("longer than SMPP allows", "Names have 15 characters at most; not every message centre takes more.", "system_id")
	}
	if len(c.password) > 8 {
		p.warn("longer than SMPP allows", "Passwords have 8 characters at most; not every message centre takes more.", "password")
	}
	if _, ok := c.from(c.sender); !ok {
		p.bad("not a sender", "Write a number, a short code, or a name of up to 11 characters.", "sender")
	}
	if s.Text("version") == "5.0" {
		c.version = 0x50
	}
	switch s.Text("bind") {
	case "pair":
		c.binds = []bindAs{bindTransmitter, bindReceiver}
	case "transmitter":
		c.binds = []bindAs{bindTransmitter}
	default:
		c.binds = []bindAs{bindTransceiver}
	}
	if v, ok := s["receipts"].(bool); ok && !v {
		c.registered = 0
	}
	stop, _ := s["stop_words"].([]string)
	start, _ := s["start_words"].([]string)
	if c.optOut = connector.NewOptOut(stop, start); !c.optOut.Stops() {
		p.bad("no words", "People must be able to say that they want no more.", "stop_words")
	}
	c.readMeanings(s, &p)
	c.readTLS(s, host, &p)
	c.readDLT(s, &p)
	return c, p
}

// readMeanings reads what statuses and errors of the centre's own mean.
func (c *config) readMeanings(s connector.Settings, p *complaints) {
	classes := []string{"address", "full", "policy", "content", "config", "other"}
	c.statuses, c.errors = map[uint32]string{}, map[string]string{}
	statuses, _ := s["statuses"].(map[string]string)
	for _, k := range slices.Sorted(maps.Keys(statuses)) {
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(k), "0x"), 16, 32)
		means := statuses[k]
		if err != nil || n == 0 || !strings.HasPrefix(strings.ToLower(k), "0x") {
			p.bad(fmt.Sprintf("%q is not a status", k), "Write it as \"0x0401\".", "statuses")
		} else if means != meansAgain && means != meansSlow && !slices.Contains(classes, means) {
			p.bad(fmt.Sprintf("%q is no meaning of a status", means), "Allowed are again, throttled, "+strings.Join(classes, ", ")+".", "statuses")
		} else {
			c.statuses[uint32(n)] = means
		}
	}
	errors, _ := s["errors"].(map[string]string)
	for _, k := range slices.Sorted(maps.Keys(errors)) {
		if !slices.Contains(classes, errors[k]) {
			p.bad(fmt.Sprintf("%q is no meaning of an error", errors[k]), "Allowed are "+strings.Join(classes, ", ")+".", "errors")
		}
		c.errors[k] = errors[k]
	}
}

func (c *config) readTLS(s connector.Settings, host string, p *complaints) {
	t := s.Block("tls")
	if t == nil {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			p.warn("messages and the password cross the network unencrypted", "Write tls {} if the message centre can do it; else let a tunnel carry this.", "tls")
		}
		return
	}
	c.tls = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if n := t.Text("server_name"); n != "" {
		c.tls.ServerName = n
	}
	if ca := t.Text("ca"); ca != "" {
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			p.bad("no certificate in it", "Write file(\"/path/ca.pem\") of a file with -----BEGIN CERTIFICATE-----.", "tls", "ca")
		}
	}
	if v, ok := t["verify"].(bool); ok && !v {
		c.tls.InsecureSkipVerify = true
		p.warn("the message centre's certificate is not checked", "Anybody between can read and change messages. Write ca = file(\"..\") instead.", "tls", "verify")
	}
	certificate, key := t.Text("certificate"), t.Text("key")
	if certificate == "" && key == "" {
		return
	}
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		p.bad("not a certificate with its key", "Write both certificate and key, PEM, of the same pair.", "tls", "certificate")
		return
	}
	c.tls.Certificates = []tls.Certificate{pair}
}

func (c *config) readDLT(s connector.Settings, p *complaints) {
	b := s.Block("dlt")
	if b == nil {
		return
	}
	tag := func(name string, v uint16) uint16 {
		if t := b.Text(name); t != "" {
			n, err := strconv.ParseUint(strings.TrimPrefix(t, "0x"), 16, 16)
			if err != nil {
				p.bad("not a parameter", "Write its number as \"0x1400\".", "dlt", name)
			}
			return uint16(n)
		}
		return v
	}
	d := &dlt{
		entity: b.Text("entity"), chain: b.Text("chain"), suffix: b.Flag("suffix"), end: "\x00",
		entityTag: tag("entity_tag", 0x1400), templateTag: tag("template_tag", 0x1401), chainTag: tag("chain_tag", 0x1402),
		headers: map[string]string{}, templates: map[string]template{}, headersOf: map[string][]string{},
	}
	if v, ok := b["terminated"].(bool); ok && !v {
		d.end = ""
	}
	if d.entityTag == d.templateTag || d.chain != "" && (d.chainTag == d.entityTag || d.chainTag == d.templateTag) {
		p.bad("two values in one parameter", "Each needs a number of its own.", "dlt", "template_tag")
	}
	headers, _ := b["headers"].([]string)
	for _, h := range headers {
		name, kind, ok := cutHeader(h)
		if !ok {
			p.bad(fmt.Sprintf("%q is not a header", h), "A header has six letters or six digits, and may end with -P, -S, -T or -G.", "dlt", "headers")
			continue
		}
		d.headers[name] = kind
	}
	templates, _ := b["templates"].(map[string]string)
	for _, id := range slices.Sorted(maps.Keys(templates)) {
		t, err := parseTemplate(templates[id])
		if err != nil || !templateID.MatchString(id) {
			p.bad(fmt.Sprintf("template %q is not understood", id), "The id is a number; the text has {#var#}, {#numeric#}, {#alphanumeric#}, {#url#}, {#urlott#}, {#cbn#} or {#email#} where it varies.", "dlt", "templates")
			continue
		}
		d.templates[id] = t
	}
	of, _ := b["template_headers"].(map[string]string)
	for _, id := range slices.Sorted(maps.Keys(of)) {
		for _, h := range strings.FieldsFunc(of[id], func(r rune) bool { return r == ' ' || r == ',' }) {
			name, _, ok := cutHeader(h)
			if _, known := d.headers[name]; !ok || !known && len(d.headers) > 0 {
				p.bad(fmt.Sprintf("template %q is for a header that is not among headers", id), "Write registered headers with spaces between.", "dlt", "template_headers")
			}
			d.headersOf[id] = append(d.headersOf[id], name)
		}
	}
	if _, _, ok := cutHeader(c.sender); c.sender != "" && !ok {
		p.warn("the sender is no header", "Messages to India without a sender of their own will be refused.", "sender")
	}
	c.dlt = d
}
