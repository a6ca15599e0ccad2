// Package keyring holds the keys: one master key that wraps each publisher's,
// and under those the keys of epochs and of persons. What other rooms write to
// disk they seal here first; destroying a key is how bytes are forgotten that
// nobody can reach, in old backups too.
package keyring

import (
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"time"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrLocked    = errors.New("keyring: the master key does not open this keyring")
	ErrDestroyed = errors.New("keyring: the key was destroyed")
	ErrForged    = errors.New("keyring: not authentic: altered, damaged, or sealed for another use")
	ErrClosed    = errors.New("keyring: closed")
)

var errNotYet = errors.New("keyring: not there yet")

// MasterBytes is the length of a master key.
const MasterBytes = 32

// Options of a keyring. The zero value is good.
type Options struct {
	Rand   io.Reader        // nil means crypto/rand
	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil discards
}

// Keyring is an open directory of keys. It is safe for concurrent use.
type Keyring struct{}

// Publisher holds one publisher's keys. It is safe for concurrent use.
type Publisher struct{}

// LoadMaster reads a master key from a file that nobody but its owner may read.
func LoadMaster(path string) ([]byte, error) { return nil, errNotYet }

// CreateMaster makes a new master key in a file that must not exist yet.
func CreateMaster(path string) ([]byte, error) { return nil, errNotYet }

// Open opens the keyring in dir, making it if there is none.
func Open(dir string, master []byte, o Options) (*Keyring, error) { return nil, errNotYet }

// Publisher gives a publisher's keys, made at first use.
func (k *Keyring) Publisher(name string) (*Publisher, error) { return nil, errNotYet }

// Close forgets the keys in memory.
func (k *Keyring) Close() error { return nil }

// SealRecord seals plain under the key of the present epoch.
func (p *Publisher) SealRecord(plain, aad []byte) ([]byte, error) { return nil, errNotYet }

// OpenRecord opens what SealRecord sealed with the same aad.
func (p *Publisher) OpenRecord(sealed, aad []byte) ([]byte, error) { return nil, errNotYet }

// Epoch gives the number of the present epoch.
func (p *Publisher) Epoch() uint32 { return 0 }

// NewEpoch begins a new epoch at once.
func (p *Publisher) NewEpoch() (uint32, error) { return 0, errNotYet }

// EpochOf tells which epoch's key sealed a record.
func (p *Publisher) EpochOf(sealed []byte) (uint32, error) { return 0, errNotYet }

// DestroyEpochsBefore destroys the keys of all epochs below epoch.
func (p *Publisher) DestroyEpochsBefore(epoch uint32) error { return errNotYet }

// SealPerson seals plain under the person's own key.
func (p *Publisher) SealPerson(person uint32, aad, plain []byte) ([]byte, error) {
	return nil, errNotYet
}

// OpenPerson opens what SealPerson sealed for the same person with the same aad.
func (p *Publisher) OpenPerson(person uint32, aad, sealed []byte) ([]byte, error) {
	return nil, errNotYet
}

// DestroyPerson destroys the keys of persons; they are gone from disk when it
// returns.
func (p *Publisher) DestroyPerson(persons ...uint32) error { return errNotYet }

// Destroyed says whether the person's key was destroyed.
func (p *Publisher) Destroyed(person uint32) bool { return false }

// SealChunk seals a block's chunk under the publisher's storage key.
func (p *Publisher) SealChunk(plain, aad []byte) ([]byte, error) { return nil, errNotYet }

// OpenChunk opens what SealChunk sealed with the same aad.
func (p *Publisher) OpenChunk(sealed, aad []byte) ([]byte, error) { return nil, errNotYet }

// Hash is HMAC-SHA256 over parts under the publisher's hash key.
func (p *Publisher) Hash(domain string, parts ...[]byte) [32]byte { return [32]byte{} }

// Sign signs msg for the use that domain names.
func (p *Publisher) Sign(domain string, msg []byte) []byte { return nil }

// Verify checks a signature made by Sign.
func (p *Publisher) Verify(domain string, msg, sig []byte) bool { return false }

// SigningKey is the public half of the key that Sign uses.
func (p *Publisher) SigningKey() ed25519.PublicKey { return nil }
