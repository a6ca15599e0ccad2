package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-msgauth/dkim"
	gosmtp "github.com/emersion/go-smtp"

	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestConformance(t *testing.T) {
	s := newSink(t, nil)
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "smtp"), Settings: settingsFor(s.addr, nil), Reachable: true,
		Wrong: []connector.Settings{
			{"host": "relay", "from": "nobody"},
			{"host": "http://relay", "from": "a@example.com"},
			{"host": "relay.example", "from": "a@example.com", "username": "x"},
			{"host": "relay.example", "from": "a@example.com", "username": "x", "password": "y", "tls": connector.Settings{"mode": "none"}},
			{"host": "relay.example", "from": "a@example.com", "tls": connector.Settings{"ca": "no pem"}},
			{"host": "relay.example", "from": "a@example.com", "dkim": connector.Settings{"domain": "example.com", "selector": "s", "key": "x"}},
		},
	})
	if t.Failed() {
		return
	}
	for _, m := range s.messages() {
		if bytes.Contains(m.body, []byte("eve@example.com")) && !bytes.Contains(m.body, []byte("=0D")) {
			t.Errorf("an injected header arrived:\n%s", m.body)
		}
	}
	t.Logf("%d messages over %d connections", len(s.messages()), s.open)
}

// Nobody is there: everything comes again, nothing is accepted.
func TestConformanceWithoutRelay(t *testing.T) {
	conformance.Test(t, conformance.Target{Path: testprogram.Install(t, "smtp"), Settings: settingsFor("127.0.0.1:1", nil)})
}

func TestMessage(t *testing.T) {
	s := newSink(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"reply_to": "help@acme.example", "return_path": "bounce@acme.example"}))
	c.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	m := mailTo("acme-42", "ana@BÜCHER.example")
	m.Subject, m.ToName = "Grüße, 100 % ☂ "+strings.Repeat("lang ", 40), `Ana "x" <eve@example.com>`
	m.Text, m.HTML = ".\r\n..dots\r\n.\r\nGrüße "+strings.Repeat("x", 2000), "<p>Grüße</p>"
	m.Headers = []connector.Header{{Name: "X-Campaign", Value: "spring"}}
	m.Unsubscribe = "http://127.0.0.1:8480/u/" + strings.Repeat("a", 200) // loopback needs no https
	outs, err := c.Send(t.Context(), []connector.Message{m})
	if err != nil || outs[0].Result != connector.Accepted {
		t.Fatalf("%+v, %v", outs, err)
	}
	got := s.messages()[0]
	if got.from != "bounce@acme.example" || got.to != "ana@xn--bcher-kva.example" {
		t.Errorf("envelope %q -> %q", got.from, got.to)
	}
	e, err := message.Read(bytes.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	dec := new(mime.WordDecoder)
	for name, want := range map[string]string{
		"From": `"Acme Bank" <hello@acme.example>`, "Reply-To": "<help@acme.example>",
		"Message-Id": "<acme-42@acme.example>", "Date": "Sun, 01 Mar 2026 12:00:00 +0000", "X-Campaign": "spring",
		"List-Unsubscribe": "<" + m.Unsubscribe + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "Subject": m.Subject,
	} {
		text, err := dec.DecodeHeader(e.Header.Get(name))
		if err != nil || strings.TrimSpace(text) != strings.TrimSpace(want) {
			t.Errorf("%s: %q, want %q (%v)", name, text, want, err)
		}
	}
	to, err := mail.ParseAddressList(e.Header.Get("To"))
	if err != nil || len(to) != 1 || to[0].Address != "ana@xn--bcher-kva.example" || to[0].Name != m.ToName {
		t.Errorf("To: %v, %v", to, err)
	}
	// Nothing of this machine or of the program is told.
	known := map[string]bool{
		"From": true, "To": true, "Reply-To": true, "Subject": true, "Date": true, "Message-Id": true, "Mime-Version": true,
		"Content-Type": true, "X-Campaign": true, "List-Unsubscribe": true, "List-Unsubscribe-Post": true,
	}
	for f := e.Header.Fields(); f.Next(); {
		if !known[f.Key()] {
			t.Errorf("header %s: %s", f.Key(), f.Value())
		}
	}
	parts := e.MultipartReader()
	if parts == nil {
		t.Fatal("not multipart")
	}
	for _, want := range []string{m.Text, m.HTML} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p.Body)
		if err != nil || strings.TrimSpace(string(body)) != strings.TrimSpace(want) {
			t.Errorf("part: %d bytes %.60q, want %d bytes (%v)", len(body), body, len(want), err)
		}
	}
	for i, line := range strings.Split(string(got.body), "\r\n") {
		if len(line) > 998 {
			t.Errorf("line %d has %d bytes", i, len(line))
		}
		if strings.ContainsAny(line, "\n\r") {
			t.Errorf("line %d has a bare line break", i)
		}
	}
}

