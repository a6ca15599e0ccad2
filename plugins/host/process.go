package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// process is one running connector process and the connection to it.
type process struct {
	h      *Host
	name   string // for logs and errors
	run    *child
	client *plugin.Client
	conn   *grpc.ClientConn
	rpc    connectorpb.ConnectorClient
	health grpc_health_v1.HealthClient
	sum    string

	stopOnce sync.Once
}

// launch starts bin under a policy and shakes hands with it. name is the
// plugin's, or the instance's, for the log.
func (h *Host) launch(ctx context.Context, bin *binary, name string, policy sandbox.Policy) (_ *process, err error) {
	p := &process{h: h, name: name, sum: bin.sum}
	log := newRation(h.o.Logger.With("connector", name))
	p.run = &child{h: h, name: name, bin: bin, policy: policy, exited: make(chan struct{}), log: log}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			MagicCookieKey:   connectorpb.CookieKey,
			MagicCookieValue: connectorpb.CookieValue,
		},
		VersionedPlugins: map[int]plugin.PluginSet{
			connectorpb.ProtocolVersion: {connectorpb.PluginName: &dispensed{}},
		},
		// Checksums are not go-plugin's: it hashes a path and then executes
		// that path, whatever has become of it.
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
			p.run.env, p.run.dir = cmd.Env, dir
			return p.run, nil
		},
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: h.o.RunDir},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		SyncStdout:       &stream{log: log}, // what a Go connector prints comes by this way
		SyncStderr:       &stream{log: log},
		StartTimeout:     h.o.timing.start,
		Logger:           hclog.NewNullLogger(), // what is worth saying is said here
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(
				grpc.MaxCallRecvMsgSize(connectorpb.MaxMessage),
				grpc.MaxCallSendMsgSize(connectorpb.MaxMessage),
			),
			grpc.WithMaxHeaderListSize(64 << 10),
			grpc.WithStreamInterceptor(noStreams),
			grpc.WithDisableServiceConfig(),
		},
	})
	// go-plugin's Start and Client have no deadline but the handshake's: they
	// run beside us, and a kill from outside unblocks them.
	type started struct {
		client plugin.ClientProtocol
		err    error
	}
	answer := make(chan started, 1)
	go func() {
		c, err := p.client.Client()
		answer <- started{c, err}
	}()
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, h.o.timing.start+time.Second)
	defer cancel()
	var got started
	select {
	case got = <-answer:
	case <-ctx.Done():
		p.kill()
		select {
		case got = <-answer:
		case <-time.After(h.o.timing.kill):
		}
		if got.err == nil {
			got.err = ctx.Err()
		}
	}
	if got.err != nil {
		return nil, p.startError(got.err)
	}
	g, ok := got.client.(*plugin.GRPCClient)
	if !ok {
		return nil, fmt.Errorf("starting connector %q: %w: it does not speak gRPC", name, ErrBroken)
	}
	p.conn = g.Conn
	p.rpc = connectorpb.NewConnectorClient(g.Conn)
	p.health = grpc_health_v1.NewHealthClient(g.Conn)
	if err := bin.unchanged(); err != nil {
		h.o.Audit(Refusal{Plugin: filepath.Base(bin.path), Path: bin.path, SHA256: bin.sum, Err: err})
		return nil, fmt.Errorf("starting connector %q: %w", name, err)
	}
	if err := p.ping(ctx); err != nil {
		return nil, fmt.Errorf("starting connector %q: %w: it started, and then did not answer: %w", name, ErrBroken, err)
	}
	return p, nil
}

// startError says why a process did not come up: what it did, rather than
// what go-plugin noticed.
func (p *process) startError(err error) error {
	if own := p.run.failure(); own != nil {
		return fmt.Errorf("starting connector %q: %w", p.name, own)
	}
	p.run.await(time.Second)
	if state, ended := p.run.ended(); ended && (state.Exited() || !p.run.killed()) {
		return fmt.Errorf("starting connector %q: %w: it %s before it answered", p.name, ErrBroken, exitText(state))
	}
	return fmt.Errorf("starting connector %q: %w: %s", p.name, ErrBroken, connectorpb.Clean(err.Error(), connectorpb.MaxError))
}

