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
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Verb is the argument by which the appliance's program knows that it was
// started as the helper.
const Verb = "plugin-exec"

// The helper's open files.
const (
	specFD   = 3 // the spec, JSON
	binaryFD = 4 // the program to become
	reportFD = 5 // the report, JSON; its end without an error means that the program runs
)

// Policy is what the program may do beyond reading the system's certificates,
// time zones and resolver configuration.
type Policy struct {
	Write   []string // folders, absolute; they must exist
	Network bool     // open network connections; listening is never allowed
	Limits  Limits
}

// Limits of the process; zero values take the defaults.
type Limits struct {
	Files  uint64 // open files; 1024
	Memory uint64 // bytes of data, counted as the kernel does for RLIMIT_DATA; 1 GiB
	File   uint64 // bytes of one file; 64 MiB
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
	return l
}

// Level is what confines a process in effect.
type Level struct {
	Landlock int  `json:"landlock"` // ABI; 0 = none, 4 rules TCP, 6 signals and abstract sockets
	Seccomp  bool `json:"seccomp"`
	// Profile is "static", or "dynamic" for what needs a loader or an
	// interpreter: it may then read and execute what is in /usr and /lib.
	Profile string `json:"profile"`
}

// String is for the console: "landlock 7, seccomp, static".
func (l Level) String() string {
	var parts []string
	if l.Landlock > 0 {
		parts = append(parts, fmt.Sprintf("landlock %d", l.Landlock))
	}
	if l.Seccomp {
		parts = append(parts, "seccomp")
	}
	if len(parts) == 0 {
		parts = append(parts, "none")
	}
	return strings.Join(append(parts, l.Profile), ", ")
}

// Weak says what of the confinement the kernel cannot give; "" if nothing.
func (l Level) Weak() string {
	switch {
	case l.Landlock == 0 && !l.Seccomp:
		return "the kernel has neither Landlock nor seccomp: connectors are not confined"
	case l.Landlock == 0:
		return "the kernel has no Landlock: connectors can read what the service's user can"
	case !l.Seccomp:
		return "the kernel has no seccomp filters: connectors can start processes"
	case l.Landlock < 4:
		return "the kernel's Landlock cannot rule TCP: connectors can listen on ports"
	}
	return ""
}

// spec is what the helper is told.
type spec struct {
	Argv   []string
	Env    []string
	Policy Policy
}

// report is what the helper says.
type report struct {
	Level Level
	Error string
}

// Command is a confined program about to be started.
type Command struct {
	// Cmd is the helper. The caller may set its standard streams and
	// SysProcAttr, and must start it and wait for it.
	Cmd *exec.Cmd

	spec, binary, reportW *os.File // the child's ends
	specW, report         *os.File
	body                  []byte
}

// NewCommand prepares binary, an open program file, to run with argv and env.
// binary stays the caller's; the rest is let go by Release.
func NewCommand(binary *os.File, argv, env []string, p Policy) (*Command, error) {
	p.Limits = p.Limits.withDefaults()
	body, err := json.Marshal(spec{Argv: argv, Env: env, Policy: p})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if len(body) > 48<<10 {
		return nil, errors.New("sandbox: the arguments and folders are past 48 KiB") // they must fit a pipe
	}
	c := &Command{binary: binary, body: body}
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
	return c, nil
}

// Started tells the helper what to become and waits until the program runs, or
// did not start. It is called once, after Cmd.Start succeeded.
func (c *Command) Started(timeout time.Duration) (Level, error) {
	c.spec.Close()
	c.reportW.Close()
	deadline := time.Now().Add(timeout)
	_ = c.specW.SetWriteDeadline(deadline)
	_, err := c.specW.Write(c.body)
	c.specW.Close()
	if err != nil {
		return Level{}, fmt.Errorf("sandbox: telling the helper what to start: %w", err)
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
	return last.Level, nil
}

// Release closes what is still open. It may be called at any time, and twice.
func (c *Command) Release() {
	for _, f := range []*os.File{c.spec, c.specW, c.report, c.reportW} {
		if f != nil {
			f.Close()
		}
	}
}
