package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// Instance is one configured connector.
type Instance struct {
	Publisher string
	Channel   string // which of the plugin's channels it serves here
	Name      string
	Plugin    string
	SHA256    string // of the program, hex; "" = whatever lies there, if it is safe
	Settings  connector.Settings
	// Unchecked: the program could not be asked what Settings mean. It is not
	// started with them, and says why it could not be asked, or that it could now.
	Unchecked bool
	Platforms []string // of push, which of its platforms; empty = all
	// Hosts are what it may connect to beside those that its settings name.
	Hosts []connector.Host
	// OwnNetwork puts it into a network namespace of its own.
	OwnNetwork bool
	// Limits of its process; zero values take the defaults.
	Limits sandbox.Limits
	// Require is the grade of confinement below which it does not run.
	Require sandbox.Grade
}

func (i Instance) subject() string { return i.Publisher + "/" + i.Channel + "/" + i.Name }

// Rejected means that the connector, or the host, does not want the settings.
type Rejected struct{ Problems []connector.Problem }

func (r *Rejected) Error() string {
	var all []string
	for _, p := range r.Problems {
		all = append(all, strings.TrimSuffix(strings.Join(p.Path, ".")+": "+p.Summary+": "+p.Detail, ": "))
	}
	return "the connector rejects its settings: " + strings.Join(all, "; ")
}

// State of a connector.
type State string

const (
	Starting    State = "starting"    // there is no process yet
	Running     State = "running"     //
	Restarting  State = "restarting"  // the process is gone; another follows soon
	Quarantined State = "quarantined" // it failed too often; tried again now and then, and on Check
	Draining    State = "draining"    //
	Stopped     State = "stopped"     // for good
)

// Sent counts what became of messages since Start.
type Sent struct {
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
	Again    uint64 `json:"again"`
	Unknown  uint64 `json:"unknown"`
}

// Status is for operators. It holds no personal data and no settings.
type Status struct {
	Publisher   string    `json:"-"`
	Channel     string    `json:"channel"`
	Name        string    `json:"name"`
	Plugin      string    `json:"plugin"`
	Version     string    `json:"version"`
	Description string    `json:"description"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"`    // when this state began
	Restarts    int       `json:"restarts"` // since Start
	Error       string    `json:"error,omitempty"`
	// Unreachable is why the running process did not reach its provider when that was
	// tried last, "" if it did.
	Unreachable string `json:"unreachable,omitempty"`
	Sent        Sent   `json:"sent"`
	// Sandbox is what confines the process, in words; Grade the grade that this
	// is, and Missing what the machine cannot give, "" if nothing.
	Sandbox     string              `json:"sandbox"`
	Grade       string              `json:"grade"`
	Missing     string              `json:"missing,omitempty"`
	Connections sandbox.Connections `json:"connections"` // of the running process
	SHA256      string              `json:"sha256"`
	PID         int                 `json:"pid,omitempty"`
}

// maxInFlight is how many Sends may be inside one connector at once.
const maxInFlight = 4

// Connector is one running instance. Its methods may be called concurrently.
type Connector struct {
	h *Host
	i Instance

	slots chan struct{}
	wake  chan struct{} // try again now
	hung  chan *process // a process that a call found hanging
	gone  chan struct{} // closed when the supervisor has ended

	// The life of the connector: ended by Close, when no process is wanted
	// any more.
	ctx  context.Context
	quit context.CancelFunc

	sent [4]atomic.Uint64 // by connector.Result

	mu          sync.Mutex
	about       *about
	given       Given
	proc        *process // nil = none
	level       sandbox.Level
	sum         string
	state       State
	since       time.Time
	ran         bool // there was a process before
	restarts    int
	failed      int // times that there was no process, or none any more
	err         string
	unreachable string
	draining    bool
	closed      bool
	raised      map[string]bool
	flights     sync.WaitGroup // Sends; added to under mu, before draining is set
}

// Start verifies, starts and configures an instance, and then keeps it running
// until Close. On an error, among them *Rejected, nothing runs. ctx bounds the
// start only. The provider is checked in the background: that it cannot be
// reached is a health problem and no reason not to start.
func (h *Host) Start(ctx context.Context, i Instance) (*Connector, error) {
	c := h.newConnector(i)
	if err := c.begin(ctx); err != nil {
		c.quit()
		return nil, err
	}
	c.ran = true
	if err := h.adopt(c); err != nil {
		c.quit()
		c.takeProcess(nil).end()
		return nil, err
	}
	return c, nil
}

