package parcel

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func testManifest(t testing.TB) Manifest {
	m := Manifest{Name: "beeper", Version: "1.2.3", Platform: "linux/any"}
	err := m.SetAbout(&connectorpb.DescribeReply{Description: &connectorpb.Description{
		Name: "beeper", Version: "1.2.3", Summary: "Beeps.", Channels: []string{"sms"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func pack(t testing.TB, m Manifest, program string, key ed25519.PrivateKey) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, m, []byte(program), key); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack is all that an installation does with a parcel.
func unpack(raw []byte, trusted ...Key) (*Parcel, string, error) {
	p, err := Open(bytes.NewReader(raw), trusted...)
	if err != nil {
		return nil, "", err
	}
	var out bytes.Buffer
	err = p.Program(&out)
	return p, out.String(), err
}

func TestRoundTrip(t *testing.T) {
	const program = "#!/bin/true\n"
	key := testKey(1)
	raw := pack(t, testManifest(t), program, key)
	if again := pack(t, testManifest(t), program, key); !bytes.Equal(raw, again) {
		t.Error("the same program and key made other bytes")
	}
	p, err := Open(bytes.NewReader(raw), PublicKey(testKey(2)), PublicKey(key))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := p.Program(&out); err != nil || out.String() != program {
		t.Fatalf("%q, %v", out.String(), err)
	}
	if p.Name != "beeper" || p.Version != "1.2.3" || p.Author != PublicKey(key) || p.Size != int64(len(program)) {
		t.Errorf("%+v", p.Manifest)
	}
	if card, err := ParseManifest(p.Card); err != nil || card.SHA256 != p.SHA256 {
		t.Errorf("the card: %+v, %v", card, err)
	}
	about, err := p.Describe()
	if err != nil || about.GetDescription().GetSummary() != "Beeps." {
		t.Errorf("%v, %v", about, err)
	}
}

func TestUntrusted(t *testing.T) {
	raw := pack(t, testManifest(t), "#!/x", testKey(1))
	_, _, err := unpack(raw, PublicKey(testKey(2)))
	var u *Untrusted
	if !errors.Is(err, ErrUntrusted) || !errors.As(err, &u) || u.Author != PublicKey(testKey(1)) {
		t.Errorf("got %v", err)
	}
	// Another's key put in the place of the author's.
	forged := bytes.Clone(raw)
	other := PublicKey(testKey(2))
	copy(forged[len(magic):], other[:])
	if _, _, err := unpack(forged, other); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v", err)
	}
}

// Whatever byte is changed, whatever is cut off or added, is noticed.
func TestEveryByteCounts(t *testing.T) {
	key := testKey(1)
	raw := pack(t, testManifest(t), "#!/bin/true\n", key)
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			if _, _, err := unpack(changed, PublicKey(key)); err == nil {
				t.Fatalf("byte %d changed, and nobody noticed", i)
			}
		}
		if _, _, err := unpack(raw[:i], PublicKey(key)); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, _, err := unpack(append(bytes.Clone(raw), 0), PublicKey(key)); !errors.Is(err, ErrFormat) {
		t.Errorf("something follows: %v", err)
	}
}

// signed makes a parcel of any manifest: an author who is trusted and mistaken.
func signed(manifest string, key ed25519.PrivateKey, program string) []byte {
	h := head(PublicKey(key), []byte(manifest))
	return append(append(h, ed25519.Sign(key, h)...), program...)
}

func TestManifestIsStrict(t *testing.T) {
	key := testKey(1)
	raw := pack(t, testManifest(t), "#!/bin/true\n", key)
	p, _, err := unpack(raw, PublicKey(key))
	if err != nil {
		t.Fatal(err)
	}
	good := string(p.Card)
	if _, _, err := unpack(signed(good, key, "#!/bin/true\n"), PublicKey(key)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"name":"beeper"`, `"name":"../beeper"`},
		{`"name":"beeper"`, `"name":"/usr/bin/true"`},
		{`"name":"beeper"`, `"name":"beeper.json"`},
		{`"name":"beeper"`, `"name":""`},
		{`"version":"1.2.3"`, `"version":"new"`},
		{`"version":"1.2.3"`, `"version":"1.2.4"`}, // not what the program says
		{`"linux/any"`, `"windows/amd64"`},
		{`"contract":1`, `"contract":2`},
		{`"size":12`, `"size":-1`},
		{`"size":12`, `"size":0`},
		{`"size":12`, `"size":268435457`},
		{`"size":12`, `"size":11`},
		{`"size":12`, `"size":13`},
		{`"sha256":"`, `"sha256":"0`},
		{`"author":"ed25519:`, `"author":"rsa:`},
		{`"name":"beeper"`, `"mode":"04755","name":"beeper"`},
		{`"about":{`, `"about":{"schema":{"settings":[{"name":"x","min":"y"}]},`},
		{`"about":{`, `"about":{"more":1,`},
		{`}`, `}}`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s is not in %s", change[0], good)
		}
		if _, _, err := unpack(signed(bad, key, "#!/bin/true\n"), PublicKey(key)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", change[1], err)
		}
	}
	huge := binary.BigEndian.AppendUint32(append([]byte(magic), p.Author[:]...), maxManifest+1)
	if _, err := Open(io.MultiReader(bytes.NewReader(huge), strings.NewReader("x")), p.Author); !errors.Is(err, ErrFormat) {
		t.Errorf("a huge manifest: %v", err)
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		version, than string
		want          bool
	}{{"1.10.0", "1.9.0", true}, {"1.0.0", "1.0.0", false}, {"1.0.0-rc.1", "1.0.0", false}, {"2.0.0", "", true}} {
		if got := (&Manifest{Version: c.version}).Newer(c.than); got != c.want {
			t.Errorf("%s newer than %s: %v", c.version, c.than, got)
		}
	}
}

func TestKeys(t *testing.T) {
	private, public, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateKey(private)
	if err != nil || PublicKey(key) != public {
		t.Fatalf("%v, %v", PublicKey(key), err)
	}
	back, err := ParseKey(public.String())
	if err != nil || back != public {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "ed25519:", "ed25519:AAAA", public.String() + "A", strings.TrimSuffix(public.String(), "="), strings.TrimPrefix(public.String(), keyPrefix), public.String() + "\n"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", public.String()} {
		if _, err := ParsePrivateKey([]byte(bad)); err == nil {
			t.Errorf("%q is a private key", bad)
		}
	}
}

func TestPlatform(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Platform(raw); err != nil || !RunsHere(got) {
		t.Errorf("this program: %q, %v", got, err)
	}
	if got, err := Platform([]byte("#!/usr/bin/python3\n")); err != nil || got != "linux/any" {
		t.Errorf("a script: %q, %v", got, err)
	}
	for _, bad := range []string{"", "MZ", "\x7fELF", "#! python"} {
		if got, err := Platform([]byte(bad)); err == nil {
			t.Errorf("%q is for %q", bad, got)
		}
	}
}

// OpenSSL, which nobody here wrote, verifies what is signed.
func TestOpenSSLVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is needed: apt-get install -y openssl")
	}
	private, public, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{9}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	const program = "#!/bin/true\n"
	raw := pack(t, testManifest(t), program, key)
	end := len(raw) - len(program) - ed25519.SignatureSize
	dir := t.TempDir()
	for name, content := range map[string][]byte{"key.pem": private, "signed": raw[:end], "signature": raw[end : end+ed25519.SignatureSize]} {
		if err := os.WriteFile(dir+"/"+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(openssl, "pkeyutl", "-verify", "-inkey", "key.pem", "-rawin", "-in", "signed", "-sigfile", "signature")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", public, err, out)
	}
}

// Whatever comes in, nothing is taken but what Write made with the key.
func FuzzOpen(f *testing.F) {
	key := testKey(1)
	good := pack(f, testManifest(f), "#!/bin/true\n", key)
	f.Add(good)
	f.Add(good[:60])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, _, err := unpack(raw, PublicKey(key))
		if err == nil && !bytes.Equal(raw, good) {
			t.Fatalf("taken: %+v", p.Manifest)
		}
	})
}

// A manifest that is read is one that is written the same way.
func FuzzManifest(f *testing.F) {
	p, _, err := unpack(pack(f, testManifest(f), "#!/bin/true\n", testKey(1)), PublicKey(testKey(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Card)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseManifest(raw)
		if err != nil {
			return
		}
		if strings.ContainsAny(m.Name, "./\x00") || m.Size > MaxProgram {
			t.Fatalf("taken: %+v", m)
		}
	})
}
