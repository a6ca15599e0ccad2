//go:build e2e

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// peer is a message centre that nobody here wrote, in a process of its own.
type peer struct {
	t    *testing.T
	in   io.WriteCloser
	port int

	mu   sync.Mutex
	seen []sight
}

// sight is what it saw.
type sight struct {
	Saw      string
	Port     int
	Good     bool
	Version  int
	SystemID string `json:"system_id"`
	Status   int
	To, From string
	TON      int
	Coding   int
	Text     string
	Part     []int // reference, total, number
	Payload  bool
	Validity int // hours
	TLVs     map[string]string
}

// peers are the two, by name.
var peers = map[string][]string{
	"npm smpp":  {"node", "testdata/npm/smsc.mjs"},
	"Net::SMPP": {"perl", "testdata/smsc.pl"},
}

func newPeer(t *testing.T, command ...string) *peer {
	t.Helper()
	p := &peer{t: t}
	cmd := exec.Command(command[0], command[1:]...)
	var wrong strings.Builder
	cmd.Stderr = &wrong
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var s sight
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			p.mu.Lock()
			p.seen = append(p.seen, s)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-done
		cmd.Wait()
		if wrong.Len() > 0 {
			t.Errorf("%s complains:\n%s", command[0], wrong.String())
		}
	})
	p.port = p.wait("listening", 1)[0].Port
	return p
}

// wait waits until it has seen n of a kind, and gives them.
func (p *peer) wait(what string, n int) []sight {
	p.t.Helper()
	var of []sight
	await(p.t, fmt.Sprintf("%d times %s", n, what), func() bool {
		of = p.saw(what)
		return len(of) >= n
	})
	return of
}

func (p *peer) saw(what string) []sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	var of []sight
	for _, s := range p.seen {
		if s.Saw == what {
			of = append(of, s)
		}
	}
	return of
}

func (p *peer) do(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) settings(more connector.Settings) connector.Settings {
	return settingsFor(fmt.Sprintf("127.0.0.1:%d", p.port), more)
}

// gather collects until there are n receipts, acknowledging them.
func gather(t *testing.T, c *smpp, n int) []connector.Receipt {
	t.Helper()
	var all []connector.Receipt
	token := ""
	for len(all) < n {
		rs, next := collect(t, c, token)
		if len(rs) == 0 {
			t.Fatalf("%d receipts of %d: %+v", len(all), n, all)
		}
		all, token = append(all, rs...), next
	}
	acknowledge(c, token)
	return all
}

func eachPeer(t *testing.T, f func(*testing.T, *peer)) {
	for name, command := range peers {
		t.Run(name, func(t *testing.T) { f(t, newPeer(t, command...)) })
	}
}

// Both read what was meant: every kind of text, in each way of cutting it.
func TestPeersRead(t *testing.T) {
	texts := map[string]string{
		"plain":        "Hello",
		"GSM":          "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./09:;<=>?¡AZÄÖÑÜ§¿azäöñüà",
		"extension":    "^{}\\[~]|€",
		"UCS-2":        "नमस्ते 👋🏽 漢字",
		"long GSM":     strings.Repeat("0123456789€{", 30),
		"long UCS-2":   strings.Repeat("नमस्ते 👋🏽", 30),
		"line breaks":  "one\ntwo",
		"long escapes": strings.Repeat("a", 152) + strings.Repeat("€", 100),
	}
	eachPeer(t, func(t *testing.T, p *peer) {
		for _, long := range []string{longUDH, longSAR, longPayload} {
			c := configured(t, p.settings(connector.Settings{"long": long, "receipts": false}))
			for name, text := range texts {
				before := len(p.saw("submit_sm"))
				m := smsTo("1", "+4915112345678")
				m.Text, m.Expires = text, time.Now().Add(5*time.Hour)
				if o := send(t, c, m)[0]; o.Result != connector.Accepted {
					t.Fatalf("%s %s: %+v", long, name, o)
				}
				n := 1
				if long != longPayload {
					n = len(encodeText(text).split())
				}
				got := p.wait("submit_sm", before+n)[before:]
				var whole strings.Builder
				for i, g := range got {
					whole.WriteString(g.Text)
					if g.To != "4915112345678" || g.From != "ACME" || g.TON != 5 || g.Validity != 5 {
						t.Errorf("%s %s: %+v", long, name, g)
					}
					if len(got) > 1 && (len(g.Part) != 3 || g.Part[0] != got[0].Part[0] || g.Part[1] != len(got) || g.Part[2] != i+1) {
						t.Errorf("%s %s: part %v of %d", long, name, g.Part, len(got))
					}
				}
				if whole.String() != text || len(got) > 1 != (strings.HasPrefix(name, "long") && long != longPayload) || got[0].Payload != (strings.HasPrefix(name, "long") && long == longPayload) {
					t.Errorf("%s %s: %d parts, payload %v: %q", long, name, len(got), got[0].Payload, whole.String())
				}
			}
			c.Drain(context.Background())
		}
		p.wait("unbind", 3)
	})
}

