package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

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
	group  *sandbox.Group
	logged chan struct{} // closed when standard error has been read to its end
	exited chan struct{} // closed when the process has ended and the log has what it said

	mu    sync.Mutex
	pid   int
	dead  bool // waited for: pid may be another's by now
	shot  bool // killed by us
	state *os.ProcessState
	over  string // the limit that it ran into, in words
	level sandbox.Level
	cmd   *sandbox.Command // nil until it runs
	err   error            // why it did not start
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
	// The C library then asks for names over TCP, which is all that there is.
	env := append(slices.Clone(c.env), "TMPDIR="+c.dir, "GOMEMLIMIT="+collectAt(policy.Limits.Memory), "RES_OPTIONS=use-vc")
	if c.group, err = c.h.o.Groups.New(c.name, policy.Limits); err != nil {
		return err
	}
	running := false
	defer func() {
		if !running {
			c.endGroup()
		}
	}()
	cmd, err := sandbox.NewCommand(c.bin.File, []string{c.bin.path}, env, policy, c.group)
	if err != nil {
		return err
	}
	defer cmd.Release()
	cmd.Resolver = c.h.o.Resolver
	cmd.Refused = func(to, why string) {
		c.h.o.Logger.Warn("a connector wanted to reach what it may not", "connector", c.name, "to", connectorpb.Clean(to, 100), "why", why)
	}
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
	} else if err = c.h.spawn.run(cmd.Start); err == nil {
		c.pid, c.stdout, c.logged = cmd.Cmd.Process.Pid, stdout, make(chan struct{})
	}
	c.mu.Unlock()
	if err != nil {
		stdout.Close()
		stderr.Close()
		return err
	}
	running = true
	stdoutW.Close()
	stderrW.Close()
	go func() {
		defer close(c.logged)
		c.log.read(stderr)
	}()
	confined := make(chan struct{}) // Started has returned
	go func() {
		_ = cmd.Cmd.Wait() // what it says is in the state
		over := c.group.Exceeded()
		c.mu.Lock()
		c.dead, c.state, c.over = true, cmd.Cmd.ProcessState, over
		c.mu.Unlock()
		<-confined
		cmd.Ended()
		c.endGroup()
		// What it still had to say is in the pipe, and in the log before anybody
		// hears that it ended; a descendant that holds the pipe open is not waited
		// for.
		select {
		case <-c.logged:
		case <-time.After(time.Second):
		}
		stderr.Close()
		stdout.Close()
		<-c.logged
		close(c.exited)
	}()
	level, err := cmd.Started(c.h.o.timing.start)
	close(confined)
	if err != nil {
		c.signal(syscall.SIGKILL)
		return err
	}
	c.mu.Lock()
	c.level, c.cmd = level, cmd
	c.mu.Unlock()
	return nil
}

func (c *child) endGroup() {
	if err := c.group.End(); err != nil {
		c.h.o.Logger.Warn("a connector's control group is not removed", "connector", c.name, "error", err)
	}
}

// collectAt is the memory at which Go collects eagerly, for a process that may
// hold so many bytes; 0 = the usual.
func collectAt(memory uint64) string {
	const usual = 256 << 20
	if most := memory / 4 * 3; memory > 0 && most < usual {
		return strconv.FormatUint(most, 10)
	}
	return strconv.Itoa(usual)
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

// ending says how the process ended, and which limit it ran into.
func (c *child) ending() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != "" {
		return exitText(c.state) + ": " + c.over
	}
	return exitText(c.state)
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

// connections counts what the process wanted to connect to.
func (c *child) connections() sandbox.Connections {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return sandbox.Connections{}
	}
	return c.cmd.Connections()
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
func (c *child) Stdout() io.ReadCloser { return newSlow(c.stdout) }

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
