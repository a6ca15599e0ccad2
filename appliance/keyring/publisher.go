package keyring

import (
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Publisher holds one publisher's keys. It is safe for concurrent use.
type Publisher struct {
	ring *Keyring
	name string
	dir  string
	root rootKeys

	wrap    cipher.AEAD // seals the files of epochs and pages
	storage cipher.AEAD // seals chunks

	mu     sync.RWMutex // epochs, closed; held for reading by all who seal and open
	epochs epochs
	closed bool

	pagesMu sync.Mutex // making, reading and rewriting pages
	made    pageSet
}

// rootKeys are what the publisher's file holds, in this order.
type rootKeys struct {
	wrap, storage, hash [keyBytes]byte
	sign                [ed25519.SeedSize]byte
}

const rootBytes = 3*keyBytes + ed25519.SeedSize

func (r *rootKeys) fields() [4][]byte {
	return [4][]byte{r.wrap[:], r.storage[:], r.hash[:], r.sign[:]}
}

// openPublisher opens the keys of a publisher. It makes them in a directory
// beside and renames that when all is there: so a file that is missing later
// was lost, and is never made anew in silence.
func openPublisher(k *Keyring, name string) (*Publisher, error) {
	p := &Publisher{ring: k, name: name, dir: filepath.Join(k.dir, name)}
	if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
		if err := makePublisher(k, name, p.dir); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{p.dir, p.pagesDir()} {
		if err := sweep(dir, k.o.Logger); err != nil {
			return nil, err
		}
	}
	if err := p.loadRoot(); err != nil {
		return nil, err
	}
	if err := p.loadEpochs(); err != nil {
		return nil, err
	}
	if err := p.loadMade(); err != nil {
		return nil, err
	}
	return p, nil
}

// makePublisher makes a publisher's keys at dir.
func makePublisher(k *Keyring, name, dir string) error {
	p := &Publisher{ring: k, name: name, dir: dir + newSuffix}
	if err := os.RemoveAll(p.dir); err != nil { // from before a crash
		return err
	}
	if err := os.MkdirAll(p.pagesDir(), 0o700); err != nil {
		return err
	}
	if err := p.makeRoot(); err != nil {
		return err
	}
	p.epochs = epochs{low: 1}
	if err := p.beginEpoch(); err != nil {
		return err
	}
	if err := p.keepMade(nil); err != nil {
		return err
	}
	if err := os.Rename(p.dir, dir); err != nil {
		return err
	}
	return syncDir(k.dir)
}

func (p *Publisher) pagesDir() string { return filepath.Join(p.dir, "pages") }
func (p *Publisher) rootPath() string { return filepath.Join(p.dir, "publisher") }

// makeRoot makes the publisher's file.
func (p *Publisher) makeRoot() error {
	var plain []byte
	for _, field := range p.root.fields() {
		if _, err := io.ReadFull(p.ring.o.Rand, field); err != nil {
			return fmt.Errorf("making keys: %w", err)
		}
		plain = append(plain, field...)
	}
	p.wrap = newAEAD(p.root.wrap[:])
	sealed := sealTo(nil, newAEAD(p.ring.master), plain, bind(p.name, kindPublisher, 0, nil))
	return replaceFile(p.rootPath(), frame(kindPublisher, 0, sealed))
}

// loadRoot reads the publisher's file.
func (p *Publisher) loadRoot() error {
	sealed, err := readFile(p.rootPath(), kindPublisher, 0)
	if err != nil {
		return err
	}
	plain, err := openFrom(sealed, newAEAD(p.ring.master), bind(p.name, kindPublisher, 0, nil))
	if err != nil {
		return fmt.Errorf("%s: %w", p.rootPath(), err)
	}
	if len(plain) != rootBytes {
		return fmt.Errorf("%s: %w: %d bytes of keys", p.rootPath(), ErrForged, len(plain))
	}
	for _, field := range p.root.fields() {
		plain = plain[copy(field, plain):]
	}
	p.wrap = newAEAD(p.root.wrap[:])
	p.storage = newAEAD(p.root.storage[:])
	return nil
}

func (p *Publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// SealChunk seals a block's chunk under the publisher's storage key. OpenChunk
// needs the same aad: whatever tells this chunk from every other.
func (p *Publisher) SealChunk(plain, aad []byte) ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	return sealTo([]byte{version, byte(kindChunk)}, p.storage, plain, bind(p.name, kindChunk, 0, aad)), nil
}

// OpenChunk opens what SealChunk sealed with the same aad, or answers ErrForged.
func (p *Publisher) OpenChunk(sealed, aad []byte) ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	rest, err := body(sealed, kindChunk)
	if err != nil {
		return nil, err
	}
	return openFrom(rest, p.storage, bind(p.name, kindChunk, 0, aad))
}

// Hash is HMAC-SHA256 over parts under the publisher's hash key, which never
// changes. domain separates uses: no two domains, and no two ways to cut the
// same bytes into parts, give the same hash but by chance.
func (p *Publisher) Hash(domain string, parts ...[]byte) [32]byte {
	mac := hmac.New(sha256.New, p.root.hash[:])
	var n [4]byte
	write := func(part []byte) {
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		mac.Write(n[:])
		mac.Write(part)
	}
	write([]byte(domain))
	for _, part := range parts {
		write(part)
	}
	var sum [32]byte
	mac.Sum(sum[:0])
	return sum
}

// Sign signs msg with the publisher's Ed25519 key, for the use that domain
// names.
func (p *Publisher) Sign(domain string, msg []byte) []byte {
	return ed25519.Sign(ed25519.NewKeyFromSeed(p.root.sign[:]), signed(domain, msg))
}

// Verify says whether sig is this publisher's signature of msg for that domain.
func (p *Publisher) Verify(domain string, msg, sig []byte) bool {
	return ed25519.Verify(p.SigningKey(), signed(domain, msg), sig)
}

// SigningKey is the public half of the key that Sign uses. What it signs is
// FORMAT.md's "signed message", so that others can verify it.
func (p *Publisher) SigningKey() ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(p.root.sign[:]).Public().(ed25519.PublicKey)
}

// signed is what is signed: the domain, with its length, before the message.
func signed(domain string, msg []byte) []byte {
	b := make([]byte, 0, 4+len(domain)+len(msg))
	b = binary.BigEndian.AppendUint32(b, uint32(len(domain)))
	b = append(b, domain...)
	return append(b, msg...)
}
