// Package appliance is the whole daemon: it reads the configuration, opens the
// rooms bottom-up, serves the doors, takes new configuration while it runs, and
// closes everything top-down. It translates and connects; it decides nothing.
//
// Failure rules: what is wrong at the start is printed at the operator's line
// and nothing starts (ErrConfig). A publisher whose applier stops is closed and
// opened again by itself, with growing pauses; the others do not notice. A new
// configuration that cannot be carried out leaves the old one in force.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/console"
	"github.com/cloisterhq/cloister/appliance/guide"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/receipts"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/host"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// Why nothing was started, to be matched with errors.Is.
var (
	// ErrConfig: the configuration is wrong; what is wrong has been printed already.
	ErrConfig = errors.New("the configuration is wrong")
	// ErrLocked: the master key does not open what is there.
	ErrLocked = errors.New("the data is locked")
	// ErrInUse: the data directory is another daemon's.
	ErrInUse = errors.New("another daemon runs")
)

// Options of a run. The zero value reads the default configuration.
type Options struct {
	ConfigPaths []string
	DataDir     string // wins over the configuration's
	Demo        *Demo  // no configuration is read
	Version     string
	Memory      int64 // bytes that the process may use; 0 = not known, and 4 GiB are taken for it
	Stderr      io.Writer
	Logger      *slog.Logger
	Level       *slog.LevelVar // of Logger, set as the configuration says; may be nil
	// Groups hold a control group for each connector; nil = there are none, and
	// NoGroups says why.
	Groups   *sandbox.Groups
	NoGroups error
	// Exit ends the process at once, after a write that failed; nil = os.Exit.
	Exit func(code int)
}

// exitFailed is what the process ends with after a write that failed; systemd
// starts it again.
const exitFailed = 1

// memoryShare is what all decoded columns, and what all questions, may take of
// the memory that the process may use: an eighth each.
func memoryShare(memory int64) int64 {
	if memory <= 0 {
		memory = 4 << 30
	}
	return max(memory/8, leastShare)
}

// Demo is a run that needs no configuration: an invented publisher with people
// who arrive, buy, leave carts and get messages.
type Demo struct {
	People int
	Rate   float64 // events per second
}

const (
	drainTimeout   = 20 * time.Second
	openShelves    = 16
	manyPublishers = 4 // from so many on each gets less memory
	leastShare     = 128 << 20
)

// appliance is a daemon that runs.
type appliance struct {
	o     Options
	log   *slog.Logger
	board *health.Board

	cfg     atomic.Pointer[config.Config] // in force
	reloads sync.Mutex                    // one reload at a time
	started time.Time

	ring    *keyring.Keyring
	journal *journal.Server
	shelves *kv.ShelfCache
	heads   *history.Heads
	db      *kv.DB // of the appliance itself
	access  *access.Access
	audit   *audit.Log
	host    *host.Host
	sockets string // folder of connectors' sockets
	disk    *disk
	columns *history.Cache
	budget  *query.Budget

	houses    houses
	guide     *guide.Guide // for developers of apps
	apps      *ingest.Door
	providers *receipts.Door
	console   *console.Console
	servers   []*server
	undo      []func() error
}

// Run opens the appliance, says where to go, and serves until ctx ends. It
// returns nil after an orderly end.
func Run(ctx context.Context, o Options) (err error) {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	share := memoryShare(o.Memory)
	a := &appliance{
		o: o, started: time.Now(), shelves: kv.NewShelfCache(openShelves), heads: history.NewHeads(history.DefaultHeads),
		columns: history.NewCache(share), budget: query.NewBudget(share, runtime.GOMAXPROCS(0)),
	}
	a.board = health.NewBoard(time.Now)
	a.log = o.Logger
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	defer func() { err = errors.Join(err, a.close()) }()
	if err := a.open(ctx); err != nil {
		return err
	}
	a.welcome()
	if o.Demo != nil {
		a.playDemo()
	}
	return a.wait(ctx)
}

func (a *appliance) closes(f func() error) { a.undo = append(a.undo, f) }

