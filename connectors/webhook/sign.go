package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// secrets are what the receiver checks signatures with: one, or two while one
// takes the other's place.
type secrets [][]byte

// Standard Webhooks wants 24 to 64 bytes.
const leastSecret, mostSecret = 24, 64

var errSecret = errors.New("not a secret: whsec_ and 24 to 64 bytes in base64")

// readSecret reads one as Standard Webhooks writes it.
func readSecret(text string) ([]byte, error) {
	b64, ok := strings.CutPrefix(strings.TrimSpace(text), "whsec_")
	if !ok {
		return nil, errSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return nil, errSecret
	}
	return key, nil
}

// signature is the header's value: one signature a secret, of which the
// receiver needs to find one right.
func (s secrets) signature(id, stamp string, body []byte) string {
	var out []string
	for _, key := range s {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + stamp + "."))
		h.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(out, " ")
}
