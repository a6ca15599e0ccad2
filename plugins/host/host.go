// Package host finds connectors' programs, verifies them, starts them confined,
// and keeps them working: a process that crashes is started again, one that
// hangs is replaced, one that does so again and again is left alone until
// somebody looks. It is the only room that knows go-plugin (DESIGN.md).
//
// Failure rules: whatever a connector's process does, prints or answers costs
// the appliance a bounded time, memory and log, and never another connector
// anything. What was handed over and not answered is unknown; only a *NotSent
// says that nothing went out.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/parcel"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// Board takes problems. *health.Board is one.
type Board interface {
	Raise(health.Problem)
	Clear(code, subject string)
}

// Options of a host. Dirs and RunDir are needed.
type Options struct {
	// Dirs are where programs are looked for, in order. They and what is in
	// them must belong to root or the service's own user, and be writable for
	// nobody else.
	Dirs []string
	// RunDir takes the sockets, a folder for each process. It is made if it is
	// missing, with 0700; its path must be short (see Open).
	RunDir string
	// CacheDir keeps what connectors said of themselves, by checksum, so that
	// checking a configuration starts no process twice. "" = in memory only.
	CacheDir string
	// Protect are the appliance's own folders and files: a connector's folder
	// may neither hold one of them nor lie in one.
	Protect []string

	// Groups hold a control group for each process; nil = there are none, and
	// NoGroups says why to operators, nil if they need not know.
	Groups   *sandbox.Groups
	NoGroups error

	// Resolver looks up the names of hosts that connectors reach; nil = the machine's.
	Resolver sandbox.Resolver

	Logger *slog.Logger
	Board  Board
	// Audit is told of every program that was refused. It must not block.
	Audit func(Refusal)
	Now   func() time.Time

	timing timing
}

// Refusal is a program that was not started, for the audit.
type Refusal struct {
	Plugin string
	Path   string // "" if there is none
	SHA256 string // as found, "" if it was not read
	Err    error  // wraps ErrChecksum or ErrUnsafe
}

// timing is how long things may take. Tests shorten it.
type timing struct {
	start     time.Duration // from exec to the handshake
	describe  time.Duration
	configure time.Duration
	check     time.Duration
	send      time.Duration // one call; longer is a hang
	patience  time.Duration // a Send that its caller ends after so long is a hang too
	receipts  time.Duration
	collect   time.Duration
	forget    time.Duration
	drain     time.Duration
	term      time.Duration // from SIGTERM to SIGKILL
	kill      time.Duration // how long go-plugin may take to let go of a dead process
	pingEvery time.Duration
	ping      time.Duration // two in a row that take longer are a hang
	recheck   time.Duration // between checks of a provider that cannot be reached
	backoff   time.Duration // before the first restart, doubled up to backoffMax
	max       time.Duration
	strikes   int           // so many failures within the window are a quarantine
	window    time.Duration //
	parole    time.Duration // between tries in quarantine
}

func (t timing) withDefaults() timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.start, 10*time.Second)
	def(&t.describe, 5*time.Second)
	def(&t.configure, 15*time.Second)
	def(&t.check, 30*time.Second)
	def(&t.send, 25*time.Second)
	def(&t.patience, 10*time.Second)
	def(&t.receipts, 10*time.Second)
	def(&t.collect, 25*time.Second)
	def(&t.forget, 30*time.Second)
	def(&t.drain, 10*time.Second)
	def(&t.term, 2*time.Second)
	def(&t.kill, 5*time.Second)
	def(&t.pingEvery, 5*time.Second)
	def(&t.ping, 5*time.Second)
	def(&t.recheck, time.Minute)
	def(&t.backoff, 500*time.Millisecond)
	def(&t.max, 30*time.Second)
	def(&t.window, 10*time.Minute)
	def(&t.parole, 15*time.Minute)
	if t.strikes == 0 {
		t.strikes = 5
	}
	return t
}

// What can be wrong with a program, to be matched with errors.Is.
var (
	ErrNotFound = errors.New("no such connector")
	ErrChecksum = errors.New("the connector is not the file that the checksum names")
	ErrUnsafe   = errors.New("the connector's file could be changed by somebody else")
	// ErrBroken means that the program does not do what a connector does.
	ErrBroken = errors.New("the connector does not work")
	ErrClosed = errors.New("closed")
	// ErrNotRunning is within the *NotSent of a connector that has no process now.
	ErrNotRunning = errors.New("the connector is not running")
	// ErrUnsupported means that this connector takes no receipts, or keeps
	// nothing that it could forget.
	ErrUnsupported = errors.New("the connector does not do this")
	// ErrUnchecked means that the program could not be asked about the settings when
	// they were read, and can be now.
	ErrUnchecked = errors.New("the program can be used now, but the settings were not checked with it")
	// ErrWeak means that a process cannot be confined here as is required.
	ErrWeak = errors.New("the sandbox is too weak")
)

// Host starts connectors. Its methods may be called concurrently.
type Host struct {
	o     Options
	spawn *spawner

	// The life of the host: ended by Close.
	ctx  context.Context
	quit context.CancelFunc

	mu         sync.Mutex
	abouts     map[string]*about        // by checksum
	describing map[string]chan struct{} // programs that are being asked what they are; closed afterwards
	asking     sync.WaitGroup           // those who ask; added to under mu, before closed is set
	running    map[*Connector]bool
	closed     bool
}

