package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	saltSize   = 16
	authSize   = 16
	pointSize  = 65   // of P-256, uncompressed
	recordSize = 4096 // what every push service takes
	// maxPlain is what remains of a record for the message: 86 bytes of header,
	// 16 of tag, 1 that ends the text (RFC 8291, section 4).
	maxPlain = recordSize - saltSize - 4 - 1 - pointSize - 16 - 1
	// padding is what lengths are rounded up to, so that they tell less of what
	// is said.
	padding = 256
)

// keys are those of a subscription, as the browser made them.
type keys struct {
	client *ecdh.PublicKey
	auth   []byte
}

// readKeys reads {"p256dh": "..", "auth": ".."}, both base64url.
func readKeys(extra string) (keys, error) {
	var k struct{ P256dh, Auth string }
	if err := json.Unmarshal([]byte(extra), &k); err != nil {
		return keys{}, fmt.Errorf("the subscription's keys: %w", err)
	}
	point, err := unbase64(k.P256dh)
	if err != nil {
		return keys{}, fmt.Errorf("the subscription's p256dh: %w", err)
	}
	out := keys{}
	if out.client, err = ecdh.P256().NewPublicKey(point); err != nil {
		return keys{}, fmt.Errorf("the subscription's p256dh: %w", err)
	}
	if out.auth, err = unbase64(k.Auth); err != nil || len(out.auth) != authSize {
		return keys{}, fmt.Errorf("the subscription's auth is not %d bytes of base64url", authSize)
	}
	return out, nil
}

// unbase64 reads base64url, padded or not, and the other alphabet, which some
// libraries write.
func unbase64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	return base64.RawURLEncoding.DecodeString(s)
}

// seal encrypts a message for a subscription: the body of a request with
// Content-Encoding aes128gcm (RFC 8291 over RFC 8188), one record. own must be
// made for this message alone, and salt be random. plain has at most maxPlain bytes.
func seal(to keys, own *ecdh.PrivateKey, salt [saltSize]byte, plain []byte) ([]byte, error) {
	return record(to, own, salt, plain, max(0, min(maxPlain, (len(plain)/padding+1)*padding)-len(plain)))
}

// record is seal with so many bytes of padding.
func record(to keys, own *ecdh.PrivateKey, salt [saltSize]byte, plain []byte, pad int) ([]byte, error) {
	if len(plain)+pad > maxPlain {
		return nil, fmt.Errorf("encrypting: %d bytes, %d fit", len(plain)+pad, maxPlain)
	}
	secret, err := own.ECDH(to.client)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	// RFC 8291, section 3.4: the two secrets, bound to both public keys, ..
	prk, err := hkdf.Extract(sha256.New, secret, to.auth)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	info := "WebPush: info\x00" + string(to.client.Bytes()) + string(own.PublicKey().Bytes())
	ikm, err := hkdf.Expand(sha256.New, prk, info, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	// .. and RFC 8188, section 2.2 and 2.3.
	if prk, err = hkdf.Extract(sha256.New, ikm, salt[:]); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	key, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	nonce, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	body := make([]byte, 0, recordSize)
	body = append(body, salt[:]...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(append(body, pointSize), own.PublicKey().Bytes()...)
	text := make([]byte, len(plain)+1+pad)
	copy(text, plain)
	text[len(plain)] = 2 // the last record
	return aead.Seal(body, nonce, text, nil), nil
}
