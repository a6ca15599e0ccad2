package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/bench/mix"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// runFacts is how many facts the applier takes in one transaction, at most.
const runFacts = 20_000

// load brings a file of events into people and history, in their order and in
// synced transactions, as the applier does, and waits until they are frozen, and
// nothing is left to merge.
func load(r *engine.Request) (reply engine.Reply, err error) {
	if reply, err = loadEvents(r); err != nil {
		return reply, err
	}
	// Sizes are those of closed directories: open ones have room made in advance.
	for what, dir := range map[string]string{
		"shelves": filepath.Join(roomsOf(r.Dir), "shelves"), "state": filepath.Join(roomsOf(r.Dir), "state"), "keys": filepath.Join(r.Dir, "keyring"),
	} {
		bytes, err := sizeOf(dir)
		if err != nil {
			return reply, err
		}
		reply.Figures[what+"_bytes"] = float64(bytes)
	}
	return reply, nil
}

func loadEvents(r *engine.Request) (_ engine.Reply, err error) {
	s, err := openStore(r.Dir)
	if err != nil {
		return engine.Reply{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	l := loader{store: s}
	began := time.Now()
	if err := l.profiles(r); err != nil {
		return engine.Reply{}, err
	}
	known := time.Since(began)
	began = time.Now()
	if err := mix.Read(r.File, runFacts/2, l.events); err != nil {
		return engine.Reply{}, err
	}
	appended := time.Since(began)
	if err := s.history.Freeze(context.Background()); err != nil {
		return engine.Reply{}, err
	}
	frozen := time.Since(began)
	if err := s.history.Compact(context.Background()); err != nil {
		return engine.Reply{}, err
	}
	compacted := time.Since(began)
	// What loading left behind is given back before the memory of questions is
	// looked at.
	defer debug.FreeOSMemory()
	return engine.Reply{Figures: map[string]float64{
		"profiles_s": known.Seconds(), "appended_s": appended.Seconds(), "frozen_s": frozen.Seconds(), "compacted_s": compacted.Seconds(),
	}}, nil
}

type loader struct {
	store *store
	rows  []history.Row
}

// profiles makes everybody known.
func (l *loader) profiles(r *engine.Request) error {
	text := func(key, v string) event.Change {
		return event.Change{Key: key, Op: event.Set, Value: event.OfText(v)}
	}
	at := mix.Start.UnixMicro()
	all := mix.Profiles(r.Events, r.Seed)
	return l.run(len(all), func(t *kv.Txn, i int) error {
		p := all[i]
		_, err := l.store.people.Apply(t, &event.Fact{Kind: event.Identify, User: mix.User(uint32(i)), Time: at, Received: at, Changes: []event.Change{
			text("country", mix.Countries[p.Country]), text("plan", mix.Plans[p.Plan]),
			text("platform", mix.Platforms[p.Platform]), text("language", mix.Languages[p.Language])}})
		return err
	})
}

// events applies a list of events.
func (l *loader) events(list []mix.Event) error {
	return l.run(len(list), func(t *kv.Txn, i int) error {
		f := factOf(&list[i])
		who, err := l.store.people.Apply(t, &f)
		if err == nil && who.Refused != "" {
			err = fmt.Errorf("refused: %s", who.Refused)
		}
		l.rows = append(l.rows, history.Row{Person: who.Person, Time: f.Time, Name: f.Name, Props: f.Props})
		return err
	})
}

// run applies n things in as many transactions as they need, bounded as the
// applier bounds its own.
func (l *loader) run(n int, apply func(t *kv.Txn, i int) error) error {
	maxBytes, maxKeys := l.store.db.Limits()
	for i := 0; i < n; {
		l.rows = l.rows[:0]
		err := l.store.db.Update(func(t *kv.Txn) error {
			for ; i < n && int64(t.Size()+50*len(l.rows)) < maxBytes/3 && int64(t.Keys()) < maxKeys/3; i++ {
				if err := apply(t, i); err != nil {
					return err
				}
			}
			return l.store.history.Append(t, l.rows)
		})
		if err != nil {
			return err
		}
		l.store.people.Committed()
		l.store.history.Committed()
	}
	return nil
}

var (
	countries = texts("country", mix.Countries)
	platforms = texts("platform", mix.Platforms)
	plans     = texts("plan", mix.Plans)
)

func texts(key string, values []string) []event.Prop {
	ps := make([]event.Prop, len(values))
	for i, v := range values {
		ps[i] = event.Prop{Key: key, Value: event.OfText(v)}
	}
	return ps
}

func factOf(e *mix.Event) event.Fact {
	f := event.Fact{Kind: event.Track, User: mix.User(e.Person), Time: e.Time * 1000, Received: e.Time * 1000, Name: mix.Names[e.Name]}
	f.Props = append(make([]event.Prop, 0, 4), countries[e.Country], platforms[e.Platform], plans[e.Plan])
	if e.Amount != 0 {
		f.Props = append(f.Props, event.Prop{Key: "amount", Value: event.OfFloat(float64(e.Amount) / 100)})
	}
	return f
}

// sizeOf adds up the files below a directory.
func sizeOf(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		bytes += info.Size()
		return err
	})
	return bytes, err
}
