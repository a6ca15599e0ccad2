package keyring

import (
	"fmt"
	"path/filepath"
)

// pageSet notes which pages were ever made, a bit each, so that a page file
// that is lost is told apart from one not made yet: making it again would
// shred 256 persons without a word.
type pageSet []byte

func (s pageSet) has(n uint32) bool {
	return int(n/8) < len(s) && s[n/8]&(1<<(n%8)) != 0
}

func (s *pageSet) add(n uint32) {
	for int(n/8) >= len(*s) {
		*s = append(*s, make([]byte, int(n/8)+1-len(*s))...)
	}
	(*s)[n/8] |= 1 << (n % 8)
}

func (s pageSet) clone() pageSet { return append(pageSet(nil), s...) }

func (p *Publisher) madePath() string { return filepath.Join(p.dir, "pages.made") }

func (p *Publisher) loadMade() error {
	sealed, err := readFile(p.madePath(), kindPages, 0)
	if err != nil {
		return err
	}
	plain, err := openFrom(sealed, p.wrap, bind(p.name, kindPages, 0, nil))
	if err != nil {
		return fmt.Errorf("%s: %w", p.madePath(), err)
	}
	p.made = plain
	return nil
}

// keepMade writes s and, once that is on disk, uses it.
func (p *Publisher) keepMade(s pageSet) error {
	sealed := sealTo(nil, p.wrap, s, bind(p.name, kindPages, 0, nil))
	if err := replaceFile(p.madePath(), frame(kindPages, 0, sealed)); err != nil {
		return fmt.Errorf("noting the pages made: %w", err)
	}
	p.made = s
	return nil
}