// dispensed satisfies go-plugin, which wants to know what it could dispense.
type dispensed struct{ plugin.NetRPCUnsupportedPlugin }

func (*dispensed) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("host: this side only calls")
}

func (*dispensed) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("host: connectors are not dispensed")
}

// noStreams lets go-plugin open no stream but the one that carries standard
// output: its broker would let a connector make work and memory here without end.
func noStreams(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if method != "/plugin.GRPCStdio/StreamStdio" {
		return nil, status.Error(codes.Unimplemented, "not used here")
	}
	return streamer(ctx, desc, cc, method, opts...)
}

// call runs one rpc with a deadline of its own.
func call[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

func (p *process) ping(ctx context.Context) error {
	r, err := call(ctx, p.h.o.timing.ping, func(ctx context.Context) (*grpc_health_v1.HealthCheckResponse, error) {
		return p.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	})
	if err != nil {
		return rpcError(err)
	}
	if r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return errors.New("it says that it does not serve")
	}
	return nil
}

func (p *process) configure(ctx context.Context, s connector.Settings) ([]connector.Problem, error) {
	raw, err := connectorpb.EncodeSettings(s)
	if err != nil {
		return nil, err
	}
	r, err := call(ctx, p.h.o.timing.configure, func(ctx context.Context) (*connectorpb.ConfigureReply, error) {
		return p.rpc.Configure(ctx, &connectorpb.ConfigureRequest{SettingsJson: raw})
	})
	if err != nil {
		return nil, rpcError(err)
	}
	var problems []connector.Problem
	for _, q := range r.GetProblems()[:min(len(r.GetProblems()), 100)] {
		problems = append(problems, connectorpb.ToProblem(q))
	}
	return problems, nil
}

func (p *process) check(ctx context.Context) error {
	_, err := call(ctx, p.h.o.timing.check, func(ctx context.Context) (*connectorpb.CheckReply, error) {
		return p.rpc.Check(ctx, &connectorpb.CheckRequest{})
	})
	return rpcError(err)
}

// rpcError is a call's error in words, within bounds. It keeps the gRPC
// status, so that status.Code still reads it.
func rpcError(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	text := connectorpb.Clean(s.Message(), connectorpb.MaxError)
	if s.Code() == codes.DeadlineExceeded {
		text = "it did not answer in time"
	}
	return &callError{s.Code(), text}
}

type callError struct {
	code codes.Code
	text string
}

func (e *callError) Error() string              { return e.text }
func (e *callError) GRPCStatus() *status.Status { return status.New(e.code, e.text) }

// kill ends the whole process group now.
func (p *process) kill() { p.run.signal(syscall.SIGKILL) }

// stop ends the process, which may be gone already, and waits for everything
// that belonged to it. Killing comes first and go-plugin after: on a process
// that hangs its own Kill would hang too.
func (p *process) stop() {
	p.stopOnce.Do(func() {
		p.kill()
		p.run.await(p.h.o.timing.kill)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.client.Kill()
		}()
		select {
		case <-done:
		case <-time.After(p.h.o.timing.kill):
			p.h.o.Logger.Error("go-plugin does not let go of a process that was killed", "connector", p.name)
		}
	})
}

// end asks the process to end, and kills it if it does not.
func (p *process) end() {
	p.run.signal(syscall.SIGTERM)
	p.run.await(p.h.o.timing.term)
	p.stop()
}

