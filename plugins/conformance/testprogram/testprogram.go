// Package testprogram makes a connector's test program the connector too, so that
// the suite starts, confined, what is under test and nothing that was built apart.
package testprogram

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// Main is what TestMain does: where the program was started as a connector it is
// one, by the connector's own main; else it runs the tests, and then looks for
// goroutines that are left.
func Main(m *testing.M, connector func()) {
	sandbox.Exec()
	if os.Getenv("CLOISTER_CONNECTOR") != "" {
		connector()
		return
	}
	goleak.VerifyTestMain(m)
}

// Install lays this test program into a folder of the test's under the plugin's
// name, and gives its path.
func Install(t testing.TB, plugin string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), plugin)
	if err := os.WriteFile(path, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
