package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	sec1, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	bytes, err := key.Bytes()
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	other, err := x509.MarshalECPrivateKey(p384)
	must(t, err)
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"openssl ecparam": {block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + block("EC PRIVATE KEY", sec1), true},
		"openssl genpkey": {block("PRIVATE KEY", pkcs8), true},
		"npm web-push":    {base64.RawURLEncoding.EncodeToString(bytes), true},
		"with a line end": {base64.RawURLEncoding.EncodeToString(bytes) + "\n", true},
		"P-384":           {block("EC PRIVATE KEY", other), false},
		"a certificate":   {block("CERTIFICATE", sec1), false},
		"zero":            {base64.RawURLEncoding.EncodeToString(make([]byte, 32)), false},
		"nothing":         {"", false},
	} {
		got, err := readKey(c.text)
		if (err == nil) != c.ok || c.ok && !got.Equal(key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token is made once for an origin, and again before it ends, or when it was
// not taken, or when the clock was set back.
func TestTokens(t *testing.T) {
	key, err := readKey(testKey)
	must(t, err)
	v, err := newVapid(key, "mailto:ops@acme.example")
	must(t, err)
	now := time.Unix(1_800_000_000, 0)
	ask := func(origin string) string {
		t.Helper()
		s, err := v.authorization(origin, now)
		must(t, err)
		return s
	}
	first := ask("https://a.example")
	if ask("https://b.example") == first {
		t.Error("one token for two services")
	}
	now = now.Add(tokenLife - tokenRest)
	if ask("https://a.example") != first {
		t.Error("made anew too soon")
	}
	now = now.Add(time.Second)
	second := ask("https://a.example")
	if second == first {
		t.Error("not made anew")
	}
	v.forget("https://a.example")
	if ask("https://a.example") == second {
		t.Error("not made anew after it was not taken")
	}
	third := ask("https://a.example")
	now = now.Add(-48 * time.Hour)
	if ask("https://a.example") == third {
		t.Error("a token for more than a day")
	}
	for i := range 2 * maxTokens {
		ask(fmt.Sprintf("https://%d.example", i))
	}
	if len(v.tokens) > maxTokens {
		t.Errorf("%d are kept", len(v.tokens))
	}
}

func FuzzReadKey(f *testing.F) {
	f.Add(testKey)
	f.Add("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, s string) {
		if key, err := readKey(s); err == nil && key.Curve != elliptic.P256() {
			t.Errorf("a key of %v", key.Curve)
		}
	})
}