// child is the process as go-plugin's runner.
type child struct {
	h      *Host
	name   string
	bin    *binary
	env    []string // set before Start, as dir is
	dir    string   // its own, for its socket
	policy sandbox.Policy
	log    *ration

	stdout *os.File
	logged chan struct{} // closed when standard error has been read to its end
	exited chan struct{} // closed when the process has ended

	mu    sync.Mutex
	pid   int
	dead  bool // waited for: pid may be another's by now
	shot  bool // killed by us
	state *os.ProcessState
	level sandbox.Level
	err   error // why it did not start
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) (err error) {
	defer func() {
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
		}
	}()
	policy := c.policy
	policy.Write = append(slices.Clone(policy.Write), c.dir)
	env := append(slices.Clone(c.env), "TMPDIR="+c.dir, "GOMEMLIMIT=256MiB")
	cmd, err := sandbox.NewCommand(c.bin.File, []string{c.bin.path}, env, policy)
	if err != nil {
		return err
	}
	defer cmd.Release()
	stdout, stdoutW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdoutW.Close()
	stderr, stderrW, err := os.Pipe()
	if err != nil {
		stdout.Close()
		return err
	}
	defer stderrW.Close()
	// Standard input stays nil, which is /dev/null: go-plugin would hand over ours.
	cmd.Cmd.Stdout, cmd.Cmd.Stderr = stdoutW, stderrW
	cmd.Cmd.Dir = "/"
	// Under the lock, so that a kill comes either before it, and there is no
	// process, or after it, and there is a process to kill.
	c.mu.Lock()
	if c.shot {
		err = errors.New("given up before it was started")
	} else if err = c.h.spawn.run(cmd.Cmd.Start); err == nil {
		c.pid, c.stdout, c.logged = cmd.Cmd.Process.Pid, stdout, make(chan struct{})
	}
	c.mu.Unlock()
	if err != nil {
		stdout.Close()
		stderr.Close()
		return err
	}
	stdoutW.Close()
	stderrW.Close()
	go func() {
		defer close(c.logged)
		c.log.read(stderr)
	}()
	go func() {
		_ = cmd.Cmd.Wait() // what it says is in the state
		c.mu.Lock()
		c.dead, c.state = true, cmd.Cmd.ProcessState
		c.mu.Unlock()
		close(c.exited)
		// What it still had to say is in the pipe; a descendant that holds the
		// pipe open is not waited for.
		select {
		case <-c.logged:
		case <-time.After(time.Second):
		}
		stderr.Close()
		stdout.Close()
		<-c.logged
	}()
	level, err := cmd.Started(c.h.o.timing.start)
	if err != nil {
		c.signal(syscall.SIGKILL)
		return err
	}
	c.mu.Lock()
	c.level = level
	c.mu.Unlock()
	return nil
}

// signal sends a signal to the process group, if the process is still there.
func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == syscall.SIGKILL && !c.dead {
		c.shot = true
	}
	if c.pid == 0 || c.dead {
		return
	}
	_ = syscall.Kill(-c.pid, s)
}

// await waits until the process has ended, at most for d.
func (c *child) await(d time.Duration) {
	c.mu.Lock()
	started := c.pid != 0
	c.mu.Unlock()
	if !started {
		return
	}
	select {
	case <-c.exited:
	case <-time.After(d):
	}
}

func (c *child) ended() (*os.ProcessState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.dead
}

func (c *child) killed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shot
}

func (c *child) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *child) confinement() sandbox.Level {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.level
}

// Wait implements runner.AttachedRunner.
func (c *child) Wait(context.Context) error {
	<-c.exited
	return nil
}

// Kill implements runner.AttachedRunner.
func (c *child) Kill(context.Context) error {
	c.signal(syscall.SIGKILL)
	return nil
}

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr implements runner.Runner. go-plugin gets nothing of it: it would log
// all that comes.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (c *child) Name() string { return c.name }

// ID implements runner.AttachedRunner. It is never empty, since go-plugin then
// would not remove its folder.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.Itoa(c.pid)
}

// Diagnose implements runner.Runner.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.AddrTranslator: a connector can make the
// appliance connect to a socket in its own folder, and to nothing else.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", errors.New("it asks to be reached by other means than a unix socket")
	}
	if filepath.Clean(address) != address || filepath.Dir(address) != c.dir {
		return "", "", errors.New("it asks to be reached outside its own folder")
	}
	info, err := os.Lstat(address)
	if err != nil {
		return "", "", fmt.Errorf("its socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return "", "", errors.New("what it says is its socket is something else")
	}
	if _, err := net.ResolveUnixAddr("unix", address); err != nil {
		return "", "", err
	}
	return network, address, nil
}

// HostToPlugin implements runner.AddrTranslator. Connectors call nothing here.
func (c *child) HostToPlugin(string, string) (string, string, error) {
	return "", "", errors.New("host: nothing here is reachable for a connector")
}