// maxSocketDir is how long RunDir may be: the kernel takes 107 bytes, and go-plugin
// adds a folder and a file.
const maxSocketDir = 107 - len("/plugin-dir4294967295/plugin4294967295")

// Open prepares a host. It starts no process.
func Open(o Options) (*Host, error) {
	o.timing = o.timing.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Board == nil {
		o.Board = health.NewBoard(o.Now)
	}
	if o.Audit == nil {
		o.Audit = func(Refusal) {}
	}
	run, err := filepath.Abs(o.RunDir)
	if err != nil || o.RunDir == "" {
		return nil, fmt.Errorf("connectors: the folder for sockets: %q is no path", o.RunDir)
	}
	if err := os.MkdirAll(run, 0o700); err != nil {
		return nil, fmt.Errorf("connectors: the folder for sockets: %w", err)
	}
	if run, err = filepath.EvalSymlinks(run); err != nil {
		return nil, fmt.Errorf("connectors: the folder for sockets: %w", err)
	}
	if len(run) > maxSocketDir {
		return nil, fmt.Errorf("connectors: the folder for sockets, %s, has a path of %d bytes; sockets take at most %d", run, len(run), maxSocketDir)
	}
	// What a daemon that was killed left behind.
	if stale, err := filepath.Glob(filepath.Join(run, "plugin-dir*")); err == nil {
		for _, dir := range stale {
			if empty(dir) == nil {
				_ = os.Remove(dir)
			}
		}
	}
	o.RunDir = run
	h := &Host{
		o: o, spawn: newSpawner(), abouts: make(map[string]*about), describing: make(map[string]chan struct{}), running: make(map[*Connector]bool),
	}
	h.ctx, h.quit = context.WithCancel(context.Background())
	return h, nil
}

// Describe says what a plugin is and which settings it takes. The answer is
// kept by the program's checksum; the first time it takes a process, unless the
// program came by a parcel. Of a program that is not here it is what a card says.
func (h *Host) Describe(ctx context.Context, plugin string) (connector.Description, connector.Schema, error) {
	bin, err := h.open(plugin, "")
	if errors.Is(err, ErrNotFound) {
		if a := h.absent(plugin); a != nil {
			return a.description, a.schema, nil
		}
	}
	if err != nil {
		return connector.Description{}, connector.Schema{}, err
	}
	defer bin.Close()
	a, err := h.describe(ctx, bin)
	if err != nil {
		return connector.Description{}, connector.Schema{}, err
	}
	return a.description, a.schema, nil
}

// Pinned is ErrChecksum if a plugin's program, or the card of one that is not here,
// is not that of this checksum. Nothing is started. What else is wrong with a
// program Describe says.
func (h *Host) Pinned(plugin, sum string) error {
	bin, err := h.open(plugin, sum)
	if errors.Is(err, ErrNotFound) {
		if m := h.absentCard(plugin); m != nil {
			if m.SHA256 != strings.ToLower(sum) {
				return fmt.Errorf("connector %q: %w: the card says %s", plugin, ErrChecksum, m.SHA256)
			}
			return nil
		}
	}
	switch {
	case errors.Is(err, ErrChecksum):
		return err
	case err != nil:
		return nil
	}
	return bin.Close()
}

// Validate asks a plugin what it thinks of settings that fit its schema, in a
// process that can reach and write nothing. Problems may be warnings only. One
// without a path is of the machine: the process is confined less than require
// says, a grade's name or "".
func (h *Host) Validate(ctx context.Context, plugin string, s connector.Settings, require string) ([]connector.Problem, error) {
	bin, err := h.open(plugin, "")
	if errors.Is(err, ErrNotFound) {
		if a := h.absent(plugin); a != nil {
			return unasked(a, s, "only its card is on this machine, and not its program"), nil
		}
	}
	if err != nil {
		return nil, err
	}
	defer bin.Close()
	a, err := h.describe(ctx, bin)
	if err != nil {
		return nil, err
	}
	if card := h.cardOf(bin); card != nil && !parcel.RunsHere(card.Platform) {
		return unasked(a, s, "its program is for "+card.Platform+", and not for this machine"), nil
	}
	problems := h.folderProblems(a, s)
	_, reach := a.policy(s, nil)
	problems = append(problems, reach...)
	p, err := h.launch(ctx, bin, plugin, sandbox.Policy{Network: a.description.Network}) // no host is listed
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if require != "" {
		grade, err := sandbox.ParseGrade(require)
		if err != nil {
			return nil, err
		}
		if err := enough(p.run.confinement(), grade); err != nil {
			problems = append(problems, connector.Problem{Summary: err.Error(), Detail: "Run the appliance where connectors can be confined so, or require less."})
		}
	}
	more, err := p.configure(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("checking the settings of connector %q: %w", plugin, err)
	}
	return append(problems, more...), nil
}

// Close ends every connector and waits for it. Drain them first; what is being
// sent now ends as unknown.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	var all []*Connector
	for c := range h.running {
		all = append(all, c)
	}
	h.mu.Unlock()
	h.quit()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, c := range all {
		wg.Go(func() { errs[i] = c.Close() })
	}
	wg.Wait()
	h.asking.Wait()
	h.spawn.close()
	return errors.Join(errs...)
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}