// Receipts of both, in both forms, with ids in their own ways, find their message.
func TestPeersReceipts(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c := configured(t, p.settings(nil))
		for i, form := range []string{"text", "tlv"} {
			p.do(`{"form":%q}`, form)
			if err := c.Check(t.Context()); err != nil { // it has read that now
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			good, long, bad := smsTo(form+"1", "+4915112345678"), smsTo(form+"2", "+4915112345678"), smsTo(form+"3", "+4915112345678")
			long.Text, bad.Text = strings.Repeat("a long text ", 30), "this will fail"
			outs := send(t, c, good, long, bad)
			rs := gather(t, c, 3)
			for j, o := range outs {
				want := connector.Delivered
				if j == 2 {
					want = connector.Bounced
				}
				if !slices.ContainsFunc(rs, func(r connector.Receipt) bool {
					return r.MessageID == o.ID && r.ProviderID == o.ProviderID && r.Kind == want
				}) {
					t.Errorf("%s: %+v has none among %+v", form, o, rs)
				}
			}
			for _, a := range p.wait("deliver_sm_resp", 5*(i+1)) {
				if a.Status != 0 {
					t.Errorf("answered with %#x", a.Status)
				}
			}
		}
	})
}

// The rest of the talk, with both.
func TestPeersTalk(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c := configured(t, p.settings(connector.Settings{"receipts": false, "enquire_link": "200ms", "dlt": connector.Settings{
			"entity": "1101234567890123456", "terminated": false, "chain": "f00d", "headers": []string{"ACMEBK"},
		}}))
		p.do(`{"throttle":1}`)
		time.Sleep(50 * time.Millisecond)
		if o := send(t, c, smsTo("1", "+4915112345678"))[0]; o.Result != connector.Again || !strings.Contains(o.Reason, "0x58") {
			t.Errorf("throttled: %+v", o)
		}
		if b := p.wait("bind_transceiver", 1)[0]; b.SystemID != "acme" || !b.Good || b.Version != 0x34 {
			t.Errorf("%+v", b)
		}
		m := smsTo("2", "+919812345678")
		m.Sender, m.Template = "ACMEBK", "1107161234567890123"
		if o := send(t, c, m)[0]; o.Result != connector.Accepted {
			t.Errorf("%+v", o)
		}
		if got := p.wait("submit_sm", 1)[0].TLVs; got["5120"] != "1101234567890123456" || got["5121"] != m.Template || got["5122"] != "f00d" {
			t.Errorf("%v", got)
		}
		p.do(`{"text":"Stop!","from":"919812345678"}`)
		p.do(`{"text":"बंद","from":"919812345679"}`)
		p.do(`{"text":"Thank you","from":"919812345670"}`)
		rs := gather(t, c, 3)
		if rs[0].Kind != connector.Unsubscribed || rs[0].Address != "+919812345678" || rs[1].Kind != connector.Unsubscribed || rs[1].Address != "+919812345679" || rs[2].Kind != connector.Replied {
			t.Errorf("%+v", rs)
		}
		p.wait("enquire_link", 2) // ours
		p.do(`{"enquire":true}`)
		p.wait("enquire_link_resp", 1)
		p.do(`{"unbind":true}`)
		p.wait("unbind_resp", 1)
		p.wait("bind_transceiver", 2) // and it is back
		if o := send(t, c, smsTo("3", "+4915112345678"))[0]; o.Result != connector.Accepted {
			t.Errorf("after the unbind: %+v", o)
		}
	})
}

// A wrong password is told as what it is.
func TestPeersPassword(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c := configured(t, p.settings(connector.Settings{"password": "wrong"}))
		if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the password is wrong") {
			t.Errorf("%v", err)
		}
	})
}

// A pair of sessions over TLS, with the certificate checked.
func TestPeerEncrypted(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"smsc.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, content := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := newPeer(t, append(peers["npm smpp"], certFile, keyFile)...)
	c := configured(t, p.settings(connector.Settings{"bind": "pair", "tls": connector.Settings{"ca": string(cert), "server_name": "smsc.test"}}))
	if o := send(t, c, smsTo("1", "+4915112345678"))[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	p.wait("bind_transmitter", 1)
	p.wait("bind_receiver", 1)
	if o := send(t, c, smsTo("2", "+4915112345678"))[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	if rs := gather(t, c, 1); rs[0].Kind != connector.Delivered {
		t.Errorf("%+v", rs)
	}
	for name, settings := range map[string]connector.Settings{
		"not of this name":         {"ca": string(cert), "server_name": "other.test"},
		"not of a known authority": {"server_name": "smsc.test"},
	} {
		if err := configured(t, p.settings(connector.Settings{"tls": settings})).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "encrypting") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
