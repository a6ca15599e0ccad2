package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// The example beside each connector is valid, warnings included, as "cloister
// validate" sees it, and its README.md names every setting.
func TestConnectorExamples(t *testing.T) {
	dir := t.TempDir()
	programs, secrets := filepath.Join(dir, "connectors"), filepath.Join(dir, "etc")
	for _, d := range []string{programs, secrets} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", programs+"/", "../../../connectors/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the connectors: %v\n%s", err, out)
	}
	secret := exampleSecrets(t)
	h, closeHost, err := openHost([]string{programs})
	if err != nil {
		t.Fatal(err)
	}
	defer closeHost()
	folders, err := filepath.Glob("../../../connectors/*/main.go")
	if err != nil || len(folders) == 0 {
		t.Fatal(folders, err)
	}
	for _, main := range folders {
		folder := filepath.Dir(main)
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			example, err := os.ReadFile(filepath.Join(folder, "example.hcl"))
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range readsFile.FindAllSubmatch(example, -1) {
				name := string(found[1])
				if secret[name] == nil {
					secret[name] = []byte(strings.Repeat("0123456789abcdef", 4)) // a key or a password like any other
				}
				if err := os.WriteFile(filepath.Join(secrets, name), secret[name], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			body := strings.ReplaceAll(string(example), "/etc/cloister", secrets) +
				"\nappliance {\n  connector_dirs = [" + strconv.Quote(programs) + "]\n  public_url = \"https://engage.acme.example\"\n}\n" +
				"listener \"mail\" { address = \"127.0.0.1:2525\" }\n"
			body = strings.Replace(body, "publisher \"acme\" {", "publisher \"acme\" {\n  key \"app\" { id = \"ACME-APP\" }", 1)
			at := filepath.Join(t.TempDir(), "example.hcl")
			if err := os.WriteFile(at, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			ds, err := validate(t.Context(), []string{at}, false)
			if err != nil {
				t.Fatal(err)
			}
			if len(ds) > 0 {
				var out bytes.Buffer
				ds.WriteText(&out, false)
				t.Error(out.String())
			}

			readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			_, schema, err := h.Describe(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			named := func(settings []connector.Setting) {
				for _, s := range settings {
					if !bytes.Contains(readme, []byte("`"+s.Name+"`")) {
						t.Errorf("README.md does not name the setting %s", s.Name)
					}
				}
			}
			named(schema.Settings)
			for _, b := range schema.Blocks {
				if !bytes.Contains(readme, []byte("`"+b.Name)) {
					t.Errorf("README.md does not name the block %s", b.Name)
				}
				named(b.Settings)
			}
		})
	}
}

var readsFile = regexp.MustCompile(`file\("/etc/cloister/([^"/]+)"\)`)

// exampleSecrets are the files of a certain form that examples read, by their
// names in /etc/cloister.
func exampleSecrets(t *testing.T) map[string][]byte {
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme", "private_key_id": "1", "private_key": string(pkcs8(large)),
		"client_email": "engage@acme.iam.gserviceaccount.example", "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"proxy":                 []byte("http://engage:secret@proxy.acme.example:3128\n"),
		"smsc.password":         []byte("secret\n"), // 8 bytes at most
		"dkim.pem":              pkcs8(large),
		"dkim-ed25519.pem":      pkcs8(edwards),
		"AuthKey_ABC1234567.p8": pkcs8(curve),
		"vapid.pem":             pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"firebase.json":         account,
		"webhook.secret":        []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"),
	}
}
