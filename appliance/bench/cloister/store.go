package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
)

const name = "acme"

var master = bytes.Repeat([]byte{7}, keyring.MasterBytes)

// store is history and people over their engines, laid out as a publisher has
// them, so that a publisher can be opened over the same directory.
type store struct {
	db      *kv.DB
	shelves *kv.Shelves
	ring    *keyring.Keyring
	people  *people.People
	history *history.History
}

type storeOptions struct {
	now func() time.Time // history's clock
}

func openStore(dir string, o storeOptions) (_ *store, err error) {
	s := new(store)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.ring, err = keyring.Open(filepath.Join(dir, "keys"), master, keyring.Options{}); err != nil {
		return nil, err
	}
	keys, err := s.ring.Publisher(name)
	if err != nil {
		return nil, err
	}
	if s.db, err = kv.Open(filepath.Join(dir, name, "state"), kv.Options{}); err != nil {
		return nil, err
	}
	if s.shelves, err = kv.OpenShelves(filepath.Join(dir, name, "shelves"), kv.NewShelfCache(16), kv.ShelfOptions{}); err != nil {
		return nil, err
	}
	if s.people, err = people.Open(s.db, keys, people.Options{}); err != nil {
		return nil, err
	}
	s.history, err = history.Open(s.db, s.shelves, keys, history.Options{Now: o.now})
	return s, err
}

// close closes what is open; a nil store is closed.
func (s *store) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	if s.history != nil {
		errs = append(errs, s.history.Close())
	}
	if s.shelves != nil {
		errs = append(errs, s.shelves.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.ring != nil {
		errs = append(errs, s.ring.Close())
	}
	return errors.Join(errs...)
}
