// Command cloister is the engine of this project as it is measured: its rooms,
// opened as a publisher opens them, without the daemon around.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"syscall"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/query"
)

// What the daemon sets for all its publishers, as it sets it: an eighth of the
// machine's memory for decoded columns, and for questions, and a collector that
// leaves half as much idle as is in use.
var (
	columns *history.Cache
	budget  *query.Budget
)

func main() {
	debug.SetGCPercent(50)
	var machine syscall.Sysinfo_t
	if err := syscall.Sysinfo(&machine); err != nil {
		fmt.Fprintln(os.Stderr, "asking for the machine's memory:", err)
		os.Exit(1)
	}
	share := int64(machine.Totalram) * int64(machine.Unit) / 8
	columns, budget = history.NewCache(share), query.NewBudget(share, runtime.GOMAXPROCS(0))
	var b bench
	if err := errors.Join(engine.Serve(b.handle), b.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is what the requests work on.
type bench struct {
	store   *store // open, or nil; or
	house   *house
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
	case "raw":
		return raw(r)
	case "publish":
		return publish(r)
	case "append":
		return appendFacts(r)
	case "collect":
		return collect(r)
	case "soak":
		return soak(r)
	case "house":
		return b.live(r)
	}
	if b.house == nil {
		return engine.Reply{}, fmt.Errorf("there is no %q, or no house is open", r.Op)
	}
	switch r.Op {
	case "fill":
		return b.house.fill(r)
	case "feed":
		b.house.feed(r.File, r.Rate)
		return engine.Reply{}, nil
	case "fed":
		rate, err := b.house.fed()
		return engine.Reply{Figures: map[string]float64{"rate": rate}}, err
	case "visible":
		return b.house.visible(r)
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
	if b.store, err = openStore(r.Dir); err != nil {
		return engine.Reply{}, err
	}
	b.asking = askingOf(r)
	return engine.Reply{}, nil
}

// live opens a directory as a publisher, which takes events.
func (b *bench) live(r *engine.Request) (_ engine.Reply, err error) {
	b.house, err = openHouse(r.Dir, publisher.Options{})
	b.asking = askingOf(r)
	return engine.Reply{}, err
}

func (b *bench) ask(r *engine.Request) (engine.Reply, error) {
	switch {
	case b.store != nil:
		return b.asking.ask(b.store, r)
	case b.house != nil:
		return b.asking.ask(b.house, r)
	}
	return engine.Reply{}, errors.New("nothing is open")
}

func (b *bench) startProfile(r *engine.Request) (_ engine.Reply, err error) {
	if b.profile, err = os.Create(r.File); err != nil {
		return engine.Reply{}, err
	}
	return engine.Reply{}, pprof.StartCPUProfile(b.profile)
}

func (b *bench) close() error {
	err := errors.Join(b.store.close(), b.house.close())
	if b.profile != nil {
		pprof.StopCPUProfile()
		err = errors.Join(err, b.profile.Close())
	}
	return err
}
