// Package store is a history and people on their real engines, in a
// directory, for tests of query: facts are carried in as the applier does it,
// and the store can be frozen, closed and opened again on the way. Nothing but
// tests imports it.
package store

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// Options say how a store is kept.
type Options struct {
	History    history.Options
	ShelfBytes int64 // size at which a shelf takes no more; 0 = kv's default
}

// Store is open engines with history and people on them. It belongs to one
// goroutine, but for Data, Find and what they give.
type Store struct {
	dir     string
	o       Options
	db      *kv.DB
	shelves *kv.Shelves
	ring    *keyring.Keyring
	keys    *keyring.Publisher
	history *history.History
	people  *people.People
	erased  []uint32 // whose rows still lie there
}

// Open opens the store in dir. Two known people may be merged. Close it.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, o: o}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("opening the engines in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if s.db, err = kv.Open(filepath.Join(s.dir, "state"), kv.Options{MemTable: 8 << 20, Reserve: 1}); err != nil {
		return err
	}
	s.shelves, err = kv.OpenShelves(filepath.Join(s.dir, "shelves"), kv.NewShelfCache(4), kv.ShelfOptions{MaxBytes: s.o.ShelfBytes, Reserve: 1})
	if err != nil {
		return err
	}
	if s.ring, err = keyring.Open(filepath.Join(s.dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{}); err != nil {
		return err
	}
	if s.keys, err = s.ring.Publisher("acme"); err != nil {
		return err
	}
	if s.people, err = people.Open(s.db, s.keys, people.Options{Merge: people.MergeKnown}); err != nil {
		return err
	}
	s.history, err = history.Open(s.db, s.shelves, s.keys, s.o.History)
	return err
}

// Close closes what is open.
func (s *Store) Close() error {
	for _, close := range []func() error{s.history.Close, s.shelves.Close, s.db.Close, s.ring.Close} {
		if err := close(); err != nil {
			return fmt.Errorf("closing the engines in %s: %w", s.dir, err)
		}
	}
	return nil
}

// Restart closes everything and opens it again.
func (s *Store) Restart() error {
	if err := s.Close(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return fmt.Errorf("opening the engines in %s again: %w", s.dir, err)
	}
	return nil
}

// Apply carries facts in, in one transaction but for erasures, which begin one
// as they do in flow, and makes them visible.
func (s *Store) Apply(facts ...event.Fact) error {
	for len(facts) > 0 {
		n := 1
		for n < len(facts) && facts[n].Kind != event.Erase {
			n++
		}
		if err := s.apply(facts[:n]); err != nil {
			return err
		}
		facts = facts[n:]
	}
	return nil
}

func (s *Store) apply(facts []event.Fact) error {
	var rows []history.Row
	var gone []uint32
	err := s.db.Update(func(t *kv.Txn) error {
		for i := range facts {
			f := &facts[i]
			who, err := s.people.Apply(t, f)
			if err != nil {
				return err
			}
			switch {
			case who.Refused != "":
				continue
			case f.Kind == event.Erase:
				gone = append(gone, s.people.Numbers(who.Person)...)
				if err := s.people.Erase(t, who.Person); err != nil {
					return err
				}
			case f.Kind == event.Track:
				rows = append(rows, history.Row{Person: who.Number, Time: f.Time, Name: f.Name, Props: f.Props})
			}
			for _, own := range who.Events {
				rows = append(rows, history.Row{Person: own.Person, Time: own.Time, Name: own.Name, Props: own.Props})
			}
		}
		return s.history.Append(t, rows)
	})
	if err != nil {
		return fmt.Errorf("applying %d facts: %w", len(facts), err)
	}
	s.people.Committed()
	s.history.Committed()
	s.erased = append(s.erased, gone...)
	return s.keys.DestroyPerson(gone...)
}

// Freeze turns what is in memory into blocks.
func (s *Store) Freeze(ctx context.Context) error { return s.history.Freeze(ctx) }

// Compact puts blocks together, until nothing is left to be put together.
func (s *Store) Compact(ctx context.Context) error { return s.history.Compact(ctx) }

// Expire removes what is past a retention.
func (s *Store) Expire(ctx context.Context, r history.Retention) error {
	_, err := s.history.Expire(ctx, r)
	return err
}

// Forget removes from the disk the rows of those who were erased.
func (s *Store) Forget(ctx context.Context) error {
	if err := s.history.Erase(ctx, s.erased); err != nil {
		return err
	}
	s.erased = nil
	return nil
}

// Data is what can be asked of, as of the last Apply. Release it.
func (s *Store) Data() (d query.Data, release func()) {
	who, what := s.people.Snapshot(), s.history.Snapshot()
	return query.Data{History: what, People: who}, func() { who.Release(); what.Release() }
}

// Find gives the number of whoever has an identity or device.
func (s *Store) Find(id string) (uint32, bool) { return s.people.Find(id) }

// Location is whose days the history keeps.
func (s *Store) Location() *time.Location { return s.o.History.Location }