func TestRefusedBeforeTheRelay(t *testing.T) {
	s := newSink(t, nil)
	c := configured(t, settingsFor(s.addr, nil))
	for name, change := range map[string]func(*connector.Message){
		"no address":                func(m *connector.Message) { m.To = "" },
		"two addresses":             func(m *connector.Message) { m.To = "a@example.com,b@example.com" },
		"a command":                 func(m *connector.Message) { m.To = "a@example.com>\r\nRCPT TO:<eve@example.com" },
		"quoted":                    func(m *connector.Message) { m.To = `"a b"@example.com` },
		"angle":                     func(m *connector.Message) { m.To = "<a@example.com>" },
		"space":                     func(m *connector.Message) { m.To = "a @example.com" },
		"literal":                   func(m *connector.Message) { m.To = "a@[127.0.0.1]" },
		"no domain":                 func(m *connector.Message) { m.To = "a@" },
		"not ASCII":                 func(m *connector.Message) { m.To = "ä@example.com" },
		"dots":                      func(m *connector.Message) { m.To = "a..b@example.com" },
		"subject":                   func(m *connector.Message) { m.Subject = "x\r\nBcc: eve@example.com" },
		"name":                      func(m *connector.Message) { m.ToName = "x\nBcc: eve@example.com" },
		"header value":              func(m *connector.Message) { m.Headers = []connector.Header{{Name: "X-A", Value: "x\r\nBcc: e"}} },
		"header name":               func(m *connector.Message) { m.Headers = []connector.Header{{Name: "X-A: b\r\nBcc", Value: "x"}} },
		"header of ours":            func(m *connector.Message) { m.Headers = []connector.Header{{Name: "bcc", Value: "eve@example.com"}} },
		"content header":            func(m *connector.Message) { m.Headers = []connector.Header{{Name: "content-type", Value: "x"}} },
		"unsubscribe":               func(m *connector.Message) { m.Unsubscribe = "https://x>\r\nBcc: e" },
		"unsubscribe by http":       func(m *connector.Message) { m.Unsubscribe = "http://x.example/" },
		"unsubscribe like loopback": func(m *connector.Message) { m.Unsubscribe = "http://127.0.0.1.x.example/" },
		"unsubscribe no https":      func(m *connector.Message) { m.Unsubscribe = "javascript:alert(1)" },
		"empty":                     func(m *connector.Message) { m.Text, m.HTML = "", "" },
		"sms":                       func(m *connector.Message) { m.Channel = "sms" },
	} {
		m := mailTo("x", "ana@example.com")
		change(&m)
		outs, err := c.Send(t.Context(), []connector.Message{m})
		if err != nil || outs[0].Result != connector.Refused || outs[0].Reason == "" {
			t.Errorf("%s: %+v, %v", name, outs, err)
		}
	}
	if n := len(s.messages()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

// A real STARTTLS and a real TLS connection with a self-signed certificate, and
// the ways in which they must fail.
func TestEncryption(t *testing.T) {
	cert, ca := selfSigned(t)
	withTLS := func(s *gosmtp.Server) {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.AllowInsecureAuth = false
	}
	signIn := connector.Settings{"username": "acme", "password": "hush"}
	with := func(tls connector.Settings) connector.Settings {
		return connector.Settings{"tls": tls, "username": signIn["username"], "password": signIn["password"]}
	}
	t.Run("starttls", func(t *testing.T) {
		s := newSink(t, withTLS)
		c := configured(t, settingsFor(s.addr, with(connector.Settings{"mode": "starttls", "ca": ca})))
		if err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		outs, _ := c.Send(t.Context(), []connector.Message{mailTo("1", "ana@example.com")})
		if got := s.messages(); outs[0].Result != connector.Accepted || len(got) != 1 || !got[0].tls || got[0].user != "acme" {
			t.Errorf("%+v, %+v", outs, got)
		}
	})
	t.Run("tls", func(t *testing.T) {
		s := newSink(t, nil)
		front, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); _ = s.server.Serve(front) }()
		t.Cleanup(func() { front.Close(); <-done })
		c := configured(t, settingsFor(front.Addr().String(), with(connector.Settings{"mode": "tls", "ca": ca, "server_name": "relay.test"})))
		outs, _ := c.Send(t.Context(), []connector.Message{mailTo("1", "ana@example.com")})
		if got := s.messages(); outs[0].Result != connector.Accepted || len(got) != 1 || !got[0].tls {
			t.Errorf("%+v, %+v", outs, got)
		}
	})
	for name, c := range map[string]struct {
		server   func(*gosmtp.Server)
		settings connector.Settings
		step     string
	}{
		"unknown certificate": {withTLS, with(connector.Settings{"mode": "starttls"}), "encrypting"},
		"another name":        {withTLS, with(connector.Settings{"mode": "starttls", "ca": ca, "server_name": "other.test"}), "encrypting"},
		"no starttls offered": {nil, with(connector.Settings{"mode": "starttls", "ca": ca}), "encrypting"},
		"wrong password":      {withTLS, connector.Settings{"tls": connector.Settings{"mode": "starttls", "ca": ca}, "username": "acme", "password": "wrong-one"}, "signing in"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, c.server)
			c1 := configured(t, settingsFor(s.addr, c.settings))
			if err := c1.Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), c.step) || strings.Contains(err.Error(), "wrong-one") {
				t.Errorf("check: %v", err)
			}
			outs, err := c1.Send(t.Context(), []connector.Message{mailTo("1", "ana@example.com"), mailTo("2", "bob@example.com")})
			for _, o := range outs {
				if err != nil || o.Result != connector.Again || !strings.Contains(o.Reason, c.step) || o.RetryAfter != 5*time.Minute {
					t.Errorf("%+v, %v", o, err)
				}
			}
			if len(s.messages()) != 0 {
				t.Error("a message arrived")
			}
		})
	}
}

