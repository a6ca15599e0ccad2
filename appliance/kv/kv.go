// Package kv keeps a publisher's state in Badger: keyspaces, synced
// transactions, ordered scans, and shelves for bulky chunks that are written
// once. It is the only room that knows Badger, and it turns what Badger does
// badly under faults into errors (DESIGN.md).
package kv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrNotFound = errors.New("kv: no such key")
	ErrInUse    = errors.New("kv: the directory is open already, here or in another process")
	ErrDamaged  = errors.New("kv: files are damaged or missing")
	ErrStopped  = errors.New("kv: stopped after a failed write; reopen it")
	ErrClosed   = errors.New("kv: closed")
	ErrTooBig   = errors.New("kv: too big for one transaction")
	ErrFull     = errors.New("kv: the disk is full to its reserve")

	// ErrStop ends a Scan early; Scan itself then returns nil.
	ErrStop = errors.New("kv: stop scanning")
)

// MaxKey and MaxValue bound one pair, in bytes. A value of 1 MiB or more would
// go to Badger's value log, whose space only comes back by a collection that
// this room does not run; so it is refused with ErrTooBig.
const (
	MaxKey   = 32 << 10
	MaxValue = 1<<20 - 1
)

// Options say how a database is opened. The zero value is good.
type Options struct {
	// Small is for many publishers in one process: a memtable of 16 MiB, so
	// that twenty idle databases stay within 400 MB.
	Small bool
	// MemTable overrides the memtable's size, in bytes; at least 8 MiB. It
	// bounds a transaction to about 15 % of itself (see Limits).
	MemTable int64
	// Reserve is how many bytes must be free on the disk for a write to be
	// let in, 4 memtables by default. The appliance stops ingest well before.
	Reserve int64
	// Logger takes what Badger has to say; nil discards it.
	Logger *slog.Logger
	// Failed is told once that a write failed, Badger's own housekeeping
	// included; nil = nobody is. What was acknowledged is safe as the files
	// are, and only so: Badger goes on to tidy, and closing it does, and after
	// a failed sync that may delete what it takes for replaced. So the process
	// should end there and then, without closing anything.
	Failed func(error)
}

func (o Options) withDefaults() Options {
	if o.MemTable == 0 {
		o.MemTable = 64 << 20
		if o.Small {
			o.MemTable = 16 << 20
		}
	}
	o.MemTable = max(o.MemTable, 8<<20)
	if o.Reserve == 0 {
		o.Reserve = 4 * o.MemTable
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// DB is one database directory, open. It is safe for concurrent use.
type DB struct {
	dir  string
	o    Options
	lock *os.File
	b    *badger.DB

	write sync.Mutex // held through one Update, from its first read to its sync

	mu      sync.Mutex
	idle    *sync.Cond // users fell to 0
	users   int        // transactions and backups running
	closed  bool
	stopped error // the failed write that ended it
}

// Open opens the database in dir, making it if there is none. It checks every
// file first and answers ErrDamaged, without having changed anything, when
// something acknowledged would be missing. A second opener gets ErrInUse.
// Close it to let go of its goroutines and its lock.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", dir, err)
	}
	b, err := openEngine(dir, stateOptions(dir, o), o.Reserve)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening database %s: %w", dir, err)
	}
	// Not before the engine has its log, and both are in the directory.
	if err := errors.Join(syncDir(dir), replaceFile(filepath.Join(dir, openMark), nil)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s: %w", dir, err), b.Close(), lock.Close())
	}
	d := &DB{dir: dir, o: o, lock: lock, b: b}
	d.idle = sync.NewCond(&d.mu)
	if log, ok := b.Opts().Logger.(engineLog); ok {
		failed := d.stop
		log.failed.Store(&failed)
	}
	return d, nil
}

// stateOptions are Badger's settings for state. Values are inline: there is no
// value log to lose, to collect or to leave erased bytes in.
func stateOptions(dir string, o Options) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(newEngineLog(o.Logger)).
		WithSyncWrites(true).
		WithDetectConflicts(false). // Update runs them one after another
		WithCompression(options.None).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithMetricsEnabled(false).
		WithMemTableSize(o.MemTable).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithNumGoroutines(2).
		WithValueThreshold(MaxValue + 1).
		WithValueLogFileSize(1 << 20). // holds no values
		WithBlockCacheSize(0).         // blocks are not compressed: the page cache has them
		WithIndexCacheSize(0)
}

