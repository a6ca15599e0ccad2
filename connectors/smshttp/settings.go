package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// config is what the settings mean.
type config struct {
	sender    string
	window    int
	timeout   time.Duration
	country   string
	optOut    connector.OptOut
	proxy     *url.URL
	tls       *tls.Config
	request   request
	response  response
	callbacks callbacks
	twilio    *twilio // nil = the form of request, response and callbacks
}

// Schema implements connector.Connector.
func (s *smshttp) Schema() connector.Schema {
	n := func(v float64) *float64 { return &v }
	return connector.Schema{
		Settings: []connector.Setting{
			{Name: "sender", Type: connector.TypeString, Max: n(64), Doc: "Sender of messages whose campaign names none: a number, a short code or a name, as the provider takes it."},
			{Name: "window", Type: connector.TypeNumber, Default: 10.0, Min: n(1), Max: n(200), Doc: "How many requests may wait for their answers."},
			{Name: "timeout", Type: connector.TypeDuration, Default: "10s", Doc: "How long the provider may take for one answer."},
			{Name: "country_code", Type: connector.TypeString, Pattern: `^[1-9][0-9]{0,2}$`, Doc: "Code of numbers that people's messages come from without one, such as 91."},
			{Name: "stop_words", Type: connector.TypeStrings, Doc: "What people write to get no more, instead of the usual words of many languages."},
			{Name: "start_words", Type: connector.TypeStrings, Doc: "What people write to get messages again, instead of the usual words."},
			{Name: "proxy", Type: connector.TypeString, Reach: true, Sensitive: true, Doc: "HTTP proxy on the way: \"http://proxy.acme.example:3128\", with a name and password before the host if it wants them."},
			{Name: "ca", Type: connector.TypeString, Doc: "Certificates, PEM, that the provider's must come from, if not the system's; write file(\"..\")."},
		},
		Blocks: []connector.Block{
			{Name: "twilio", Doc: "An account with Twilio. Either this, or request, response and callbacks.", Settings: []connector.Setting{
				{Name: "account", Type: connector.TypeString, Required: true, Pattern: `^AC[0-9a-fA-F]{32}$`, Doc: "Account SID."},
				{Name: "token", Type: connector.TypeString, Required: true, Sensitive: true, Min: n(1), Doc: "Auth token: what requests sign in by, if there is no key, and callbacks are signed by; write file(\"..\") or credential(\"..\")."},
				{Name: "key", Type: connector.TypeString, Pattern: `^SK[0-9a-fA-F]{32}$`, Doc: "SID of an API key that requests sign in by instead."},
				{Name: "key_secret", Type: connector.TypeString, Sensitive: true, Doc: "Secret of the API key."},
				{Name: "service", Type: connector.TypeString, Pattern: `^MG[0-9a-fA-F]{32}$`, Doc: "SID of a messaging service that chooses the sender of messages that have none."},
				{Name: "callback", Type: connector.TypeString, Doc: "Where Twilio tells what became of messages: the connector's address, as `cloister connector list` shows it."},
				{Name: "errors", Type: connector.TypeMap, Doc: "What codes of Twilio's mean, beside those known: { \"30008\" = \"full\" }, or \"again\", \"throttled\", \"address\", \"policy\", \"content\", \"config\", \"other\"."},
				{Name: "url", Type: connector.TypeString, Default: "https://api.twilio.com", Reach: true, Doc: "Where Twilio is."},
			}},
			{Name: "request", Doc: "How a message is handed over.", Settings: []connector.Setting{
				{Name: "url", Type: connector.TypeString, Required: true, Reach: true, Doc: "Where messages go; path and query may hold placeholders: {to}, {digits}, {text}, {sender}, {id}, {template}, {ttl}, {user}, {password}."},
				{Name: "method", Type: connector.TypeString, Default: "POST", Enum: []string{"POST", "GET", "PUT"}, Doc: "Method of the request."},
				{Name: "headers", Type: connector.TypeMap, Doc: "Headers, with placeholders: { Authorization = \"Bearer {password}\" }."},
				{Name: "user", Type: connector.TypeString, Doc: "Name for Basic authentication, or wherever {user} stands."},
				{Name: "password", Type: connector.TypeString, Sensitive: true, Doc: "Password or key for Basic authentication, or wherever {password} stands; write file(\"..\") or credential(\"..\")."},
				{Name: "form", Type: connector.TypeMap, Doc: "Body as a form: fields, with placeholders."},
				{Name: "json", Type: connector.TypeString, Doc: "Body as JSON, with placeholders inside its texts."},
				{Name: "check", Type: connector.TypeString, Reach: true, Doc: "URL that answers 2xx, and sends nothing, when it is asked for with the same headers; without it a check only connects."},
			}},
			{Name: "response", Doc: "What the provider's answers mean. Left out, 2xx is accepted.", Settings: []connector.Setting{
				{Name: "id", Type: connector.TypeString, Doc: "Path of the message's id in JSON: \"messages.0.id\"."},
				{Name: "status", Type: connector.TypeString, Doc: "Path of the value that tells how it went."},
				{Name: "pattern", Type: connector.TypeString, Max: n(1000), Doc: "Of answers that are not JSON, an expression (RE2) with the groups (?P<id>..) and (?P<status>..)."},
				{Name: "values", Type: connector.TypeMap, Doc: "What values of status mean: { \"0\" = \"accepted\" }, or \"again\", \"throttled\", \"address\", \"full\", \"policy\", \"content\", \"config\", \"other\", \"unknown\"."},
				{Name: "http", Type: connector.TypeMap, Doc: "What an HTTP status means, where values do not say: { \"400\" = \"address\" }, with the same words."},
			}},
			{Name: "callbacks", Doc: "What the provider's own requests mean. Left out, none is taken.", Settings: []connector.Setting{
				{Name: "secret", Type: connector.TypeString, Required: true, Sensitive: true, Min: n(16), Doc: "By which callbacks prove that they are the provider's; write file(\"..\") or credential(\"..\")."},
				{Name: "auth", Type: connector.TypeString, Default: authSHA256, Enum: []string{authSHA256, authSHA1, authSHA512, authHeader, authPath}, Doc: "How: a header with the HMAC of the body, or with the secret itself, or the secret as the last part of the URL's path."},
				{Name: "header", Type: connector.TypeString, Default: "X-Signature", Doc: "The header."},
				{Name: "each", Type: connector.TypeString, Doc: "Path of the list, where one request tells several things; the other paths begin at its elements."},
				{Name: "message", Type: connector.TypeString, Doc: "Path, or name of the field, of our own id, if the request gave it {id}."},
				{Name: "id", Type: connector.TypeString, Doc: "That of the provider's id."},
				{Name: "status", Type: connector.TypeString, Doc: "That of what became of the message."},
				{Name: "values", Type: connector.TypeMap, Doc: "What values of status mean, beside the usual: { \"8\" = \"nothing\" }, or \"delivered\", \"address\", \"full\", \"policy\", \"content\", \"config\", \"other\"."},
				{Name: "from", Type: connector.TypeString, Doc: "That of the number that a person wrote from."},
				{Name: "text", Type: connector.TypeString, Doc: "That of what the person wrote."},
			}},
		},
	}
}

