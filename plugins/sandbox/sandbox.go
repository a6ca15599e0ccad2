// Package sandbox starts a program confined to what a connector needs. The
// appliance's own program becomes the connector: it is started again as
// "plugin-exec", takes away from itself what the connector must not have, and
// executes the connector in its place.
//
// Taken away, in this order: open files, limits (open files, memory, file
// sizes, cores), capabilities, the gaining of privileges, the file system but
// for what Policy names (Landlock), the network if Policy says so, and the
// system calls that start processes or reach into the kernel (seccomp).
//
// Failure rules: what an old kernel lacks is left out and said in the Level;
// what the kernel has and refuses fails the start. Nothing is executed unless
// the whole helper succeeded. The file that is executed is the open file that
// was given, never a path.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Verb is the argument by which the appliance's program knows that it was
// started as the helper.
const Verb = "plugin-exec"

// The helper's open files.
const (
	specFD   = 3 // the spec, JSON
	binaryFD = 4 // the program to become
	reportFD = 5 // the report, JSON; its end without an error means that the program runs
	notifyFD = 6 // a unix socket, over which the supervisor gets the filter's listener; if Policy.Notify
)

// Policy is what the program may do beyond reading the system's certificates,
// time zones and resolver configuration.
type Policy struct {
	Write   []string         // folders, absolute; they must exist
	Network bool             // open TCP connections; listening is never allowed
	Hosts   []connector.Host // to which; what is not here is not reached. Without Network it means nothing.
	// OwnNetwork puts the program into a network namespace of its own, without
	// any device: what it reaches goes through sockets that the supervisor makes.
	OwnNetwork bool
	Limits     Limits
}

// ErrNamespace means that the program can have no network namespace: the
// kernel, or the service's unit, lets this user make none.
var ErrNamespace = errors.New("no network namespace can be made (the kernel's user.max_user_namespaces, or RestrictNamespaces in the service's unit)")

// Limits of the process; zero values take the defaults.
type Limits struct {
	Files   uint64 // open files; 1024
	Memory  uint64 // bytes of data, counted as the kernel does for RLIMIT_DATA; 1 GiB
	File    uint64 // bytes of one file; 64 MiB
	Threads uint64 // where a supervisor or a control group can count them; 512
	// Processor is how many processors it may use; 0 = all. It takes a control group.
	Processor float64
}

func (l Limits) withDefaults() Limits {
	if l.Files == 0 {
		l.Files = 1024
	}
	if l.Memory == 0 {
		l.Memory = 1 << 30
	}
	if l.File == 0 {
		l.File = 64 << 20
	}
	if l.Threads == 0 {
		l.Threads = 512
	}
	return l
}

// spec is what the helper is told.
type spec struct {
	Argv   []string
	Env    []string
	Policy Policy
	Notify bool // there is a supervisor
}

// report is what the helper says.
type report struct {
	Level Level
	Error string
}

// Command is a confined program about to be started.
type Command struct {
	// Cmd is the helper. The caller may set its standard streams and directory,
	// and must wait for it.
	Cmd *exec.Cmd
	// Resolver looks up the listed names; nil = net.DefaultResolver.
	Resolver Resolver
	// Refused is told of what the program wanted to connect to and may not, each
	// once and the first few only; it may be called concurrently. nil = nobody is.
	Refused func(to, why string)

	policy                         Policy
	group                          *Group
	spec, binary, reportW, notifyC *os.File // the child's ends
	specW, report, notify          *os.File
	body                           []byte
	pidfd                          int
	supervisor                     *supervisor // nil = there is none
}

