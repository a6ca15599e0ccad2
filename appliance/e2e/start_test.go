//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
