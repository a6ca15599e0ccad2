package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// pageSlots is how many persons' keys a page holds, side by side. A slot of
// zeros is a destroyed key.
const pageSlots = 256

// pagesAhead is how many pages are made at once: numbers are given out one
// after another, so that the next ones are soon wanted, and one directory sync
// serves them all.
const pagesAhead = 16

type page [pageSlots][keyBytes]byte

func pageOf(person uint32) (number, slot uint32) { return person / pageSlots, person % pageSlots }

// personKey copies a person's key, making it if create is set and it was never
// made.
func (p *Publisher) personKey(person uint32, create bool) (key [keyBytes]byte, err error) {
	number, slot := pageOf(person)
	key, ok := p.ring.cache.key(p, number, slot)
	if !ok {
		p.pagesMu.Lock()
		var pg *page
		pg, err = p.loadPage(number, create)
		if err == nil {
			key = pg[slot]
			p.ring.cache.put(p, number, pg)
		}
		p.pagesMu.Unlock()
		if err != nil {
			return key, fmt.Errorf("key of person %d: %w", person, err)
		}
	}
	if key == ([keyBytes]byte{}) {
		return key, fmt.Errorf("%w: that of person %d", ErrDestroyed, person)
	}
	return key, nil
}

// SealPerson seals plain under the key of the person with that number, made at
// first use. OpenPerson needs the same aad. It answers ErrDestroyed after
// DestroyPerson.
func (p *Publisher) SealPerson(person uint32, aad, plain []byte) ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	key, err := p.personKey(person, true)
	if err != nil {
		return nil, err
	}
	return sealTo([]byte{version, byte(kindPerson)}, newAEAD(key[:]), plain, bind(p.name, kindPerson, person, aad)), nil
}

// OpenPerson opens what SealPerson sealed for the same person with the same
// aad. It answers ErrDestroyed after DestroyPerson, ErrForged if the bytes are
// not what was sealed or no key was ever made for that person.
func (p *Publisher) OpenPerson(person uint32, aad, sealed []byte) ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	rest, err := body(sealed, kindPerson)
	if err != nil {
		return nil, err
	}
	key, err := p.personKey(person, false)
	if errors.Is(err, errUnmade) {
		return nil, fmt.Errorf("%w: no key was made for person %d", ErrForged, person)
	}
	if err != nil {
		return nil, err
	}
	return openFrom(rest, newAEAD(key[:]), bind(p.name, kindPerson, person, aad))
}

// Destroyed says whether the person's key was destroyed. It is false when that
// cannot be read, which SealPerson and OpenPerson then tell.
func (p *Publisher) Destroyed(person uint32) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return false
	}
	_, err := p.personKey(person, false)
	return errors.Is(err, ErrDestroyed)
}

// DestroyPerson destroys the keys of persons, also of those that never had
// one. When it returns nil their pages are rewritten and on disk, and the old
// bytes are overwritten. After an error some may be destroyed and some not;
// calling it again is harmless.
func (p *Publisher) DestroyPerson(persons ...uint32) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return ErrClosed
	}
	p.pagesMu.Lock()
	defer p.pagesMu.Unlock()
	persons = slices.Sorted(slices.Values(persons))
	for len(persons) > 0 {
		number, _ := pageOf(persons[0])
		end := 1
		for end < len(persons) && persons[end]/pageSlots == number {
			end++
		}
		if err := p.destroySlots(number, persons[:end]); err != nil {
			return fmt.Errorf("destroying keys of persons %d to %d: %w", number*pageSlots, number*pageSlots+pageSlots-1, err)
		}
		persons = persons[end:]
	}
	return nil
}

// destroySlots rewrites one page without the keys of persons. The caller holds
// pagesMu.
func (p *Publisher) destroySlots(number uint32, persons []uint32) error {
	pg, err := p.loadPage(number, true)
	if err != nil {
		return err
	}
	for _, person := range persons {
		_, slot := pageOf(person)
		clear(pg[slot][:])
	}
	// Out of memory first: if the write fails, the disk says what is true.
	p.ring.cache.drop(p, number)
	return p.writePage(number, pg)
}

// errUnmade is of a page that was never made.
var errUnmade = errors.New("keyring: page never made")

func (p *Publisher) pagePath(number uint32) string {
	return filepath.Join(p.pagesDir(), fmt.Sprintf("%06x", number))
}

// loadPage reads a page from disk. If it was never made, it makes it where
// create is set, and answers errUnmade else. The caller holds pagesMu and owns
// the page.
func (p *Publisher) loadPage(number uint32, create bool) (*page, error) {
	sealed, err := readFile(p.pagePath(number), kindPage, number)
	switch {
	case errors.Is(err, ErrMissing) && p.made.has(number):
		return nil, err
	case errors.Is(err, ErrMissing) && !create:
		return nil, errUnmade
	case errors.Is(err, ErrMissing):
		if err := p.makePages(number); err != nil {
			return nil, err
		}
		return p.loadPage(number, false)
	case err != nil:
		return nil, err
	}
	plain, err := openFrom(sealed, p.wrap, bind(p.name, kindPage, number, nil))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.pagePath(number), err)
	}
	pg := new(page)
	if len(plain) != pageSlots*keyBytes {
		return nil, fmt.Errorf("%s: %w: %d bytes of keys", p.pagePath(number), ErrForged, len(plain))
	}
	for slot := range pg {
		copy(pg[slot][:], plain[slot*keyBytes:])
	}
	return pg, nil
}

func (p *Publisher) writePage(number uint32, pg *page) error {
	return replaceFile(p.pagePath(number), p.framePage(number, pg))
}

func (p *Publisher) framePage(number uint32, pg *page) []byte {
	plain := make([]byte, 0, pageSlots*keyBytes)
	for slot := range pg {
		plain = append(plain, pg[slot][:]...)
	}
	sealed := sealTo(nil, p.wrap, plain, bind(p.name, kindPage, number, nil))
	clear(plain)
	return frame(kindPage, number, sealed)
}

// makePages makes page number and those after it that were never made, and
// then notes that they were. A crash between leaves pages that are not noted:
// they are found on disk and used as they are.
func (p *Publisher) makePages(number uint32) error {
	made := p.made.clone()
	const last = 1<<32/pageSlots - 1
	for n := number; n < number+pagesAhead && n <= last; n++ {
		if made.has(n) {
			continue
		}
		if n != number {
			switch _, err := os.Stat(p.pagePath(n)); {
			case err == nil:
				made.add(n) // from before a crash
				continue
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		pg := new(page)
		for slot := range pg {
			if _, err := io.ReadFull(p.ring.o.Rand, pg[slot][:]); err != nil {
				return fmt.Errorf("making person keys: %w", err)
			}
		}
		if err := createFile(p.pagePath(n), p.framePage(n, pg)); err != nil {
			return err
		}
		made.add(n)
	}
	if err := syncDir(p.pagesDir()); err != nil {
		return err
	}
	return p.keepMade(made)
}
