//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused starts the daemon once more and gives how it ended and what it said.
const oneKeyHCL = `
publisher "shop" {
  key "app" { id = "SHOP-APP" }
}
`

func (d *daemon) refused() (code int, said string) {
	d.t.Helper()
	out, err := exec.Command(program, "server", "--config", d.config).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		d.t.Fatalf("it started, or did not run at all: %v\n%s", err, out)
	}
	return exit.ExitCode(), string(out)
}

func TestWhatKeepsTheDaemonFromStartingIsTold(t *testing.T) {
	d := newDaemon(t, false, oneKeyHCL)
	d.start()
	expect := func(when string, code int, part string) {
		t.Helper()
		if got, said := d.refused(); got != code || !strings.Contains(said, part) {
			t.Errorf("%s: it ended with %d, not %d, and said\n%s", when, got, code, said)
		}
	}
	expect("a second daemon", 1, "another daemon runs over "+d.dir)
	d.stop()

	master := filepath.Join(d.dir, "master.key")
	key, err := os.ReadFile(master)
	must(t, err)
	put := func(b []byte) {
		must(t, os.Chmod(master, 0o600))
		must(t, os.WriteFile(master, b, 0o600))
		must(t, os.Chmod(master, 0o400))
	}
	put(bytes.Repeat([]byte("0f"), 32))
	expect("another master key", 5, "the data is locked")
	put([]byte("no key"))
	expect("a file that holds no key", 1, master)
	put(key)

	d.write("publisher \"shop\" {\n  colour = 1\n}\n")
	expect("a mistake", 78, "colour")
	d.write(oneKeyHCL)
	d.start()
}

// A connector that cannot run, for whatever came to its program since the
// configuration was checked, keeps nothing else from running, and runs when it was
// put right and the configuration was read again.
func TestConnectorsThatCannotRunKeepNothingFromStarting(t *testing.T) {
	dir, err := filepath.Abs("../../bin/connectors")
	must(t, err)
	mailbox, err := os.ReadFile(filepath.Join(dir, "mailbox"))
	must(t, err)
	sum := fmt.Sprintf("%x", sha256.Sum256(mailbox))
	type status struct{ Name, State, Error string }
	for _, c := range []struct {
		name, pin string
		spoil     func(program string) error
		says      string // of the connector
	}{
		{"it is gone", "", os.Remove, "no such connector"},
		{"it ends at once", "", func(p string) error { return os.WriteFile(p, []byte("#!/bin/sh\nexit 1\n"), 0o755) }, "does not work"},
		{"everybody may write it", "", func(p string) error { return os.Chmod(p, 0o777) }, "could be changed"},
		{"it is another", sum, func(p string) error { return os.WriteFile(p, append(mailbox, 0), 0o755) }, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDaemon(t, false, "\n")
			programs, box := filepath.Join(filepath.Dir(d.config), "programs"), t.TempDir()
			broken := filepath.Join(programs, "letters")
			must(t, os.Mkdir(programs, 0o755))
			must(t, os.WriteFile(broken, mailbox, 0o755))
			must(t, os.WriteFile(filepath.Join(programs, "mailbox"), mailbox, 0o755))
			pin := ""
			if c.pin != "" {
				pin = fmt.Sprintf("sha256 = %q", c.pin)
			}
			d.write(fmt.Sprintf("appliance { connector_dirs = [%q] }\npublisher \"shop\" {\n  key \"app\" { id = \"SHOP-APP\" }\n", programs) + fmt.Sprintf(`
  connector "email" "broken" {
    plugin = "letters"
    %s
    settings { dir = %q }
  }
  connector "sms" "works" {
    plugin = "mailbox"
    settings { dir = %q }
  }
}
`, pin, filepath.Join(box, "a"), filepath.Join(box, "b")))
			must(t, c.spoil(broken))
			for _, args := range [][]string{{"validate", d.config}, {"validate", "--format", "json", d.config}} {
				out, err := exec.Command(program, args...).CombinedOutput()
				if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
					t.Errorf("%v: %v\n%s", args, err, out)
				}
			}
			d.start()
			if said := d.log.String(); !strings.Contains(said, "Warning W1408") {
				t.Errorf("it said\n%s", said)
			}
			if code := d.send("SHOP-APP"); code != 200 {
				t.Errorf("an app is answered %d", code)
			}
			states := func() (broken, works status) {
				var out struct{ Connectors []status }
				d.call("GET", "/publishers/shop/connectors", nil, &out)
				for _, s := range out.Connectors {
					if s.Name == "broken" {
						broken = s
					} else {
						works = s
					}
				}
				return broken, works
			}
			eventually(t, 30*time.Second, "it says what is wrong", func() bool {
				broken, works := states()
				return strings.Contains(broken.Error, c.says) && broken.State != "running" && works.State == "running"
			})
			must(t, os.RemoveAll(broken))
			must(t, os.WriteFile(broken, mailbox, 0o755))
			var out reloaded
			if code := d.call("POST", "/admin/reload", nil, &out); code != 200 {
				t.Fatalf("a reload is answered %d", code)
			}
			if broken, works := states(); broken.State != "running" || works.State != "running" {
				t.Errorf("afterwards: %+v, %+v", broken, works)
			}
		})
	}
}