// StartLater is Start for a connector that is to run as soon as it can: it
// returns at once, and failures are retried as those of a running one are.
// It fails only if the host is closed.
func (h *Host) StartLater(i Instance) (*Connector, error) {
	c := h.newConnector(i)
	if err := h.adopt(c); err != nil {
		c.quit()
		return nil, err
	}
	return c, nil
}

func (h *Host) newConnector(i Instance) *Connector {
	c := &Connector{
		h: h, i: i, slots: make(chan struct{}, maxInFlight), wake: make(chan struct{}, 1), hung: make(chan *process, 1),
		gone: make(chan struct{}), state: Starting, since: h.o.Now(), raised: make(map[string]bool),
	}
	c.ctx, c.quit = context.WithCancel(context.Background())
	return c
}

// adopt starts c's supervisor.
func (h *Host) adopt(c *Connector) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("connector %s: %w", c.i.subject(), ErrClosed)
	}
	h.running[c] = true
	go c.supervise()
	return nil
}

// begin brings up one process, configured.
func (c *Connector) begin(ctx context.Context) error {
	bin, err := c.h.open(c.i.Plugin, c.i.SHA256)
	if err != nil {
		return err
	}
	defer bin.Close()
	a, err := c.h.describe(ctx, bin)
	if err != nil {
		return err
	}
	if c.i.Unchecked {
		return fmt.Errorf("connector %s: %w", c.i.subject(), ErrUnchecked)
	}
	if problems := c.h.folderProblems(a, c.i.Settings); len(problems) > 0 {
		return &Rejected{problems}
	}
	policy, problems := a.policy(c.i.Settings, c.i.Hosts)
	if len(problems) > 0 {
		return &Rejected{problems}
	}
	policy.OwnNetwork, policy.Limits = c.i.OwnNetwork, c.i.Limits
	for setting, dir := range a.folders(c.i.Settings) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return &Rejected{[]connector.Problem{{Path: strings.Split(setting, "\x00"), Summary: "the folder cannot be made", Detail: err.Error()}}}
		}
		policy.Write = append(policy.Write, dir)
	}
	p, err := c.h.launch(ctx, bin, c.i.subject(), policy)
	if err != nil {
		return err
	}
	level := p.run.confinement()
	if err := enough(level, c.i.Require); err != nil {
		p.stop()
		return fmt.Errorf("connector %s: %w", c.i.subject(), err)
	}
	problems, err = p.configure(ctx, c.i.Settings)
	if err != nil {
		p.stop()
		return fmt.Errorf("configuring connector %s: %w: %w", c.i.subject(), ErrBroken, err)
	}
	for _, q := range problems {
		if q.Severity == connector.SeverityError {
			p.end()
			return &Rejected{problems}
		}
		c.h.o.Logger.Warn("a connector has something to say about its settings", "connector", c.i.subject(), "setting", strings.Join(q.Path, "."), "summary", q.Summary)
	}
	if weak := level.Weak(); weak != "" {
		c.h.o.Board.Raise(health.Problem{
			Code: "connector.sandbox", Severity: health.Warning, Summary: weak,
			Hint: "Run the appliance on Linux 6.12 or newer with Landlock switched on (lsm=landlock,..), and leave pidfd_getfd and process_vm_readv in the unit's SystemCallFilter.",
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.about, c.given, c.proc, c.sum, c.level = a, p.given, p, bin.sum, level
	c.set(Running, "")
	return nil
}

// set changes the state. The caller holds mu.
func (c *Connector) set(s State, err string) {
	if s != c.state {
		c.state, c.since = s, c.h.o.Now()
	}
	if err != "" || s == Running {
		c.err = err
	}
}

// takeProcess takes the process out of use, if there is one. why is what it is
// blamed for, nil if nothing.
func (c *Connector) takeProcess(why error) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.proc
	c.proc = nil
	if why != nil && c.state == Running {
		c.set(Restarting, connectorpb.Clean(why.Error(), connectorpb.MaxError))
	}
	return p
}

// Instance gives what was configured.
func (c *Connector) Instance() Instance { return c.i }

// Status says how the connector is.
func (c *Connector) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{
		Publisher: c.i.Publisher, Channel: c.i.Channel, Name: c.i.Name, Plugin: c.i.Plugin,
		State: c.state, Since: c.since, Restarts: c.restarts, Error: c.err, SHA256: c.sum,
		Sent: Sent{
			Accepted: c.sent[connector.Accepted].Load(), Refused: c.sent[connector.Refused].Load(),
			Again: c.sent[connector.Again].Load(), Unknown: c.sent[connector.Unknown].Load(),
		},
	}
	if c.about != nil {
		s.Version, s.Description, s.Sandbox = c.about.description.Version, c.about.description.Summary, c.level.String()
		s.Grade, s.Missing = c.level.Grade().String(), c.h.missing(c.level)
	}
	if c.proc != nil {
		s.Connections = c.proc.run.connections()
		c.proc.run.mu.Lock()
		s.PID = c.proc.run.pid
		c.proc.run.mu.Unlock()
		s.Unreachable = c.unreachable
	}
	return s
}

