package main

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// tokenLife is how long a token holds; 24 h are allowed (RFC 8292), and the
	// clocks of push services differ from ours.
	tokenLife = 12 * time.Hour
	// tokenRest is when another is made. Apple wants none made more than once an
	// hour.
	tokenRest = time.Hour
	maxTokens = 256 // kept at once; a token belongs to one push service's host
)

// readKey reads a private key: PEM (SEC 1 or PKCS 8), or its 32 bytes as
// base64url, as npm's web-push prints it.
func readKey(s string) (*ecdsa.PrivateKey, error) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "-----BEGIN") {
		raw, err := unbase64(s)
		if err != nil || len(raw) != 32 {
			return nil, errors.New("neither PEM nor 32 bytes of base64url")
		}
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
		if err != nil {
			return nil, errors.New("the number is no private key of P-256")
		}
		return key, nil
	}
	for rest := []byte(s); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return nil, errors.New("the PEM holds no private key")
		}
		var key *ecdsa.PrivateKey
		switch b.Type {
		case "EC PRIVATE KEY":
			k, err := x509.ParseECPrivateKey(b.Bytes)
			if err != nil {
				return nil, errors.New("the private key cannot be read")
			}
			key = k
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
			if err != nil {
				return nil, errors.New("the private key cannot be read")
			}
			key, _ = k.(*ecdsa.PrivateKey)
		default: // "EC PARAMETERS" stands before the key
			continue
		}
		if key == nil || key.Curve != elliptic.P256() {
			return nil, errors.New("the key is not one of P-256")
		}
		return key, nil
	}
}

// vapid says to push services who sends (RFC 8292). It is used concurrently.
type vapid struct {
	key     *ecdsa.PrivateKey
	public  string // base64url of the point
	subject string

	mu     sync.Mutex
	tokens map[string]token // by origin
}

type token struct {
	text    string
	expires time.Time
}

func newVapid(key *ecdsa.PrivateKey, subject string) (*vapid, error) {
	public, err := publicOf(key)
	if err != nil {
		return nil, err
	}
	return &vapid{key: key, subject: subject, tokens: map[string]token{}, public: base64.RawURLEncoding.EncodeToString(public.Bytes())}, nil
}

func publicOf(key *ecdsa.PrivateKey) (*ecdh.PublicKey, error) {
	k, err := key.PublicKey.ECDH()
	if err != nil {
		return nil, fmt.Errorf("the public key: %w", err)
	}
	return k, nil
}

// authorization is the header's value for an origin, such as
// "https://fcm.googleapis.com".
func (v *vapid) authorization(origin string, now time.Time) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, ok := v.tokens[origin]
	if !ok || t.expires.Sub(now) < tokenRest || t.expires.Sub(now) > tokenLife {
		text, err := v.sign(origin, now.Add(tokenLife))
		if err != nil {
			return "", err
		}
		if len(v.tokens) >= maxTokens {
			for o := range v.tokens { // any one: it is made again when it is needed
				delete(v.tokens, o)
				break
			}
		}
		t = token{text, now.Add(tokenLife)}
		v.tokens[origin] = t
	}
	return "vapid t=" + t.text + ", k=" + v.public, nil
}

// forget makes the next token for an origin a new one.
func (v *vapid) forget(origin string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.tokens, origin)
}

// sign makes a JWT (RFC 7519) signed with ES256.
func (v *vapid) sign(origin string, expires time.Time) (string, error) {
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}{origin, expires.Unix(), v.subject})
	if err != nil {
		return "", fmt.Errorf("a token: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, v.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:]), nil
}