// openEngine checks and opens a Badger directory that is locked.
func openEngine(dir string, bo badger.Options, reserve int64) (*badger.DB, error) {
	if err := needFree(dir, reserve); err != nil {
		return nil, err
	}
	if err := checkDir(dir, bo); err != nil {
		return nil, err
	}
	if err := dropUnmade(dir); err != nil {
		return nil, err
	}
	b, err := badger.Open(bo)
	if err != nil {
		return nil, err
	}
	if log, ok := bo.Logger.(engineLog); ok && log.errors.Load() > 0 {
		// It opens without what it cannot read, and only logs that.
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrDamaged, errSaid), b.Close())
	}
	if err := os.Remove(filepath.Join(dir, stoppedMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Limits says what one transaction may hold, in bytes (keys and values, with a
// few bytes each for housekeeping) and in keys. Callers bound their runs by it.
func (d *DB) Limits() (bytes int64, keys int64) {
	// A little under Badger's own, so that it is always ours that is met and
	// a commit never fails halfway for its size.
	return d.b.MaxBatchSize() * 15 / 16, d.b.MaxBatchCount() * 15 / 16
}

// enter counts a user in, so that Close waits for it; leave counts it out.
func (d *DB) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if d.stopped != nil {
		return fmt.Errorf("%w (%w)", ErrStopped, d.stopped)
	}
	d.users++
	return nil
}

func (d *DB) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users--
	if d.users == 0 {
		d.idle.Broadcast()
	}
}

// stop makes every later use fail. After a failed sync nobody knows what the
// disk holds, and Badger would go on acknowledging.
func (d *DB) stop(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped == nil {
		d.stopped = why
		d.o.Logger.Error("database stopped", "dir", d.dir, "error", why)
		d.Suspect(why)
		if d.o.Failed != nil {
			d.o.Failed(why)
		}
	}
}

// Suspect notes that a write of this database failed, or may have: one of
// another on the same disk did. The next opening then knows what Badger leaves
// behind of its own tidying.
func (d *DB) Suspect(why error) {
	// The disk may not take this either; then the next opening may ask for more
	// than it has to.
	if err := os.WriteFile(filepath.Join(d.dir, stoppedMark), []byte(why.Error()+"\n"), 0o600); err != nil {
		d.o.Logger.Error("a failed write could not be noted", "dir", d.dir, "error", err)
	}
}

// View runs fn over a consistent snapshot, which other transactions do not
// disturb. The Txn is fn's alone and ends with it.
func (d *DB) View(fn func(*Txn) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	snap := d.b.NewTransaction(false)
	defer snap.Discard()
	return fn(&Txn{db: d, snap: snap})
}

// Update runs fn and commits what it wrote as one whole, on disk before Update
// returns. If fn fails, nothing is written and its error is returned as it is.
// Updates run one after another, so fn always sees what was committed last and
// what it read stays true until its commit; it must be short, and must not
// call Update. If a write went past Limits, Update returns ErrTooBig whatever
// fn returned. If the commit fails the database stops: this call and every
// later one answer ErrStopped, and whether this one is on disk is unknown
// until it is opened again.
func (d *DB) Update(fn func(*Txn) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	d.write.Lock()
	defer d.write.Unlock()
	// It may have stopped while this call waited for the one before it.
	d.mu.Lock()
	stopped := d.stopped
	d.mu.Unlock()
	if stopped != nil {
		return fmt.Errorf("%w (%w)", ErrStopped, stopped)
	}
	if err := needFree(d.dir, d.o.Reserve); err != nil {
		return err
	}
	snap := d.b.NewTransaction(false)
	defer snap.Discard()
	t := &Txn{db: d, snap: snap, writable: true}
	t.maxBytes, t.maxKeys = d.Limits()
	if err := fn(t); err != nil {
		return err
	}
	if t.failed != nil {
		return t.failed
	}
	if err := t.commit(); err != nil {
		d.stop(err)
		return fmt.Errorf("%w (%w)", ErrStopped, err)
	}
	for _, fn := range t.after {
		fn()
	}
	return nil
}

// Backup writes every pair as of now to w, in Badger's backup format. The
// stream is not sealed: whatever callers did not seal themselves is readable
// in it, so w must seal.
func (d *DB) Backup(w io.Writer) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	to := &backupWriter{to: w}
	if _, err := d.b.Backup(to, 0); err != nil {
		return fmt.Errorf("backing up %s: %w", d.dir, errors.Join(to.err, err))
	}
	return nil
}

// backupWriter remembers why a write failed: Badger's stream only tells that
// it was cancelled.
type backupWriter struct {
	to  io.Writer
	err error
}

func (w *backupWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// Close waits for the transactions that are running, refuses new ones, flushes
// and unlocks. Closing twice is harmless.
func (d *DB) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	for d.users > 0 {
		d.idle.Wait()
	}
	d.mu.Unlock()
	err := d.b.Close()
	if err == nil {
		err = os.Remove(filepath.Join(d.dir, openMark))
	}
	if lerr := d.lock.Close(); err == nil {
		err = lerr
	}
	if err != nil {
		return fmt.Errorf("closing database %s: %w", d.dir, err)
	}
	return nil
}
