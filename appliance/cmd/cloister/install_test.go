package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/parcel"
)

// A reload starts no other program for a block that is as it was, so whoever
// installs a newer version is told which blocks to change.
func TestInstallNamesBlocks(t *testing.T) {
	dir := t.TempDir()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	m := parcel.Manifest{Name: "beeper", Version: "2.0.0", Platform: "linux/any"}
	if err := m.SetAbout(&connectorpb.DescribeReply{
		Description: &connectorpb.Description{Name: "beeper", Version: "2.0.0", Channels: []string{"sms"}, Batch: 1},
		Schema:      &connectorpb.Schema{},
	}); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := parcel.Write(&raw, m, []byte("#!/x"), key); err != nil {
		t.Fatal(err)
	}
	p, err := parcel.Open(bytes.NewReader(raw.Bytes()), parcel.PublicKey(key))
	if err != nil {
		t.Fatal(err)
	}
	at, conf := filepath.Join(dir, "beeper.parcel"), filepath.Join(dir, "cloister.hcl")
	if err := os.WriteFile(at, raw.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	const first = "Add this to a publisher"
	for _, tc := range []struct{ blocks, named, not string }{
		{"", first, "runs this plugin"},
		{`connector "sms" "other" { plugin = "mailbox" }`, first, "runs this plugin"},
		{`connector "sms" "old" {
  plugin = "beeper"
  sha256 = "` + strings.Repeat("ab", 32) + `"
}`, `connector "sms" "old" of publisher "acme" runs this plugin`, first},
		{`connector "sms" "unpinned" { plugin = "beeper" }`, `connector "sms" "unpinned" of publisher "acme" runs this plugin`, first},
		{`connector "sms" "new" {
  plugin = "beeper"
  sha256 = "` + p.SHA256 + `"
}`, first, "runs this plugin"},
	} {
		text := fmt.Sprintf("author \"a\" {\n  key = %q\n}\npublisher \"acme\" {\n  key \"app\" { id = \"A\" }\n%s\n}\n", p.Author, tc.blocks)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := called(t, "", "connector", "install", at, "--config", conf, "--dir", filepath.Join(dir, "connectors"))
		if code != 0 || !strings.Contains(out, p.SHA256) || !strings.Contains(errs, tc.named) || strings.Contains(errs, tc.not) {
			t.Errorf("%s: %d: %s%s", tc.blocks, code, out, errs)
		}
	}
}
