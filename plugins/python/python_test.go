//go:build e2e

package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Exec()
	os.Exit(m.Run())
}

// The example, packed into one file as README.md says, passes the suite confined.
func TestExample(t *testing.T) {
	src, out := t.TempDir(), filepath.Join(t.TempDir(), "notebook")
	for from, to := range map[string]string{"cloister_connector": filepath.Join(src, "cloister_connector"), "example": src} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/bin/python3", "-m", "zipapp", "-p", "/usr/bin/python3", "-o", out, src)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	conformance.Test(t, conformance.Target{
		Path: out, Settings: connector.Settings{"folder": t.TempDir()}, Reachable: true,
		Wrong: []connector.Settings{{"folder": "here"}},
	})
}
