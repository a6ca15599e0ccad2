package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
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
	given  Given // once configured

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
	p.run.await(p.h.o.timing.kill) // go-plugin kills what it could not start
	if state, ended := p.run.ended(); ended && (state.Exited() || !p.run.killed()) {
		return fmt.Errorf("starting connector %q: %w: it %s before it answered", p.name, ErrBroken, p.run.ending())
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
		return nil, p.insteadOf(rpcError(err))
	}
	var problems []connector.Problem
	for _, q := range r.GetProblems()[:min(len(r.GetProblems()), 100)] {
		problems = append(problems, connectorpb.ToProblem(q))
	}
	p.given.WebPushKey = connectorpb.Clean(r.GetWebPushKey(), 128)
	for _, d := range r.GetMailDomains()[:min(len(r.GetMailDomains()), 100)] {
		p.given.MailDomains = append(p.given.MailDomains, connectorpb.Clean(d, 255))
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

// insteadOf is a call's error or, if the process ended over the call, how it did:
// that says more than a connection that is gone.
func (p *process) insteadOf(err error) error {
	if status.Code(err) != codes.Unavailable {
		return err
	}
	p.run.await(p.h.o.timing.kill)
	if _, ended := p.run.ended(); !ended {
		return err
	}
	return fmt.Errorf("it %s", p.run.ending())
}

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
			if _, ended := p.run.ended(); ended {
				if err := empty(p.run.dir); err != nil {
					p.h.o.Logger.Warn("a connector's folder for its socket is not removed", "connector", p.name, "error", err)
				}
			}
			p.client.Kill() // it removes the folder, too
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
