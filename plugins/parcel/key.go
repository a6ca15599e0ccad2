package parcel

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Key is an author's public key, for Ed25519. As text it is "ed25519:" and
// base64.
type Key [ed25519.PublicKeySize]byte

const keyPrefix = "ed25519:"

func (k Key) String() string { return keyPrefix + base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Key) UnmarshalText(text []byte) error {
	parsed, err := ParseKey(string(text))
	if err == nil {
		*k = parsed
	}
	return err
}

// ParseKey reads a public key's text.
func ParseKey(s string) (Key, error) {
	text, ok := strings.CutPrefix(s, keyPrefix)
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(raw) != len(Key{}) || strings.ContainsAny(text, "\r\n") {
		return Key{}, errors.New("not an author's key: it is \"ed25519:\" and 44 characters of base64")
	}
	return Key(raw), nil
}

// PublicKey is what others know of a private key.
func PublicKey(private ed25519.PrivateKey) Key {
	return Key(private.Public().(ed25519.PublicKey))
}

// GenerateKey makes an author's key. Its PEM (PKCS #8, as OpenSSL writes it) is
// what an author keeps.
func GenerateKey(random io.Reader) (private []byte, public Key, err error) {
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, Key{}, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, Key{}, fmt.Errorf("making a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), PublicKey(key), nil
}

// ParsePrivateKey reads an author's key.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New(`not an author's key: a PEM with "BEGIN PRIVATE KEY" is needed`)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not an author's key: %w", err)
	}
	edwards, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("not an author's key: it is for %T, and Ed25519 is needed", key)
	}
	return edwards, nil
}