// complaints collects problems.
type complaints []connector.Problem

func (p *complaints) bad(summary, detail string, path ...string) {
	*p = append(*p, connector.Problem{Path: path, Summary: summary, Detail: detail})
}

// read makes sense of the settings. The problems are all there are.
func read(s connector.Settings) (config, []connector.Problem) {
	var p complaints
	c := config{
		sender: s.Text("sender"), window: int(s.Number("window")), timeout: s.Duration("timeout"), country: s.Text("country_code"),
		tls: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	c.window = max(c.window, 1)
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	if c.timeout > 20*time.Second {
		p.bad("too long", "Allowed are 20 seconds at most.", "timeout")
	}
	stop, _ := s["stop_words"].([]string)
	start, _ := s["start_words"].([]string)
	if c.optOut = connector.NewOptOut(stop, start); !c.optOut.Stops() {
		p.bad("no words", "People must be able to say that they want no more.", "stop_words")
	}
	var err error
	if v := s.Text("proxy"); v != "" {
		if c.proxy, err = url.Parse(v); err != nil || c.proxy.Scheme != "http" && c.proxy.Scheme != "https" || c.proxy.Host == "" {
			p.bad("not a proxy", "Write it as http://proxy.acme.example:3128.", "proxy")
		}
	}
	if v := s.Text("ca"); v != "" {
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(v)) {
			p.bad("no certificate in it", "Write file(\"/path/ca.pem\") of a file with -----BEGIN CERTIFICATE-----.", "ca")
		}
	}
	t, r := s.Block("twilio"), s.Block("request")
	switch {
	case t != nil:
		for _, other := range []string{"request", "response", "callbacks"} {
			if s.Block(other) != nil {
				p.bad("not beside twilio", "Twilio's form is built in: leave this block out.", other)
			}
		}
		c.readTwilio(t, &p)
	case r == nil:
		p.bad("no provider", "Write twilio {}, or request {} for another provider.")
	default:
		c.readRequest(r, &p)
		c.readResponse(s.Block("response"), &p)
		c.readCallbacks(s.Block("callbacks"), &p)
	}
	return c, p
}

