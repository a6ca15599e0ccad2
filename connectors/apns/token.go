package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const (
	// renewAfter is within what Apple takes: a token is refused after an hour,
	// and so is a new one within twenty minutes.
	renewAfter = 40 * time.Minute
	leastAge   = 20 * time.Minute
)

// tokens signs provider tokens: JWT by ES256 (RFC 7518, 3.4).
type tokens struct {
	key      *ecdsa.PrivateKey
	id, team string
	now      func() time.Time

	mu   sync.Mutex
	text string
	made time.Time
}

// get gives the token that serves now.
func (t *tokens) get() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.text != "" && now.Sub(t.made) < renewAfter && !now.Before(t.made) {
		return t.text, nil
	}
	head, err := json.Marshal(map[string]string{"alg": "ES256", "kid": t.id})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": t.team, "iat": now.Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, t.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing a provider token: %w", err)
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	t.text, t.made = text+"."+base64.RawURLEncoding.EncodeToString(sig[:]), now
	return t.text, nil
}

// expired lets go of a token that Apple calls expired, and says whether another
// may be tried: it is not where this one is too young for that.
func (t *tokens) expired(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text == text {
		if t.now().Sub(t.made) < leastAge {
			return false
		}
		t.text = ""
	}
	return true
}