// NewCommand prepares binary, an open program file, to run with argv and env, in
// a control group unless that is nil. binary and group stay the caller's; the
// rest is let go by Release, and by Ended.
func NewCommand(binary *os.File, argv, env []string, p Policy, group *Group) (*Command, error) {
	p.Limits = p.Limits.withDefaults()
	if group != nil && strings.Contains(group.bounds, "memory") {
		// What is used is bounded by the group; the limit counts what is asked for,
		// which runtimes do in advance.
		p.Limits.Memory *= 2
	}
	supervised := supervisable()
	body, err := json.Marshal(spec{Argv: argv, Env: env, Policy: p, Notify: supervised})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if len(body) > 48<<10 {
		return nil, errors.New("sandbox: the arguments and folders are past 48 KiB") // they must fit a pipe
	}
	c := &Command{binary: binary, body: body, policy: p, group: group, pidfd: -1}
	if c.spec, c.specW, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if c.report, c.reportW, err = os.Pipe(); err != nil {
		c.Release()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	c.Cmd = &exec.Cmd{
		// Not the path of the running program: an upgrade may have replaced it.
		Path:        "/proc/self/exe",
		Args:        []string{"cloister", Verb},
		Env:         []string{"GODEBUG=" + os.Getenv("GODEBUG")},
		ExtraFiles:  []*os.File{c.spec, c.binary, c.reportW},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if p.OwnNetwork {
		ownNetwork(c.Cmd.SysProcAttr)
	}
	if supervised {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			c.Release()
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		c.notify, c.notifyC = os.NewFile(uintptr(pair[0]), "notify"), os.NewFile(uintptr(pair[1]), "notify")
		c.Cmd.ExtraFiles = append(c.Cmd.ExtraFiles, c.notifyC)
		c.Cmd.SysProcAttr.PidFD = &c.pidfd
	}
	return c, nil
}

// ownNetwork asks for a network namespace; for somebody else than root in a
// user namespace, in which the user is who they are.
func ownNetwork(a *syscall.SysProcAttr) {
	a.Cloneflags |= syscall.CLONE_NEWNET
	if uid := os.Geteuid(); uid != 0 {
		gid := os.Getegid()
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
}

// Start starts the helper. Its error wraps ErrNamespace if that is what fails.
// It must be called on a thread that lives as long as the program should.
func (c *Command) Start() error {
	err := c.Cmd.Start()
	if err != nil && c.policy.OwnNetwork && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)) {
		return fmt.Errorf("sandbox: %w: %w", ErrNamespace, err)
	}
	return err
}

// Started tells the helper what to become and waits until the program runs, or
// did not start. It is called once, after Start succeeded.
func (c *Command) Started(timeout time.Duration) (Level, error) {
	c.spec.Close()
	c.reportW.Close()
	deadline := time.Now().Add(timeout)
	// The helper waits for what follows: whatever the program does, it does in the
	// group. Being born there (CLONE_INTO_CGROUP) needs clone3, which the unit's
	// RestrictNamespaces takes away.
	if c.group != nil {
		if err := c.group.take(c.Cmd.Process.Pid); err != nil {
			return Level{}, err
		}
	}
	_ = c.specW.SetWriteDeadline(deadline)
	_, err := c.specW.Write(c.body)
	c.specW.Close()
	if err != nil {
		return Level{}, fmt.Errorf("sandbox: telling the helper what to start: %w", err)
	}
	if c.notify != nil {
		c.notifyC.Close()
		if err := c.watch(deadline); err != nil {
			return Level{}, err
		}
	}
	_ = c.report.SetReadDeadline(deadline)
	raw, err := io.ReadAll(io.LimitReader(c.report, 64<<10))
	if err != nil {
		return Level{}, fmt.Errorf("sandbox: waiting for the helper: %w", err)
	}
	var last report
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	n := 0
	for ; ; n++ {
		var r report
		if err := dec.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			return Level{}, fmt.Errorf("sandbox: the helper's report: %w", err)
		}
		if r.Error != "" {
			return r.Level, fmt.Errorf("sandbox: %s", r.Error)
		}
		last = r
	}
	if n == 0 {
		return Level{}, errors.New("sandbox: the helper ended without a report; does main call sandbox.Exec first?")
	}
	if c.group != nil {
		last.Level.Group = c.group.bounds
	}
	return last.Level, nil
}

// watch begins to supervise the process, if the helper could have it so. What
// went wrong in the helper is in its report.
func (c *Command) watch(deadline time.Time) error {
	fd, err := takeOver(c.notify, c.pidfd, deadline)
	if err != nil {
		return fmt.Errorf("sandbox: waiting for the helper: %w", err)
	}
	if fd < 0 {
		return nil
	}
	resolver, refused := c.Resolver, c.Refused
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	if refused == nil {
		refused = func(string, string) {}
	}
	n := newNames(c.policy.Hosts, resolver, nameServers("/etc/resolv.conf"), time.Now)
	c.supervisor, err = supervise(listener(fd), c.pidfd, c.policy.Limits.Threads, n, refused)
	if err != nil {
		unix.Close(fd)
		return err
	}
	c.pidfd = -1 // the supervisor's now
	return nil
}

// Connections counts what the program wanted to connect to. It may be called
// at any time after Started.
func (c *Command) Connections() Connections {
	if c.supervisor == nil {
		return Connections{}
	}
	return Connections{Made: c.supervisor.made.Load(), Denied: c.supervisor.denied.Load()}
}

// Ended lets go of what the running program needed, and waits for it. It is
// called once the program has ended, after Started has returned.
func (c *Command) Ended() {
	if c.supervisor != nil {
		c.supervisor.close()
	}
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// Release closes what starting needed. It may be called at any time, and twice.
func (c *Command) Release() {
	for _, f := range []*os.File{c.spec, c.specW, c.report, c.reportW, c.notify, c.notifyC} {
		if f != nil {
			f.Close()
		}
	}
}
