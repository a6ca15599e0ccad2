package links

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// The uses of a link: the first part of its path, and part of what is signed,
// so that one cannot be made into another.
const (
	opened      = "o"
	clicked     = "c"
	unsubscribe = "u"
)

const (
	idBytes     = 16
	numberBytes = 2
	macBytes    = 16
	tokenBytes  = idBytes + numberBytes + macBytes
)

// Hasher makes keyed hashes; *keyring.Publisher is one.
type Hasher interface {
	Hash(domain string, parts ...[]byte) [32]byte
}

// Addresses makes the addresses that recipients see. It satisfies
// delivery.Links and is safe for concurrent use.
type Addresses struct {
	base      string // public URL and publisher are filled in around the use
	publisher string
	keys      Hasher
}

// NewAddresses makes the addresses of a publisher's links below publicURL,
// where recipients reach the door: http or https, without query.
func NewAddresses(publicURL, publisher string, keys Hasher) (*Addresses, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("links: %q is no address that recipients can follow: it must be like https://engage.example.com", publicURL)
	}
	return &Addresses{base: strings.TrimRight(u.String(), "/"), publisher: publisher, keys: keys}, nil
}

// Open is the address of the open pixel.
func (a *Addresses) Open(message string) string { return a.address(opened, message, 0) }

// Click is the address of a message's link by number, from 0 to 65,535.
func (a *Addresses) Click(message string, n int) string { return a.address(clicked, message, n) }

// Unsubscribe is the address of the page where consent is withdrawn, and of the
// one-click POST of RFC 8058.
func (a *Addresses) Unsubscribe(message string) string { return a.address(unsubscribe, message, 0) }

func (a *Addresses) address(use, message string, n int) string {
	return a.base + "/" + use + "/" + a.publisher + "/" + sign(a.keys, use, a.publisher, message, n)
}

// link is what a token says.
type link struct {
	message string
	number  int
}

// sign makes a token: message, number, and a keyed hash of them, of the use and
// of the publisher. A message id that is none gives a token that leads nowhere.
func sign(keys Hasher, use, publisher, message string, n int) string {
	id, err := hex.DecodeString(message)
	if err != nil || len(id) != idBytes || n < 0 || n > 1<<16-1 {
		id, n = make([]byte, idBytes), 0
	}
	token := binary.BigEndian.AppendUint16(id, uint16(n))
	token = append(token, mac(keys, use, publisher, token)...)
	return base64.RawURLEncoding.EncodeToString(token)
}

func mac(keys Hasher, use, publisher string, what []byte) []byte {
	sum := keys.Hash("recipient's link", []byte(use), []byte(publisher), what)
	return sum[:macBytes]
}

// verify reads a token, if it is one that sign made.
func verify(keys Hasher, use, publisher, token string) (link, bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return link{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenBytes {
		return link{}, false
	}
	what := b[:idBytes+numberBytes]
	if !hmac.Equal(b[len(what):], mac(keys, use, publisher, what)) {
		return link{}, false
	}
	return link{hex.EncodeToString(b[:idBytes]), int(binary.BigEndian.Uint16(b[idBytes:]))}, true
}
