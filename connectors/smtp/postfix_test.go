//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// A Postfix that takes nothing but encrypted mail for known people, and keeps
// it in one Maildir.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.test
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = people.example, bounce.acme.example
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = inline:{ {ana@people.example = all/} {bob@people.example = all/} {@bounce.acme.example = back/} }
transport_maps = inline:{ {gone.example = virtual:} {blocks.example = smtp:[127.0.0.1]:%[2]d} }
virtual_uid_maps = static:5001
virtual_gid_maps = static:5001
virtual_minimum_uid = 1
maillog_file = %[1]s/maillog
maillog_file_prefixes = /var, /dev/stdout, %[1]s
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_reject_unlisted_recipient = yes
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = %[1]s/conf/cert.pem
smtpd_tls_key_file = %[1]s/conf/key.pem
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
message_size_limit = 200000
smtputf8_enable = no
`

const postfixMaster = `%d inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
smtp unix - - n - - smtp
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
showq unix n - n - - showq
`

type postfix struct{ dir, addr, ca string }

// startPostfix starts one; mail to blocks.example goes on to the port of next.
// more is for its main.cf; in it %s is its directory.
func startPostfix(t *testing.T, next int, more ...string) *postfix {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("Postfix can only be started by root")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	// Not t.TempDir: its parents are closed to Postfix's own user.
	dir, err := os.MkdirTemp("/tmp", "smtp-postfix-")
	must(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(os.Chmod(dir, 0o755))
	for _, d := range []string{"queue", "data", "mail", "conf"} {
		must(os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	run("chown", "postfix", filepath.Join(dir, "data"))
	must(os.Chown(filepath.Join(dir, "mail"), 5001, 5001))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cert, ca := selfSigned(t)
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	must(err)
	conf := filepath.Join(dir, "conf")
	must(os.WriteFile(filepath.Join(conf, "cert.pem"), []byte(ca), 0o644))
	must(os.WriteFile(filepath.Join(conf, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}), 0o600))
	must(os.WriteFile(filepath.Join(conf, "main.cf"), []byte(fmt.Sprintf(postfixMain, dir, next)+strings.ReplaceAll(strings.Join(more, "\n"), "%s", dir)+"\n"), 0o644))
	must(os.WriteFile(filepath.Join(conf, "master.cf"), fmt.Appendf(nil, postfixMaster, port), 0o644))
	run("/usr/sbin/postfix", "-c", conf, "start")
	t.Cleanup(func() {
		if out, err := exec.Command("/usr/sbin/postfix", "-c", conf, "stop").CombinedOutput(); err != nil {
			t.Logf("stopping Postfix: %v: %s", err, out)
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "maillog"))
			t.Logf("Postfix's log:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return &postfix{dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", port), ca: ca}
}

// letters waits until n messages were delivered to a mailbox and gives them.
func (p *postfix) letters(t *testing.T, box string, n int) [][]byte {
	t.Helper()
	var files []string
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		files, _ = filepath.Glob(filepath.Join(p.dir, "mail", box, "new/*"))
		if len(files) >= n {
			break
		}
		if time.Since(began) > 60*time.Second {
			t.Fatalf("%d messages were delivered, want %d", len(files), n)
		}
	}
	var out [][]byte
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

// listens waits until Postfix answers the connector.
func (p *postfix) listens(t *testing.T, c *smtp) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := c.Check(t.Context())
		if err == nil {
			return
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal(err)
		}
	}
}

func TestPostfix(t *testing.T) {
	p := startPostfix(t, 9)
	c := configured(t, settingsFor(p.addr, connector.Settings{
		"tls": connector.Settings{"mode": "starttls", "ca": p.ca}, "connections": 8.0,
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	p.listens(t, c)
	large := mailTo("large", "bob@people.example")
	large.Text = strings.Repeat("x ", 200_000)
	ana := mailTo("to-ana", "ana@people.example")
	ana.Text, ana.Unsubscribe = ".\r\n..\r\nGrüße\r\n", "https://engage.acme.example/u/1"
	outs, err := c.Send(ctx, []connector.Message{ana, mailTo("x", "nobody@people.example"), large, mailTo("y", "ana@elsewhere.example")})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", outs)
	if outs[0].Result != connector.Accepted || outs[0].ProviderID == "" {
		t.Errorf("known: %+v", outs[0])
	}
	if outs[1].Class != connector.ClassAddress || !strings.HasPrefix(outs[1].Reason, "550 5.1.1") {
		t.Errorf("unknown: %+v", outs[1])
	}
	if outs[2].Class != connector.ClassContent {
		t.Errorf("large: %+v", outs[2])
	}
	got := p.letters(t, "all", 1)[0]
	for _, want := range []string{
		"using TLSv1.3", "\nMessage-ID: <to-ana@acme.example>\n", "\nList-Unsubscribe: <https://engage.acme.example/u/1>\n",
		"\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n", "\nFrom: \"Acme Bank\" <hello@acme.example>\n", "\n.\n..\nGr=C3=BC=C3=9Fe\n",
	} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}

	// How fast, with a relay on the same machine that writes every message to disk.
	const n = 2000
	began := time.Now()
	for at := 0; at < n; at += 200 {
		var batch []connector.Message
		for i := range 200 {
			batch = append(batch, mailTo(fmt.Sprint("many-", at+i), "bob@people.example"))
		}
		outs, err := c.Send(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range outs {
			if o.Result != connector.Accepted {
				t.Fatalf("%+v", o)
			}
		}
	}
	t.Logf("%d messages in %s over 8 connections: %.0f a second", n, time.Since(began), n/time.Since(began).Seconds())
	// Postfix stops: what is sent now comes again, nothing is unknown.
	if out, err := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(p.dir, "conf"), "stop").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	outs, err = c.Send(t.Context(), []connector.Message{mailTo("z", "ana@people.example")})
	if err != nil || outs[0].Result != connector.Again {
		t.Errorf("%+v, %v", outs, err)
	}
}
