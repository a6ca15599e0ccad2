// Package access knows who may work with the appliance: operators with their
// roles and passwords, their sessions, one-time links, and the tokens of
// programs. Who is behind a credential is answered from memory; every change
// is on disk before the call that made it returns.
//
// The failure rules: what is not known is refused, and so is everything when
// the database has stopped. Secrets are handed out once and kept as SHA-256
// (they have 256 bits), passwords as Argon2id; no error, log line or value
// kept here holds one. Roles are looked up at every use, so that taking one
// away works at once, also for sessions that are open.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrUnknown   = errors.New("access: no such credential, or it has ended")
	ErrWrong     = errors.New("access: the name or the password is wrong")
	ErrBusy      = errors.New("access: too many sign-ins at the same time")
	ErrNobody    = errors.New("access: no such operator, session or token")
	ErrExists    = errors.New("access: there is an operator of this name")
	ErrLastAdmin = errors.New("access: this is the last admin of the appliance")
	ErrSetUp     = errors.New("access: the appliance has an admin already")
	ErrTooMany   = errors.New("access: there are as many as there can be")
	ErrDamaged   = errors.New("access: stored bytes are damaged")
)

// Bounds.
const (
	MaxOperators = 1000
	MaxTokens    = 1000
	MaxSessions  = 16 // of one operator; one more ends the oldest
	MaxTokenLife = 366 * 24 * time.Hour
	LinkLife     = 30 * time.Minute
)

// seenEvery is how far behind the time of last use on disk may be.
const seenEvery = time.Minute

// keptExpired is how long a token that ended stays in the list.
const keptExpired = 30 * 24 * time.Hour

// SlowDown says that a name or an address had too many failures.
type SlowDown struct{ After time.Duration }

func (s *SlowDown) Error() string {
	return fmt.Sprintf("access: too many failures; again in %v", s.After)
}

// Bad says why a name, a password or a role is not taken.
type Bad struct{ Field, Message string }

func (b *Bad) Error() string { return b.Field + ": " + b.Message }

// Options say how access is kept. The zero value is good.
type Options struct {
	Idle     time.Duration // an unused session ends after it; default 1 h
	Absolute time.Duration // any session ends after it; default 12 h
	Cost     Cost          // of hashing a password; zero = DefaultCost
	Now      func() time.Time
	Rand     io.Reader // default crypto/rand
	Logger   *slog.Logger
}

// Access is safe for concurrent use.
type Access struct {
	db      *kv.DB
	o       Options
	hashing hashing
	backoff *backoff

	change sync.Mutex // held through a change, from its check to its commit

	mu        sync.RWMutex // guards what follows; never held over the disk
	operators map[string]*operator
	tokens    map[digest]*token
	sessions  map[digest]*session
	links     map[digest]*link
}

// digest is the SHA-256 of a secret: how it is found, in memory and on disk.
type digest [sha256.Size]byte

// id is what names a session or a token in lists. It opens nothing.
func (d digest) id() string { return hex.EncodeToString(d[:8]) }

// Open reads what is kept in the keyspace Access of db, which stays the
// caller's and must outlive it. There is nothing to close.
func Open(db *kv.DB, o Options) (*Access, error) {
	if o.Idle == 0 {
		o.Idle = time.Hour
	}
	if o.Absolute == 0 {
		o.Absolute = 12 * time.Hour
	}
	if o.Cost == (Cost{}) {
		o.Cost = DefaultCost
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Access{
		db: db, o: o, hashing: newHashing(o.Cost), backoff: newBackoff(),
		operators: make(map[string]*operator),
		tokens:    make(map[digest]*token),
		sessions:  make(map[digest]*session),
		links:     make(map[digest]*link),
	}
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("opening access: %w", err)
	}
	return a, nil
}

// secret makes a credential of 256 bits.
func (a *Access) secret(prefix string) (string, digest, error) {
	var b [32]byte
	if _, err := io.ReadFull(a.o.Rand, b[:]); err != nil {
		return "", digest{}, fmt.Errorf("making a secret: %w", err)
	}
	s := prefix + base64.RawURLEncoding.EncodeToString(b[:])
	return s, sha256.Sum256([]byte(s)), nil
}

// secretLength bounds what is looked at when somebody brings a credential.
const secretLength = 64

func digestOf(secret string) (digest, bool) {
	if secret == "" || len(secret) > secretLength {
		return digest{}, false
	}
	return sha256.Sum256([]byte(secret)), true
}

// Origin is where a sign-in came from.
type Origin struct {
	Address string // IP, without a port
	Agent   string // what the browser calls itself; cut to 200 bytes
}

func (o Origin) clipped() Origin {
	if len(o.Agent) > 200 {
		o.Agent = strings.ToValidUTF8(o.Agent[:200], "")
	}
	return o
}
