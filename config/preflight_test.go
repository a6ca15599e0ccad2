package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/keyring"
)

// certify writes a certificate that is valid from now on for so long.
func certify(t *testing.T, dir string, now time.Time, lasts time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: now, NotAfter: now.Add(lasts)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"c.pem": {Type: "CERTIFICATE", Bytes: cert}, "k.pem": {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const onMachine = `
appliance {
  data_dir   = %q
  public_url = "https://a.example"
}
%s
listener "collect" {
  address = %q
  tls {
    cert_file = "c.pem"
    key_file  = "k.pem"
  }
}
listener "console" { address = "127.0.0.1:0" }
listener "metrics" { address = "127.0.0.1:0" }
publisher "p" {
  key "k" { id = "K" }
  connector "sms" "box" {
    plugin = "mailbox"
    %s
    settings { dir = "/tmp" }
  }
}
`

func TestPreflight(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name, dataDir, keyring, address, pin string
		at                                   time.Time
		with                                 func(dir string) error
		want                                 string // codes
	}{
		{name: "good"},
		{name: "data_dir is a file", dataDir: "c.pem", want: "E1301"},
		{name: "data_dir below a file", dataDir: "c.pem/data", want: "E1301"},
		{name: "port in use", address: taken.Addr().String(), want: "E1302"},
		{name: "expired", at: now.Add(100 * day), want: "E1303"},
		{name: "not yet valid", at: now.Add(-day), want: "E1303"},
		{name: "expires soon", at: now.Add(80 * day), want: "W1406"},
		{name: "no certificate", want: "E1303", with: func(dir string) error { return os.Remove(filepath.Join(dir, "c.pem")) }},
		{name: "no master key", keyring: `keyring { file = "missing" }`, want: "E1304"},
		{
			name: "a master key as the keyring makes it", keyring: `keyring { file = "master" }`,
			with: func(dir string) error { _, err := keyring.CreateMaster(filepath.Join(dir, "master")); return err },
		},
		{
			name: "a master key for everybody", keyring: `keyring { file = "master" }`, want: "E1304",
			with: func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "master"), []byte(strings.Repeat("0a", 32)), 0o644)
			},
		},
		{
			name: "no master key in the file", keyring: `keyring { file = "master" }`, want: "E1304",
			with: func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "master"), []byte(strings.Repeat("0x", 32)), 0o600)
			},
		},
		{name: "another program", pin: `sha256 = "` + strings.Repeat("0", 64) + `"`, want: "E1305"},
		{name: "no program", want: "E1305", with: func(dir string) error { return os.Remove(filepath.Join(dir, "mailbox")) }},
		{name: "not a program", want: "E1305", with: func(dir string) error { return os.Chmod(filepath.Join(dir, "mailbox"), 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.dataDir == "" {
				c.dataDir = "not/there/yet"
			}
			if c.address == "" {
				c.address = "127.0.0.1:0"
			}
			if c.at.IsZero() {
				c.at = now.Add(day)
			}
			dir := write(t, map[string]string{"a.hcl": fmt.Sprintf(onMachine, c.dataDir, c.keyring, c.address, c.pin)})
			certify(t, dir, now, 90*day)
			if err := os.WriteFile(filepath.Join(dir, "mailbox"), []byte("#!/bin/true"), 0o700); err != nil {
				t.Fatal(err)
			}
			if c.with != nil {
				if err := c.with(dir); err != nil {
					t.Fatal(err)
				}
			}
			cfg, ds := Load([]string{dir}, LoadOptions{Connectors: &fakeConnectors{}})
			if len(ds) > 0 {
				t.Fatal(text(t, ds))
			}
			ds = Preflight(context.Background(), cfg, []string{dir}, c.at)
			var codes []string
			for _, d := range ds {
				codes = append(codes, d.Code)
				if d.Place.Source == "" {
					t.Errorf("no line: %+v", d)
				}
			}
			if got := strings.Join(codes, " "); got != c.want {
				t.Errorf("%q, not %q\n%s", got, c.want, text(t, ds))
			}
			if _, err := os.Stat(filepath.Join(dir, "not")); err == nil {
				t.Error("it made the data directory")
			}
		})
	}
}