func TestOutcomesByCode(t *testing.T) {
	code := func(c int, e ...int) *gosmtp.SMTPError {
		err := &gosmtp.SMTPError{Code: c, EnhancedCode: gosmtp.NoEnhancedCode, Message: "about ana@example.com"}
		if len(e) == 3 {
			err.EnhancedCode = gosmtp.EnhancedCode{e[0], e[1], e[2]}
		}
		return err
	}
	for _, c := range []struct {
		rcpt, data *gosmtp.SMTPError
		result     connector.Result
		class      connector.Class
		retry      time.Duration
	}{
		{rcpt: code(550, 5, 1, 1), result: connector.Refused, class: connector.ClassAddress},
		{rcpt: code(550, 5, 1, 2), result: connector.Refused, class: connector.ClassAddress},
		{rcpt: code(550, 5, 2, 1), result: connector.Refused, class: connector.ClassAddress},
		{rcpt: code(552, 5, 2, 2), result: connector.Refused, class: connector.ClassFull},
		{rcpt: code(554, 5, 7, 1), result: connector.Refused, class: connector.ClassPolicy},
		{rcpt: code(550), result: connector.Refused, class: connector.ClassOther},
		{rcpt: code(553), result: connector.Refused, class: connector.ClassAddress},
		{rcpt: code(450, 4, 7, 1), result: connector.Again, retry: 5 * time.Minute},
		{rcpt: code(452, 4, 2, 2), result: connector.Again, retry: time.Hour},
		{rcpt: code(451), result: connector.Again, retry: 5 * time.Minute},
		{rcpt: code(530, 5, 7, 0), result: connector.Again, retry: 5 * time.Minute},
		{data: code(552, 5, 3, 4), result: connector.Refused, class: connector.ClassContent},
		{data: code(554, 5, 6, 0), result: connector.Refused, class: connector.ClassContent},
		{data: code(550, 5, 7, 1), result: connector.Refused, class: connector.ClassPolicy},
		{data: code(451, 4, 3, 0), result: connector.Again, retry: 5 * time.Minute},
		{data: code(421, 4, 3, 2), result: connector.Again, retry: time.Minute},
	} {
		s := newSink(t, nil)
		name := ""
		if c.rcpt != nil {
			name = fmt.Sprint("RCPT ", c.rcpt.Code, c.rcpt.EnhancedCode)
			s.refuse = func(to string) error {
				if to == "ana@example.com" {
					return c.rcpt
				}
				return nil
			}
		} else {
			name = fmt.Sprint("DATA ", c.data.Code, c.data.EnhancedCode)
			s.swallow = func(body []byte) error {
				if bytes.Contains(body, []byte("ana@example.com")) {
					return c.data
				}
				return nil
			}
		}
		conn := configured(t, settingsFor(s.addr, connector.Settings{"connections": 1.0}))
		outs, err := conn.Send(t.Context(), []connector.Message{mailTo("1", "ana@example.com"), mailTo("2", "bob@example.com")})
		if err != nil {
			t.Fatal(err)
		}
		o := outs[0]
		if o.Result != c.result || o.Class != c.class || o.RetryAfter != c.retry || strings.Contains(o.Reason, "ana@") {
			t.Errorf("%s: %+v", name, o)
		}
		// One message's trouble is not the next one's.
		if outs[1].Result != connector.Accepted || len(s.messages()) != 1 {
			t.Errorf("%s: the next message: %+v", name, outs[1])
		}
	}
}

