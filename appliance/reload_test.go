package appliance

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloisterhq/cloister/config"
)

// TestNeedRestart: a listener that is added, changed or removed is named, since
// it stays as it was until the next start; written elsewhere in the file it is the same.
func TestNeedRestart(t *testing.T) {
	load := func(t *testing.T, text string) *config.Config {
		t.Helper()
		path := filepath.Join(t.TempDir(), "cloister.hcl")
		if err := os.WriteFile(path, []byte(text+"\npublisher \"acme\" {\n  key \"app\" { id = \"A\" }\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, ds := config.Load([]string{path}, config.LoadOptions{})
		if ds.HasErrors() {
			t.Fatal(ds)
		}
		return c
	}
	const mail = `listener "mail" { address = "127.0.0.1:2525" }`
	for _, c := range []struct {
		name, old, next string
		want            []string
	}{
		{"nothing", mail, mail, nil},
		{"another line", mail, "\n\n" + mail, nil},
		{"added", "", mail, []string{`listener "mail"`}},
		{"removed", mail, "", []string{`listener "mail"`}},
		{"moved", mail, `listener "mail" { address = "127.0.0.1:2526" }`, []string{`listener "mail"`}},
		{"encrypted", mail, "listener \"mail\" {\n  address = \"127.0.0.1:2525\"\n  tls { self_signed = true }\n}", []string{`listener "mail"`}},
		{"bounded otherwise", mail, "listener \"mail\" {\n  address = \"127.0.0.1:2525\"\n  limits { connections = 100 }\n}", []string{`listener "mail"`}},
		{"another", mail, mail + "\nlistener \"metrics\" { address = \"127.0.0.1:9999\" }", []string{`listener "metrics"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, next := load(t, c.old), load(t, c.next)
			if got := needRestart(old, next); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			keepUntilRestart(old, next)
			if got := needRestart(old, next); len(got) != 0 {
				t.Errorf("%v does not stay as it was", got)
			}
		})
	}
}
