package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const golden = "testdata/v1"

// The bytes of the released format: a change here is a new version of it. The
// key in testdata signs nothing else.
func TestGoldenLog(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{keyFile, verifierFile} {
		put(t, filepath.Join(dir, name), content(t, filepath.Join(golden, name)))
	}
	l := open(t, Options{Dir: dir, FileBytes: 600})
	l.add(t, 3)
	check(t, l.Append(t.Context(), Entry{Actor: "token 1f3a warehouse", Action: "denied", Publisher: "acme", Subject: "GET /v1/…", Outcome: Denied, Detail: "<\n>"}))
	check(t, l.Append(t.Context(), entry(9)))
	check(t, l.Close())
	want, err := os.ReadDir(golden)
	check(t, err)
	got, err := os.ReadDir(dir)
	check(t, err)
	if len(got) != len(want) {
		t.Errorf("%d files, %s has %d", len(got), golden, len(want))
	}
	for _, e := range got {
		mine := content(t, filepath.Join(dir, e.Name()))
		theirs, err := os.ReadFile(filepath.Join(golden, e.Name()))
		if err != nil || !bytes.Equal(mine, theirs) {
			t.Errorf("%s is\n%s\n%s has\n%s", e.Name(), mine, golden, theirs)
		}
	}
	if _, err := Verify(golden, ""); err != nil {
		t.Error(err)
	}
}
