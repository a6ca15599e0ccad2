package access

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Cost is what hashing a password takes.
type Cost struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// DefaultCost takes 64 MiB and some 150 ms of one core.
var DefaultCost = Cost{Memory: 64 << 10, Passes: 2, Lanes: 1}

// Bounds of a password, in characters and bytes, and of hashing: two at a
// time take 128 MiB, and whoever would wait behind 32 others is sent away.
const (
	MinPassword      = 12
	MaxPassword      = 256
	maxPasswordBytes = 1024
	hashesAtOnce     = 2
	hashesWaiting    = 32
)

const (
	saltBytes = 16
	keyBytes  = 32
)

var errHash = errors.New("not a hash of a password")

// hashing bounds how many passwords are hashed at the same time.
type hashing struct {
	cost    Cost
	running chan struct{}
	waiting chan struct{}
}

func newHashing(c Cost) hashing {
	return hashing{cost: c, running: make(chan struct{}, hashesAtOnce), waiting: make(chan struct{}, hashesWaiting+hashesAtOnce)}
}

// enter waits for a place; leave gives it back.
func (h hashing) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running; <-h.waiting }, nil
	case <-ctx.Done():
		<-h.waiting
		return nil, ctx.Err()
	}
}

// make hashes a password into a PHC string.
func (h hashing) make(ctx context.Context, random io.Reader, password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	c := h.cost
	key := argon2.IDKey(normal(password), salt, c.Passes, c.Memory, c.Lanes, keyBytes)
	return phc(c, salt, key), nil
}

// matches takes as long for a hash that nothing matches as for any other.
func (h hashing) matches(ctx context.Context, hash, password string) (bool, error) {
	c, salt, want, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	key := argon2.IDKey(normal(password), salt, c.Passes, c.Memory, c.Lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(key, want) == 1, nil
}

// nothing is a hash of the current cost that no password has: it is compared
// with where there is no operator, so that the answer takes as long.
func (h hashing) nothing() string {
	return phc(h.cost, make([]byte, saltBytes), make([]byte, keyBytes))
}

// current says whether a hash was made at the cost of today.
func (h hashing) current(hash string) bool {
	c, _, _, err := parsePHC(hash)
	return err == nil && c == h.cost
}

// normal makes what looks the same be the same, whichever keyboard typed it.
func normal(password string) []byte { return norm.NFC.Bytes([]byte(password)) }

var b64 = base64.RawStdEncoding.Strict()

func phc(c Cost, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		c.Memory, c.Passes, c.Lanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// parsePHC reads what phc wrote, and refuses costs that could stop the daemon.
func parsePHC(s string) (c Cost, salt, key []byte, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.Memory, &c.Passes, &c.Lanes); err != nil {
		return c, nil, nil, errHash
	}
	if c.Memory < 8 || c.Memory > 1<<20 || c.Passes == 0 || c.Passes > 64 || c.Lanes == 0 || c.Lanes > 16 {
		return c, nil, nil, errHash
	}
	salt, err1 := b64.DecodeString(parts[4])
	key, err2 := b64.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 {
		return c, nil, nil, errHash
	}
	if phc(c, salt, key) != s { // one way to write it
		return c, nil, nil, errHash
	}
	return c, salt, key, nil
}

// checkPassword says why a new password is not taken.
func checkPassword(name, password string) error {
	bad := func(message string) error { return &Bad{"password", message} }
	if !utf8.ValidString(password) {
		return bad("it is not valid UTF-8")
	}
	n := utf8.RuneCountInString(password)
	if n < MinPassword || n > MaxPassword || len(password) > maxPasswordBytes {
		return bad(fmt.Sprintf("it must have %d to %d characters", MinPassword, MaxPassword))
	}
	different := make(map[rune]struct{})
	for _, r := range password {
		if unicode.IsControl(r) {
			return bad("it must not have control characters")
		}
		different[r] = struct{}{}
	}
	if len(different) < 5 {
		return bad("it must have at least 5 different characters")
	}
	rest := strings.ReplaceAll(strings.ToLower(password), strings.ToLower(name), "")
	if utf8.RuneCountInString(rest) < MinPassword/2 {
		return bad("it must be more than the operator's name")
	}
	return nil
}
