package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/cloisterhq/cloister/appliance/health"
)

// Board takes problems; a *health.Board.
type Board interface {
	Raise(health.Problem)
	Clear(code, subject string)
}

// Options of the server. Dir is needed; the rest may be zero.
type Options struct {
	Dir    string
	Logger *slog.Logger     // nil discards
	Board  Board            // nil: nobody is told
	Now    func() time.Time // for numbering incarnations; nil means time.Now
	// Reserve is how many bytes stay free on the disk, 64 MiB by default:
	// below that Append answers ErrFull.
	Reserve int64
	// AckTimeout is how long one write may take before the engine counts as
	// stuck and is opened again; 15 s by default.
	AckTimeout time.Duration
}

// Codes of the problems that this room raises, by publisher.
const (
	ProblemDamaged     = "journal.damaged"     // records are missing; nothing is written
	ProblemFull        = "journal.full"        // nothing more can be written now
	ProblemUnavailable = "journal.unavailable" // the engine is being opened again
	ProblemRepaired    = "journal.repaired"    // a description was damaged and has been made anew
)

// maxStore is JetStream's own bound of all streams. Its default would be a
// share of what is free, and shrink with each start; the real bounds are each
// stream's and the disk's reserve.
const maxStore = 1 << 50

// maxPayload bounds one record as stored.
const maxPayload = 8 << 20

// Server is the embedded engine with every publisher's journal. It is safe
// for concurrent use.
type Server struct {
	o    Options
	lock *os.File

	mu       sync.RWMutex // held for reading while a journal connects
	engine   *engine      // nil when it could not be started again
	starts   uint64
	journals map[string]*Journal
	closed   bool
	opening  sync.WaitGroup // of journals that are on the list and not open yet
}

// engine is one run of the NATS server.
type engine struct {
	number  uint64
	ns      *server.Server
	token   string // what our own connections say; nobody else can connect
	trouble *trouble
	started sync.WaitGroup
}

// Open starts the engine over o.Dir, making that if it is not there. A second
// opener gets ErrInUse. Close it to let go of its goroutines and its lock.
func Open(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Board == nil {
		o.Board = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reserve <= 0 {
		o.Reserve = 64 << 20
	}
	if o.AckTimeout <= 0 {
		o.AckTimeout = 15 * time.Second
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening journals in %s: %w", o.Dir, err)
	}
	s := &Server{o: o, lock: lock, journals: make(map[string]*Journal)}
	err = os.MkdirAll(filepath.Join(o.Dir, "marks"), 0o700)
	if err == nil {
		err = s.startEngine()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening journals in %s: %w", o.Dir, err), lock.Close())
	}
	return s, nil
}

type nobody struct{}

func (nobody) Raise(health.Problem)         {}
func (nobody) Clear(code, publisher string) {}

// startEngine starts NATS. The caller holds mu, or is Open.
func (s *Server) startEngine() error {
	token := make([]byte, 16)
	rand.Read(token) // never fails
	s.starts++
	e := &engine{number: s.starts, token: hex.EncodeToString(token), trouble: newTrouble()}
	ns, err := server.NewServer(&server.Options{
		ServerName:                 "journal",
		DontListen:                 true,
		NoSigs:                     true,
		JetStream:                  true,
		StoreDir:                   filepath.Join(s.o.Dir, "nats"),
		SyncAlways:                 true,
		JetStreamMaxMemory:         1 << 20, // no stream is in memory
		JetStreamMaxStore:          maxStore,
		MaxPayload:                 maxPayload,
		DisableJetStreamBanner:     true,
		WriteDeadline:              time.Minute, // a machine that is busy elsewhere is no reason to hang up
		CustomClientAuthentication: e,
	})
	if err != nil {
		return fmt.Errorf("making the engine: %w", err)
	}
	ns.SetLoggerV2(&engineLog{to: s.o.Logger, trouble: e.trouble}, false, false, false)
	e.ns = ns
	e.started.Add(1)
	go func() {
		defer e.started.Done()
		ns.Start()
	}()
	if !ns.ReadyForConnections(20*time.Second) || !ns.JetStreamEnabled() {
		e.close()
		return fmt.Errorf("starting the engine: %w", ErrUnavailable)
	}
	s.engine = e
	return nil
}

func (e *engine) close() {
	e.ns.Shutdown()
	e.ns.WaitForShutdown()
	e.started.Wait()
}

// Check lets our own connections in, each to the account that it names.
func (e *engine) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if o.Password != e.token {
		return false
	}
	account, err := e.ns.LookupAccount(o.Username)
	if err != nil {
		return false
	}
	c.RegisterUser(&server.User{Username: o.Username, Account: account})
	return true
}

// reopen stops the engine of that number, which does not answer, and starts
// another. Every journal connects anew by itself.
func (s *Server) reopen(number uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.engine != nil {
		if s.engine.number != number {
			return nil // someone else was first
		}
		s.o.Logger.Warn("the journal's engine does not answer and is opened again")
		for _, j := range s.journals {
			j.drop(ErrUnavailable)
		}
		s.engine.close()
		s.engine = nil
	}
	return s.startEngine()
}

// Journal opens a publisher's journal, making it at first use. Every record is
// checked before anything may write: if acknowledged ones are missing it
// answers ErrDamaged, raises ProblemDamaged, and has touched nothing. keys
// must stay open until the journal is closed. A journal that is open already
// gives ErrInUse.
func (s *Server) Journal(publisher string, keys Sealer, o StreamOptions) (*Journal, error) {
	if !validName(publisher) {
		return nil, fmt.Errorf("%w: %q", ErrName, publisher)
	}
	j := &Journal{
		s: s, publisher: publisher, keys: keys, o: o.withDefaults(),
		changed: make(chan struct{}), wake: make(chan struct{}, 1), markWake: make(chan struct{}, 1),
	}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil, ErrClosed
	case s.journals[publisher] != nil:
		s.mu.Unlock()
		return nil, fmt.Errorf("journal of %s: %w", publisher, ErrInUse)
	}
	s.journals[publisher] = j
	s.opening.Add(1)
	s.mu.Unlock()
	defer s.opening.Done()
	if err := j.open(); err != nil {
		s.forget(j)
		return nil, fmt.Errorf("opening the journal of %s: %w", publisher, err)
	}
	j.start()
	return j, nil
}

// forget takes a closed journal off the list.
func (s *Server) forget(j *Journal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.journals, j.publisher)
}

// Close closes every journal that is open and stops the engine. Closing twice
// is harmless.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.opening.Wait()
	s.mu.Lock()
	open := make([]*Journal, 0, len(s.journals))
	for _, j := range s.journals {
		open = append(open, j)
	}
	s.mu.Unlock()
	var err error
	for _, j := range open {
		err = errors.Join(err, j.Close())
	}
	if s.engine != nil {
		s.engine.close()
	}
	return errors.Join(err, s.lock.Close())
}

// validName holds publishers' names to what may be an account and a file.
func validName(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '-' || name[0] == '_' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