// open brings everything up, lowest room first.
func (a *appliance) open(ctx context.Context) (err error) {
	cfg, err := a.load(ctx)
	if err != nil {
		return err
	}
	a.cfg.Store(cfg)
	if o := a.o.Level; o != nil {
		o.Set(cfg.Appliance.LogLevel)
	}
	dir := cfg.Appliance.DataDir
	if err := a.openFoundations(cfg); err != nil {
		return err
	}
	a.disk = newDisk(dir, cfg.Appliance.DiskReserve, a.board)
	a.closes(a.disk.close)
	a.houses.a = a
	a.openProviders()
	a.closes(a.houses.close)
	for i := range cfg.Publishers {
		if err := a.houses.open(ctx, cfg, &cfg.Publishers[i], true); err != nil {
			return err
		}
	}
	a.closes(newTidy(&a.houses).close)
	if err := a.openConsole(); err != nil {
		return err
	}
	if err := a.openListeners(cfg); err != nil {
		return err
	}
	return a.auditAppliance("appliance.started", "version "+a.o.Version)
}

func (a *appliance) openFoundations(cfg *config.Config) (err error) {
	dir := cfg.Appliance.DataDir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	master, err := masterKey(cfg.Keyring)
	if err != nil {
		return err
	}
	a.ring, err = keyring.Open(filepath.Join(dir, "keyring"), master, keyring.Options{Logger: a.log})
	switch {
	case errors.Is(err, keyring.ErrInUse):
		return fmt.Errorf("%w over %s: stop it, or give this one a data directory of its own", ErrInUse, dir)
	case errors.Is(err, keyring.ErrLocked):
		return fmt.Errorf("%w: the master key in %s is not the one that sealed %s; put the right one there", ErrLocked, cfg.Keyring.File, dir)
	case err != nil:
		return fmt.Errorf("opening the keyring: %w", err)
	}
	a.closes(a.ring.Close)
	a.sweepSockets(dir)
	if a.db, err = kv.Open(filepath.Join(dir, "appliance"), kv.Options{Small: true, Logger: a.log, Failed: a.failStop}); err != nil {
		return err
	}
	a.closes(a.db.Close)
	if a.access, err = access.Open(a.db, access.Options{}); err != nil {
		return err
	}
	if a.audit, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "audit"), Logger: a.log, Board: a.board}); err != nil {
		return err
	}
	a.closes(a.audit.Close)
	if a.journal, err = journal.Open(journal.Options{Dir: filepath.Join(dir, "journal"), Logger: a.log, Board: a.board}); err != nil {
		return err
	}
	a.closes(a.journal.Close)
	return nil
}

// failStop ends the process after a write that failed, and closes nothing: what
// is on disk is all that was acknowledged, and starting again finds it.
func (a *appliance) failStop(err error) {
	a.log.Error("a write failed; the daemon ends at once, so that nothing is written behind it, and finds what was acknowledged when it starts again", "error", err)
	// What failed for one database may have failed for the others.
	if a.db != nil { // else it was being opened
		a.db.Suspect(err)
	}
	for _, one := range a.houses.list() {
		if p := one.rooms.now.Load(); p != nil {
			p.Suspect(err)
		}
	}
	a.o.Exit(exitFailed)
}

// masterKey reads the master key, or makes the default one at the first start.
func masterKey(k config.Keyring) ([]byte, error) {
	master, err := keyring.LoadMaster(k.File)
	if errors.Is(err, os.ErrNotExist) && k.Make {
		return keyring.CreateMaster(k.File)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the master key: %w", err)
	}
	return master, nil
}

// close lets go of everything, the doors first.
func (a *appliance) close() error {
	var errs []error
	if a.console != nil {
		errs = append(errs, a.console.Close()) // ends the streams, which servers would wait for
	}
	for i := len(a.servers) - 1; i >= 0; i-- {
		errs = append(errs, a.servers[i].close())
	}
	for i := len(a.undo) - 1; i >= 0; i-- {
		errs = append(errs, a.undo[i]())
	}
	return errors.Join(errs...)
}

// wait serves until ctx ends or a listener fails.
func (a *appliance) wait(ctx context.Context) error {
	failed := make(chan *server, len(a.servers))
	for _, s := range a.servers {
		go func() { // ends with its server, which close waits for
			<-s.ended
			failed <- s
		}()
	}
	notifyReady()
	select {
	case <-ctx.Done():
		notifyStopping()
		a.log.Info("stopping")
		return a.auditAppliance("appliance.stopped", "")
	case s := <-failed:
		return fmt.Errorf("listener %q: %w", s.name, s.err)
	}
}