// missing says what the machine cannot give, "" if nothing.
func (h *Host) missing(l sandbox.Level) string {
	var all []string
	if weak := l.Weak(); weak != "" {
		all = append(all, weak)
	}
	if l.Group == "" && h.o.NoGroups != nil {
		all = append(all, fmt.Sprintf("%s: memory is bounded process by process, the processor by nothing", h.o.NoGroups))
	}
	return strings.Join(all, "; ")
}

// Check tries to reach the provider. One that does not run is started first,
// and the error is its own if it fails again.
func (c *Connector) Check(ctx context.Context) error {
	c.mu.Lock()
	before := c.failed
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	for {
		p, err := c.live()
		if err == nil {
			select { // it did not need waking
			case <-c.wake:
			default:
			}
			err := p.check(ctx)
			if err == nil {
				c.reached(nil)
			}
			return err
		}
		c.mu.Lock()
		failed := c.failed != before
		c.mu.Unlock()
		if failed || errors.Is(err, ErrClosed) {
			return fmt.Errorf("connector %s: %w", c.i.subject(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connector %s: %w", c.i.subject(), err)
		case <-c.gone:
			return fmt.Errorf("connector %s: %w", c.i.subject(), ErrClosed)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// live gives the process that takes calls now.
func (c *Connector) live() (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || c.draining:
		return nil, ErrClosed
	case c.proc == nil && c.err != "":
		return nil, fmt.Errorf("%w (%s): %s", ErrNotRunning, c.state, c.err)
	case c.proc == nil:
		return nil, fmt.Errorf("%w (%s)", ErrNotRunning, c.state)
	}
	return c.proc, nil
}

func (c *Connector) knows() *about {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.about
}

// Drain takes no more messages, waits for those that are being sent, lets the
// connector end what it began, and ends it. When ctx ends first the rest is cut
// off. The connector is closed afterwards, whatever is returned.
func (c *Connector) Drain(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.Close()
	}
	c.draining = true
	c.set(Draining, "")
	p := c.proc
	c.mu.Unlock()
	landed := make(chan struct{})
	go func() {
		c.flights.Wait()
		close(landed)
	}()
	var err error
	select {
	case <-landed:
		if p != nil {
			_, err = call(ctx, c.h.o.timing.drain, func(ctx context.Context) (*connectorpb.DrainReply, error) {
				return p.rpc.Drain(ctx, &connectorpb.DrainRequest{})
			})
			if err != nil {
				err = fmt.Errorf("draining connector %s: %w", c.i.subject(), rpcError(err))
			}
		}
	case <-ctx.Done():
		err = fmt.Errorf("draining connector %s: messages were still being sent: %w", c.i.subject(), ctx.Err())
	}
	err = errors.Join(err, c.Close())
	<-landed // the end of the process ended them
	return err
}

// Close ends the connector now and waits for it. What is being sent ends as
// unknown. It may be called again.
func (c *Connector) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.quit()
	}
	c.mu.Unlock()
	<-c.gone
	c.mu.Lock()
	c.set(Stopped, "")
	c.mu.Unlock()
	c.h.mu.Lock()
	delete(c.h.running, c)
	c.h.mu.Unlock()
	return nil
}