// Headers that are the connection's own.
var ownHeaders = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade", "Keep-Alive", "Accept-Encoding"}

var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (c *config) readRequest(s connector.Settings, p *complaints) {
	r := &c.request
	var err error
	if r.url, err = parseTarget(s.Text("url")); err != nil {
		p.bad("not a URL", sentence(err), "request", "url")
		r.url = target{path: text{"http://invalid.invalid"}} // nothing is sent: it is not started
	} else if strings.HasPrefix(r.url.host(), "http:") {
		*p = append(*p, connector.Problem{
			Severity: connector.SeverityWarning, Path: []string{"request", "url"},
			Summary: "messages go in the clear", Detail: "Anybody on the way can read and change them, and what proves who we are. Write https:// if the provider has it.",
		})
	}
	if r.method = s.Text("method"); r.method == "" {
		r.method = http.MethodPost
	}
	r.check = s.Text("check")
	if u, err := url.Parse(r.check); r.check != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		p.bad("not a URL", "Write it as https://api.provider.example/account.", "request", "check")
	}
	headers, _ := s["headers"].(map[string]string)
	if r.headers, err = parseFields(headers); err != nil {
		p.bad("not a placeholder", sentence(err), "request", "headers")
	}
	for name, value := range headers {
		if !headerName.MatchString(name) || slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)) || strings.ContainsAny(value, "\r\n\x00") {
			p.bad("not a header", "A name has letters, digits and hyphens, is not the connection's own, and its value is one line.", "request", "headers")
			break
		}
	}
	r.user, r.password = s.Text("user"), s.Text("password")
	form, _ := s["form"].(map[string]string)
	if r.form, err = parseFields(form); err != nil {
		p.bad("not a placeholder", sentence(err), "request", "form")
	}
	doc := s.Text("json")
	switch {
	case doc != "" && len(form) > 0:
		p.bad("two bodies", "Write form or json.", "request", "json")
	case (doc != "" || len(form) > 0) && r.method == http.MethodGet:
		p.bad("a GET with a body", "Put the placeholders into the query of url: https://api.provider.example/send?to={to}&text={text}.", "request", "method")
	case doc != "":
		if r.json, err = parseJSON(doc); err != nil {
			p.bad("not JSON with placeholders", sentence(err), "request", "json")
		}
	}
	all := s.Text("url") + doc
	for _, v := range form {
		all += v
	}
	for _, v := range headers {
		all += v
	}
	placed := strings.Contains(all, "{user}") || strings.Contains(all, "{password}")
	r.basic = !placed && r.user != ""
	switch {
	case r.basic && r.password == "", !placed && r.user == "" && r.password != "":
		p.bad("only one of user and password", "Write both, for Basic authentication, or put {user} and {password} where the provider wants them.", "request", "user")
	case strings.Contains(all, "{user}") && r.user == "":
		p.bad("{user} without user", "Write user.", "request", "user")
	case strings.Contains(all, "{password}") && r.password == "":
		p.bad("{password} without password", "Write password.", "request", "password")
	case strings.ContainsFunc(r.user+r.password, func(c rune) bool { return c < ' ' || c == 0x7f }):
		p.bad("a control character", "It is one line.", "request", "password")
	}
	if !strings.Contains(all, "{to}") && !strings.Contains(all, "{digits}") || !strings.Contains(all, "{text}") {
		p.bad("a message without its number or text", "Put {to} or {digits}, and {text}, into url, form or json.", "request")
	}
}

