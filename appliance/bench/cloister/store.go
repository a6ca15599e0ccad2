package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

const name = "acme"

// openKeys opens the keys of a directory that is laid out as a daemon's, so
// that a publisher, or a daemon, can be opened over it.
func openKeys(dir string) (*keyring.Keyring, *keyring.Publisher, error) {
	file := filepath.Join(dir, "master.key")
	master, err := keyring.LoadMaster(file)
	if errors.Is(err, fs.ErrNotExist) {
		master, err = keyring.CreateMaster(file)
	}
	if err != nil {
		return nil, nil, err
	}
	ring, err := keyring.Open(filepath.Join(dir, "keyring"), master, keyring.Options{})
	if err != nil {
		return nil, nil, err
	}
	keys, err := ring.Publisher(name)
	if err != nil {
		return nil, nil, errors.Join(err, ring.Close())
	}
	return ring, keys, nil
}

// roomsOf is where the publisher's own lies.
func roomsOf(dir string) string { return filepath.Join(dir, "publishers", name) }

// store is history and people over their engines.
type store struct {
	db      *kv.DB
	shelves *kv.Shelves
	ring    *keyring.Keyring
	people  *people.People
	history *history.History
}

func openStore(dir string) (_ *store, err error) {
	s := new(store)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	ring, keys, err := openKeys(dir)
	if err != nil {
		return nil, err
	}
	s.ring = ring
	if s.db, err = kv.Open(filepath.Join(roomsOf(dir), "state"), kv.Options{}); err != nil {
		return nil, err
	}
	if s.shelves, err = kv.OpenShelves(filepath.Join(roomsOf(dir), "shelves"), kv.NewShelfCache(16), kv.ShelfOptions{}); err != nil {
		return nil, err
	}
	if s.people, err = people.Open(s.db, keys, people.Options{}); err != nil {
		return nil, err
	}
	s.history, err = history.Open(s.db, s.shelves, keys, history.Options{Cache: columns})
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

// Ask answers a question about what is there now.
func (s *store) Ask(ctx context.Context, body []byte) (*query.Answer, error) {
	share, err := budget.Begin(ctx, name, time.Minute)
	if err != nil {
		return nil, err
	}
	defer share.End()
	h, w := s.history.Snapshot(), s.people.Snapshot()
	defer h.Release()
	defer w.Release()
	return query.Ask(ctx, body, query.Env{Data: query.Data{History: h, People: w}, Find: s.people.Find, Share: share, Deadline: time.Minute})
}

// Timeline gives what one person did, as a publisher does.
func (s *store) Timeline(ctx context.Context, identity string, before int64, limit int, asc bool) ([]history.Row, error) {
	h, w := s.history.Snapshot(), s.people.Snapshot()
	defer h.Release()
	defer w.Release()
	n, ok := s.people.Find(identity)
	if !ok {
		return nil, people.ErrUnknown
	}
	return h.Timeline(ctx, append([]uint32{n}, w.Losers(event.PartitionOf(n))[n]...), before, limit, asc)
}
