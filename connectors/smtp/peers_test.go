//go:build e2e

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// blocker is a server that takes nobody's mail.
type blocker struct{}

func (blocker) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return blocker{}, nil }
func (blocker) Reset()                                          {}
func (blocker) Logout() error                                   { return nil }
func (blocker) Mail(string, *gosmtp.MailOptions) error          { return nil }
func (blocker) Data(io.Reader) error                            { return nil }
func (blocker) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "full@") {
		return &gosmtp.SMTPError{Code: 552, EnhancedCode: gosmtp.EnhancedCode{5, 2, 2}, Message: "mailbox full"}
	}
	return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "your network is blocked"}
}

// Bounces that Postfix writes, of its own and of what the next server said, come
// back to the message's own address and say what they must.
func TestPostfixBounces(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	next := gosmtp.NewServer(blocker{})
	next.Domain, next.ErrorLog = "next.test", quiet{}
	go next.Serve(l)
	t.Cleanup(func() { next.Close() })
	p := startPostfix(t, l.Addr().(*net.TCPAddr).Port)
	c := configured(t, settingsFor(p.addr, connector.Settings{
		"tls":     connector.Settings{"mode": "starttls", "ca": p.ca},
		"bounces": connector.Settings{"domain": "bounce.acme.example", "key": bounceKey},
	}))
	p.listens(t, c)
	want := map[string]string{
		"unknown-1": "address 5.1.1 no such mailbox", "blocked-1": "policy 550 5.7.1 refused by policy", "full-1": "full 552 5.2.2 the mailbox is full",
	}
	outs, err := c.Send(t.Context(), []connector.Message{
		mailTo("unknown-1", "ana@gone.example"), mailTo("blocked-1", "bob@blocks.example"), mailTo("full-1", "full@blocks.example"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outs {
		if o.Result != connector.Accepted {
			t.Fatalf("%+v", o)
		}
	}
	got := map[string]string{}
	for _, raw := range p.letters(t, "back", len(want)) {
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		to := m.Header.Get("Delivered-To")
		from := strings.Trim(m.Header.Get("Return-Path"), "<>")
		if strings.HasPrefix(from, "MAILER-DAEMON") { // how Postfix writes an empty one
			from = ""
		}
		rs, err := c.Returned(t.Context(), connector.Mail{From: from, To: to, Message: raw})
		if err != nil || len(rs) != 1 || rs[0].Kind != connector.Bounced {
			t.Fatalf("to %s: %+v, %v of:\n%s", to, rs, err, raw)
		}
		got[rs[0].MessageID] = string(rs[0].Class) + " " + rs[0].Reason
		if bytes.Contains(raw, []byte("<p>Hi</p>")) {
			t.Errorf("%s came back whole, although only headers were asked for", rs[0].MessageID)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// dkimpy checks every signature and says which kinds hold; Python's own parser
// says what it sees of the message.
const reader = `
import email, email.policy, json, sys, dkim
raw, rsa, ed = open(sys.argv[1], "rb").read(), sys.argv[2].encode(), sys.argv[3].encode()
def dns(name, timeout=5):
    return {b"r._domainkey.acme.example.": rsa, b"e._domainkey.acme.example.": ed}.get(name if isinstance(name, bytes) else name.encode())
held = []
for i in range(raw.count(b"DKIM-Signature:")):
    d = dkim.DKIM(raw)
    try:
        if d.verify(idx=i, dnsfunc=dns):
            held.append(d.signature_fields[b"a"].decode())
    except dkim.ValidationError:
        pass # of the body's hash
m = email.message_from_bytes(raw, policy=email.policy.default)
print(json.dumps({
    "held": sorted(held), "defects": [str(x) for part in m.walk() for x in part.defects],
    "headers": [[k, str(v)] for k, v in m.items()],
    "to": [[a.display_name, a.addr_spec] for a in m["To"].addresses],
    "text": m.get_body(("plain",)).get_content(), "html": m.get_body(("html",)).get_content(),
    "files": [[p.get_filename(), p.get_content_type(), p.get_content().decode("latin1")] for p in m.iter_attachments()],
}))
`

// Both signatures hold where others look, and others read what was written.
func TestSignedAsOthersReadIt(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
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
	public, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaRecord := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	edRecord := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edKey.Public().(ed25519.PublicKey))
	s := newSink(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{
		"dkim":        connector.Settings{"domain": "acme.example", "selector": "r", "key": pkcs8(rsaKey), "ed25519_selector": "e", "ed25519_key": pkcs8(edKey)},
		"attachments": connector.Settings{"types": []string{"application/pdf"}},
		"bounces":     connector.Settings{"domain": "bounce.acme.example", "key": bounceKey},
	}))
	m := mailTo("acme-42", "ana@bücher.example")
	m.Subject, m.ToName = "Grüße ☂ "+strings.Repeat("lang ", 40)+"Ende", `Ana "x" <eve@example.com>, Bob`
	m.Text, m.HTML = ".\n..dots\nGrüße =?utf-8?q?x?= "+strings.Repeat("y", 1500)+"\n", "<p>Grüße "+strings.Repeat("z", 1500)+"</p>\n"
	m.Unsubscribe = "https://engage.acme.example/u/" + strings.Repeat("a", 120)
	m.Files = []connector.File{{Name: `Rechnung März "2".pdf`, Type: "application/pdf", Content: []byte("%PDF\x00\r\n.\r\nend")}}
	outs, err := c.Send(t.Context(), []connector.Message{m})
	if err != nil || outs[0].Result != connector.Accepted {
		t.Fatalf("%+v, %v", outs, err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "m.eml")
	body := s.messages()[0].body
	write := func(body []byte) {
		t.Helper()
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (got struct {
		Held, Defects []string
		Headers, To   [][2]string
		Text, HTML    string
		Files         [][3]string
	}) {
		t.Helper()
		var said bytes.Buffer
		cmd := exec.Command("/usr/bin/python3", "-c", reader, file, rsaRecord, edRecord)
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil {
			t.Fatalf("%v: %s%s", err, out, said.Bytes())
		}
		return got
	}
	write(body)
	got := read()
	if fmt.Sprint(got.Held) != "[ed25519-sha256 rsa-sha256]" || len(got.Defects) > 0 {
		t.Errorf("signatures that hold: %v; defects: %q", got.Held, got.Defects)
	}
	header := map[string]string{}
	for _, h := range got.Headers {
		header[h[0]] = h[1]
	}
	for name, want := range map[string]string{
		"Subject": m.Subject, "From": `Acme Bank <hello@acme.example>`, "Message-ID": "<acme-42@acme.example>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
	} {
		// Python keeps the space at which a long header was folded behind its name.
		if strings.TrimSpace(strings.ReplaceAll(header[name], `"`, "")) != want {
			t.Errorf("%s: %q, want %q", name, header[name], want)
		}
	}
	if !strings.HasPrefix(header["List-Unsubscribe"], "<"+m.Unsubscribe+">,") {
		t.Errorf("List-Unsubscribe: %q", header["List-Unsubscribe"])
	}
	if len(got.To) != 1 || got.To[0] != [2]string{m.ToName, "ana@xn--bcher-kva.example"} {
		t.Errorf("To: %q", got.To)
	}
	if strings.ReplaceAll(got.Text, "\r\n", "\n") != m.Text || strings.ReplaceAll(got.HTML, "\r\n", "\n") != m.HTML {
		t.Errorf("text %.80q, html %.80q", got.Text, got.HTML)
	}
	if len(got.Files) != 1 || got.Files[0] != [3]string{m.Files[0].Name, "application/pdf", string(m.Files[0].Content)} {
		t.Errorf("files: %q", got.Files)
	}

	// OpenDKIM.
	keys, conf := filepath.Join(dir, "keys"), filepath.Join(dir, "opendkim.conf")
	if err := os.WriteFile(keys, []byte("r._domainkey.acme.example "+rsaRecord+"\ne._domainkey.acme.example "+edRecord+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("Mode v\nSocket local:"+dir+"/s\nTestPublicKeys "+keys+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	opendkim := func() string {
		out, err := exec.Command("/usr/sbin/opendkim", "-v", "-v", "-x", conf, "-t", file).CombinedOutput()
		return strconv.FormatBool(err == nil) + " " + string(out)
	}
	write(body)
	said := opendkim()
	for _, pass := range []string{`dkim=pass \(2048-bit key\) \S+ \S+ header\.a=rsa-sha256`, `dkim=pass \S+ \S+ header\.a=ed25519-sha256`} {
		if !regexp.MustCompile(pass).MatchString(said) {
			t.Errorf("OpenDKIM does not say %s: %s", pass, said)
		}
	}
	// What was changed on the way holds nowhere: the link for unsubscribing, too.
	for _, change := range [][2]string{{"/u/aaa", "/u/bbb"}, {"One-Click", "Two-Click"}, {"..dots", "..bots"}} {
		changed := bytes.Replace(body, []byte(change[0]), []byte(change[1]), 1)
		write(changed)
		if got := read(); len(got.Held) > 0 || bytes.Equal(changed, body) {
			t.Errorf("%s: %v still hold", change[1], got.Held)
		}
		if said := opendkim(); strings.Contains(said, "dkim=pass") {
			t.Errorf("OpenDKIM, %s: %s", change[1], said)
		}
	}
}
