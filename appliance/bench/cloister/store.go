package main

import (
	"bytes"
	"context"
	"errors"
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

// Ask answers a question about what is there now.
func (s *store) Ask(ctx context.Context, body []byte) (*query.Answer, error) {
	h, w := s.history.Snapshot(), s.people.Snapshot()
	defer h.Release()
	defer w.Release()
	return query.Ask(ctx, body, query.Env{Data: query.Data{History: h, People: w}, Find: s.people.Find})
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
