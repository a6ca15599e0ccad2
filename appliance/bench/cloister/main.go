// Command cloister is the engine of this project as it is measured: its rooms,
// opened as a publisher opens them, without the daemon around.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

func main() {
	var b bench
	if err := errors.Join(engine.Serve(b.handle), b.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is what the requests work on.
type bench struct {
	store   *store // open, or nil
	asking  asking
	profile *os.File // of the CPU, while one is written
}

func (b *bench) handle(r *engine.Request) (engine.Reply, error) {
	switch r.Op {
	case "load":
		return load(r)
	case "open":
		return b.open(r)
	case "ask":
		return b.ask(r)
	case "profile":
		return b.startProfile(r)
	}
	return engine.Reply{}, fmt.Errorf("there is no %q", r.Op)
}

// open opens a loaded directory, and closes what was open before: nothing stays
// decoded.
func (b *bench) open(r *engine.Request) (engine.Reply, error) {
	err := b.store.close()
	if b.store = nil; err != nil {
		return engine.Reply{}, err
	}
	if b.store, err = openStore(r.Dir, storeOptions{}); err != nil {
		return engine.Reply{}, err
	}
	b.asking = askingOf(r)
	return engine.Reply{}, nil
}

func (b *bench) ask(r *engine.Request) (engine.Reply, error) {
	if b.store == nil {
		return engine.Reply{}, errors.New("nothing is open")
	}
	return b.asking.ask(b.store, r)
}

func (b *bench) startProfile(r *engine.Request) (_ engine.Reply, err error) {
	if b.profile, err = os.Create(r.File); err != nil {
		return engine.Reply{}, err
	}
	return engine.Reply{}, pprof.StartCPUProfile(b.profile)
}

func (b *bench) close() error {
	err := b.store.close()
	if b.profile != nil {
		pprof.StopCPUProfile()
		err = errors.Join(err, b.profile.Close())
	}
	return err
}