func TestTooLargeForTheRelay(t *testing.T) {
	s := newSink(t, func(s *gosmtp.Server) { s.MaxMessageBytes = 4000 })
	c := configured(t, settingsFor(s.addr, nil))
	m := mailTo("1", "ana@example.com")
	m.Text = strings.Repeat("x", 10_000)
	outs, _ := c.Send(t.Context(), []connector.Message{m})
	if outs[0].Class != connector.ClassContent || outs[0].Reason != "552 5.3.4 too large for the relay" {
		t.Errorf("%+v", outs[0])
	}
}

func TestConnectionsAreKeptAndGivenUp(t *testing.T) {
	s := newSink(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"connections": 2.0, "messages_per_connection": 5.0}))
	for range 4 {
		var batch []connector.Message
		for i := range 5 {
			batch = append(batch, mailTo(fmt.Sprint(i), "ana@example.com"))
		}
		outs, err := c.Send(t.Context(), batch)
		for _, o := range outs {
			if err != nil || o.Result != connector.Accepted {
				t.Fatalf("%+v, %v", o, err)
			}
		}
	}
	if s.open < 4 || s.open > 8 {
		t.Errorf("%d connections for 20 messages of at most 5 each", s.open)
	}
}

// The relay closes kept connections: nobody notices.
func TestRelayClosesIdleConnections(t *testing.T) {
	t.Parallel() // it waits
	s := newSink(t, func(s *gosmtp.Server) { s.ReadTimeout = 4 * time.Second })
	c := configured(t, settingsFor(s.addr, connector.Settings{"connections": 1.0}))
	for i := range 2 {
		if i > 0 {
			time.Sleep(4500 * time.Millisecond)
		}
		outs, err := c.Send(t.Context(), []connector.Message{mailTo("1", "ana@example.com")})
		if err != nil || outs[0].Result != connector.Accepted {
			t.Fatalf("%+v, %v", outs, err)
		}
	}
}

