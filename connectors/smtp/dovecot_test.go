//go:build e2e

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// A Dovecot that does nothing but answer for Postfix who may sign in, at once also
// where somebody may not.
const dovecotConf = `base_dir = %[1]s
state_dir = %[1]s
log_path = %[1]s/log
protocols =
ssl = no
auth_mechanisms = plain login cram-md5 scram-sha-256
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = scheme=PLAIN %[1]s/users
}
userdb {
  driver = static
  args = uid=5001 gid=5001 home=%[1]s
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener %[1]s/postfix {
    mode = 0666
  }
}
`

// startDovecot starts one that knows a user with a password, and gives the path of
// its socket.
func startDovecot(t *testing.T, user, password string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "smtp-dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "conf")
	for path, text := range map[string]string{conf: fmt.Sprintf(dovecotConf, dir), filepath.Join(dir, "users"): user + ":" + password + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/dovecot", "-F", "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Logf("Dovecot: %v", err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot's log:\n%s", log)
		}
	})
	socket := filepath.Join(dir, "postfix")
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		if time.Now().After(end) {
			t.Fatal("Dovecot makes no socket")
		}
	}
}

// Each way to sign in, against Postfix and Dovecot: a mail that only those who
// signed in may send arrives, and a wrong password is refused.
func TestSignInToPostfix(t *testing.T) {
	const user, password = "acme", "hüsh, 100%=x" // what SCRAM escapes and prepares
	socket := startDovecot(t, user, password)
	p := startPostfix(t, 9, "smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = dovecot", "smtpd_sasl_path = "+socket,
		"smtpd_recipient_restrictions = permit_sasl_authenticated, reject", "smtpd_sasl_authenticated_header = yes", "smtpd_error_sleep_time = 0")
	settings := func(auth, password string) connector.Settings {
		s := settingsFor(p.addr, connector.Settings{"tls": connector.Settings{"mode": "starttls", "ca": p.ca}, "username": user, "password": password})
		if auth != "" {
			s["auth"] = auth
		}
		return s
	}
	p.listens(t, configured(t, settings("", password)))
	for n, auth := range append([]string{""}, mechanisms...) {
		t.Run("by "+auth, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			c := configured(t, settings(auth, password))
			outs, err := c.Send(ctx, []connector.Message{mailTo(fmt.Sprint("by-", n), "ana@people.example")})
			if err != nil || outs[0].Result != connector.Accepted {
				t.Fatalf("%+v, %v", outs, err)
			}
			for _, got := range p.letters(t, "all", n+1) {
				if !strings.Contains(string(got), "(Authenticated sender: acme)") {
					t.Errorf("not by who signed in:\n%s", got)
				}
			}
			wrong := configured(t, settings(auth, "another"))
			if err := wrong.Check(ctx); err == nil || !strings.Contains(err.Error(), "signing in") || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), "another") {
				t.Errorf("a wrong password: %v", err)
			}
			outs, err = wrong.Send(ctx, []connector.Message{mailTo("wrong", "ana@people.example")})
			if err != nil || outs[0].Result != connector.Again || outs[0].RetryAfter < time.Minute {
				t.Errorf("a wrong password: %+v, %v", outs, err)
			}
		})
	}
	log, err := os.ReadFile(filepath.Join(p.dir, "maillog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mechanisms {
		if !strings.Contains(string(log), "sasl_method="+m) {
			t.Errorf("nobody signed in by %s", m)
		}
	}
}