func (c *config) readResponse(s connector.Settings, p *complaints) {
	r := &c.response
	words := append([]string{meansAccepted, meansAgain, meansThrottled, meansUnknown}, classes...)
	r.id, r.status = parsePath(s.Text("id")), parsePath(s.Text("status"))
	r.values, r.statuses = p.meanings(s, words, "response", "values"), map[int]string{}
	for status, means := range p.meanings(s, words, "response", "http") {
		n, err := strconv.Atoi(status)
		if err != nil || n < 200 || n > 599 {
			p.bad("not an HTTP status", "Write \"400\", from 200 to 599.", "response", "http")
			break
		}
		r.statuses[n] = means
	}
	if v := s.Text("pattern"); v != "" {
		var err error
		if r.pattern, err = regexp.Compile(v); err != nil {
			p.bad("not an expression", sentence(err), "response", "pattern")
		}
		if r.id != nil || r.status != nil {
			p.bad("beside paths", "Paths are for JSON: write (?P<id>..) and (?P<status>..) into the pattern instead.", "response", "pattern")
		}
	}
	tells := r.status != nil || r.pattern != nil && r.pattern.SubexpIndex("status") > 0
	if len(r.values) > 0 && !tells {
		p.bad("values of nothing", "Write status, or a group (?P<status>..) in pattern.", "response", "values")
	}
}

// meanings reads a map of what values mean.
func (p *complaints) meanings(s connector.Settings, words []string, at ...string) map[string]string {
	out := map[string]string{}
	given, _ := s[at[len(at)-1]].(map[string]string)
	for value, means := range given {
		if !slices.Contains(words, means) {
			p.bad("not a meaning", "Allowed are "+strings.Join(words, ", ")+".", at...)
			return out
		}
		out[value] = means
	}
	return out
}

func (c *config) readCallbacks(s connector.Settings, p *complaints) {
	if s == nil {
		return
	}
	cb := &c.callbacks
	cb.secret, cb.auth, cb.header = s.Text("secret"), s.Text("auth"), s.Text("header")
	if cb.auth == "" {
		cb.auth = authSHA256
	}
	if cb.header == "" {
		cb.header = "X-Signature"
	}
	if cb.auth == authPath && strings.ContainsAny(cb.secret, "/?#%") {
		p.bad("not a part of a path", "Allowed are letters, digits, and - . _ ~.", "callbacks", "secret")
	}
	cb.each, cb.message, cb.id, cb.status = parsePath(s.Text("each")), parsePath(s.Text("message")), parsePath(s.Text("id")), parsePath(s.Text("status"))
	cb.from, cb.text = parsePath(s.Text("from")), parsePath(s.Text("text"))
	cb.values = p.meanings(s, append([]string{meansDelivered, meansNothing}, classes...), "callbacks", "values")
	if cb.status != nil && cb.message == nil && cb.id == nil {
		p.bad("a status of nothing", "Write message or id: the path of an id.", "callbacks", "status")
	}
	if (cb.from == nil) != (cb.text == nil) {
		p.bad("only one of from and text", "Write both: what people send, and from where.", "callbacks", "from")
	}
	if cb.status == nil && cb.from == nil {
		p.bad("callbacks that say nothing", "Write status, or from and text.", "callbacks")
	}
}

// sentence is an error as a sentence for the operator.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