func TestDKIM(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	rsaPublic, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]struct{ private, record string }{
		"ed25519": {pkcs8(edKey), "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edKey.Public().(ed25519.PublicKey))},
		"rsa":     {pkcs8(rsaKey), "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic)},
		"pkcs1": {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})),
			"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, nil)
			c := configured(t, settingsFor(s.addr, connector.Settings{
				"dkim": connector.Settings{"domain": "acme.example", "selector": "s1", "key": k.private},
			}))
			m := mailTo("1", "ana@example.com")
			m.Unsubscribe = "https://engage.acme.example/u/1"
			m.Text = ".\r\n.dots\r\n"
			if outs, err := c.Send(t.Context(), []connector.Message{m}); err != nil || outs[0].Result != connector.Accepted {
				t.Fatalf("%+v, %v", outs, err)
			}
			body := s.messages()[0].body
			asked := ""
			v, err := dkim.VerifyWithOptions(bytes.NewReader(body), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
				asked = name
				return []string{k.record}, nil
			}})
			if err != nil || len(v) != 1 || v[0].Err != nil || asked != "s1._domainkey.acme.example" {
				t.Fatalf("%+v, %v, asked %s", v, err, asked)
			}
			for _, h := range []string{"List-Unsubscribe", "List-Unsubscribe-Post", "From", "Subject"} {
				found := false
				for _, k := range v[0].HeaderKeys {
					found = found || strings.EqualFold(k, h)
				}
				if !found {
					t.Errorf("%s is not signed: %v", h, v[0].HeaderKeys)
				}
			}
		})
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := privateKey(pkcs8(small)); err != nil {
		t.Errorf("1024 bits: %v", err)
	}
	_, problems := read(settingsFor("127.0.0.1:25", connector.Settings{"dkim": connector.Settings{"domain": "other.example", "selector": "s", "key": pkcs8(edKey)}}))
	if len(problems) != 1 || problems[0].Path[1] != "domain" {
		t.Errorf("another's domain: %v", problems)
	}
}

func TestOutOfTime(t *testing.T) {
	t.Parallel() // it waits
	s := newSink(t, nil)
	s.swallow = func([]byte) error { time.Sleep(2 * time.Second); return nil }
	c := configured(t, settingsFor(s.addr, connector.Settings{"connections": 1.0}))
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	var batch []connector.Message
	for i := range 20 {
		batch = append(batch, mailTo(fmt.Sprint(i), "ana@example.com"))
	}
	began := time.Now()
	outs, err := c.Send(ctx, batch)
	if err != nil || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	n := map[connector.Result]int{}
	for _, o := range outs {
		n[o.Result]++
	}
	if n[connector.Accepted] < 1 || n[connector.Again] < 15 || n[connector.Unknown] > 1 || n[connector.Accepted] > len(s.messages()) {
		t.Errorf("%v, arrived %d", n, len(s.messages()))
	}
}

// README.md names every setting.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	schema := (&smtp{}).Schema()
	for _, s := range schema.Settings {
		names = append(names, s.Name)
	}
	for _, b := range schema.Blocks {
		for _, s := range b.Settings {
			names = append(names, b.Name, s.Name)
		}
	}
	for _, n := range names {
		if !strings.Contains(string(raw), "`"+n+"`") {
			t.Errorf("README.md does not name the setting %q: add it", n)
		}
	}
}
