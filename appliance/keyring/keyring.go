// Package keyring holds the keys: one master key that wraps each publisher's,
// and under those the keys of epochs and of persons. What other rooms write to
// disk they seal here first; destroying a key is how bytes are forgotten that
// nobody can reach, in old backups too (DESIGN.md, FORMAT.md).
package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrLocked    = errors.New("keyring: the master key does not open this keyring")
	ErrDestroyed = errors.New("keyring: the key was destroyed")
	ErrForged    = errors.New("keyring: not authentic: altered, damaged, or sealed for another use")
	ErrMissing   = errors.New("keyring: a key file that was made is not there")
	ErrInUse     = errors.New("keyring: open already, here or in another process")
	ErrClosed    = errors.New("keyring: closed")
	ErrName      = errors.New("keyring: not a publisher's name")
)

// MaxPublisher bounds a publisher's name, in bytes. Names are made of lower
// case letters, digits, '-' and '_', and begin with a letter or a digit.
const MaxPublisher = 64

// Options of a keyring. The zero value is good.
type Options struct {
	// Rand is where keys come from; nil means crypto/rand. Nonces always
	// come from the cipher itself.
	Rand io.Reader
	// Now tells which day's epoch it is; nil means time.Now.
	Now func() time.Time
	// CachePages bounds the pages of person keys kept in memory, for all
	// publishers together: 8 KiB each, 4,096 by default.
	CachePages int
	// Logger is told of what is swept up at opening; nil discards. Keys and
	// what they seal never reach it.
	Logger *slog.Logger
}

// Keyring is an open directory of keys. It is safe for concurrent use.
type Keyring struct {
	dir    string
	master []byte
	o      Options
	lock   *os.File
	cache  *pageCache

	mu         sync.Mutex
	closed     bool
	publishers map[string]*Publisher
}

// Open opens the keyring in dir, making it if there is none. It copies master,
// of MasterBytes. A master that did not make this keyring gives ErrLocked, a
// second opener ErrInUse. Close it to let go of its lock.
func Open(dir string, master []byte, o Options) (*Keyring, error) {
	if len(master) != MasterBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, not %d", ErrLocked, len(master), MasterBytes)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CachePages <= 0 {
		o.CachePages = 4096
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening keyring: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening keyring %s: %w", dir, err)
	}
	k := &Keyring{
		dir: dir, master: append([]byte(nil), master...), o: o, lock: lock,
		cache: newPageCache(o.CachePages), publishers: make(map[string]*Publisher),
	}
	if err := k.checkMaster(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening keyring %s: %w", dir, err)
	}
	return k, nil
}

// lockDir keeps a second process from making the same page of keys: whichever
// wrote last would shred the persons of the other.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, err
	}
	return f, nil
}

// checkMaster compares the master key with the one that made the keyring, of
// which the file "ring" keeps a keyed hash, so that a wrong key is told apart
// from a damaged file.
func (k *Keyring) checkMaster() error {
	mac := hmac.New(sha256.New, k.master)
	mac.Write([]byte("cloister keyring master"))
	mine := mac.Sum(nil)

	path := filepath.Join(k.dir, "ring")
	if err := sweep(k.dir, k.o.Logger); err != nil {
		return err
	}
	made, err := readFile(path, kindRing, 0)
	switch {
	case errors.Is(err, ErrMissing):
		entries, err := os.ReadDir(k.dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() {
				return fmt.Errorf("there are publishers, but %w: %s", ErrMissing, path)
			}
		}
		return replaceFile(path, frame(kindRing, 0, mine))
	case err != nil:
		return err
	case !hmac.Equal(mine, made):
		return fmt.Errorf("%w: %s was made with another one; give the master key that it was made with, or restore the directory that belongs to this one", ErrLocked, path)
	}
	return nil
}

// Publisher gives a publisher's keys, made at first use. It gives the same
// *Publisher each time.
func (k *Keyring) Publisher(name string) (*Publisher, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, ErrClosed
	}
	if p := k.publishers[name]; p != nil {
		return p, nil
	}
	p, err := openPublisher(k, name)
	if err != nil {
		return nil, fmt.Errorf("keys of publisher %s: %w", name, err)
	}
	k.publishers[name] = p
	return p, nil
}

func validName(name string) bool {
	if name == "" || len(name) > MaxPublisher || name[0] == '-' || name[0] == '_' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Close makes every later sealing and opening answer ErrClosed and forgets the
// person keys in memory. It waits for what is under way. Closing twice is
// harmless.
func (k *Keyring) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	for _, p := range k.publishers {
		p.close()
	}
	k.cache.clear()
	clear(k.master)
	return k.lock.Close()
}
