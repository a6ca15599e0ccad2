//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// postfix is a real SMTP server with a configuration of its own, on a port of
// its own, that delivers everything to one Maildir.
type postfix struct {
	port int
	dir  string
}

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.shop.example
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = shop.example
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:%[2]d
virtual_gid_maps = static:%[2]d
virtual_minimum_uid = 1
maillog_file = %[1]s/maillog
maillog_file_prefixes = /var, /dev/stdout, %[1]s
smtpd_recipient_restrictions = permit_mynetworks, reject
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
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
pickup unix n - n 60 1 pickup
showq unix n - n - - showq
`

const mailUID = 5000

// startPostfix starts one; more are lines of its configuration.
func startPostfix(t *testing.T, more ...string) *postfix {
	t.Helper()
	// Not t.TempDir: its parents are closed to Postfix's own user.
	dir, err := os.MkdirTemp("/tmp", "cloister-postfix-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	p := &postfix{port: freePort(t), dir: dir}
	for _, d := range []string{"queue", "data", "mail", "conf"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	run(t, "chown", "postfix", filepath.Join(dir, "data"))
	must(t, os.Chown(filepath.Join(dir, "mail"), mailUID, mailUID))
	must(t, os.WriteFile(filepath.Join(dir, "conf/main.cf"), append(fmt.Appendf(nil, postfixMain, dir, mailUID), strings.Join(more, "")...), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "conf/master.cf"), fmt.Appendf(nil, postfixMaster, p.port), 0o644))
	conf := filepath.Join(dir, "conf")
	run(t, "/usr/sbin/postfix", "-c", conf, "start")
	t.Cleanup(func() {
		if out, err := exec.Command("/usr/sbin/postfix", "-c", conf, "stop").CombinedOutput(); err != nil {
			t.Logf("stopping Postfix: %v: %s", err, out)
		}
	})
	eventually(t, 20*time.Second, "Postfix answers", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err != nil {
			return false
		}
		defer c.Close()
		var hello [4]byte
		_, err = c.Read(hello[:])
		return err == nil && string(hello[:3]) == "220"
	})
	return p
}

// letter is one message as it lies in the mailbox.
type letter struct {
	*mail.Message
	body string
}

// letters gives what was delivered to one address.
func (p *postfix) letters(t *testing.T, to string) []letter {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "mail/all/new/*"))
	must(t, err)
	var out []letter
	for _, name := range files {
		b, err := os.ReadFile(name)
		must(t, err)
		m, err := mail.ReadMessage(strings.NewReader(string(b)))
		must(t, err)
		if m.Header.Get("Delivered-To") != to && m.Header.Get("X-Original-To") != to {
			continue
		}
		out = append(out, letter{Message: m, body: string(b)})
	}
	return out
}
