package sandbox

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Exec must be the first call of main, and of TestMain in tests that start
// connectors. In an ordinary start it returns at once; in a process that was
// started as the helper it never returns.
func Exec() {
	if len(os.Args) != 2 || os.Args[1] != Verb {
		return
	}
	out := os.NewFile(reportFD, "report")
	level, err := become(out)
	// Reached only if nothing was executed.
	_ = json.NewEncoder(out).Encode(report{Level: level, Error: err.Error()})
	os.Exit(1)
}

// become turns the helper into the program. It returns only an error.
func become(out *os.File) (Level, error) {
	// Capabilities, signals on the parent's death and the executing itself are
	// matters of one thread.
	runtime.LockOSThread()
	var level Level
	var s spec
	in := os.NewFile(specFD, "spec")
	if err := json.NewDecoder(io.LimitReader(in, 64<<10)).Decode(&s); err != nil {
		return level, fmt.Errorf("reading what to start: %w (%q is not a command for people)", err, Verb)
	}
	if len(s.Argv) == 0 {
		return level, errors.New("reading what to start: no arguments")
	}
	// Held until the end: a file that the collector takes is closed, and then
	// there would be nothing left to execute.
	binary := os.NewFile(binaryFD, "binary")
	defer runtime.KeepAlive(binary)
	kind, err := inspect(binary)
	if err != nil {
		return level, err
	}
	if level.Profile, err = profile(binary, kind); err != nil {
		return level, err
	}
	if err := closeFiles(kind == script); err != nil {
		return level, fmt.Errorf("closing files: %w", err)
	}
	syscall.Umask(0o077)
	if err := limit(s.Policy.Limits); err != nil {
		return level, err
	}
	firstToGo()
	if err := dropCapabilities(); err != nil {
		return level, err
	}
	supervised := s.Notify && notifies()
	if level.Landlock, level.Egress, err = restrictFiles(s.Policy, kind, supervised); err != nil {
		return level, err
	}
	if level.Seccomp, err = restrictCalls(s.Policy, level.Landlock); err != nil {
		return level, err
	}
	if !level.Seccomp {
		// Without the filter everything but TCP is open, and without a
		// supervisor's filter TCP too.
		level.Egress, supervised = EgressOpen, false
	}
	if s.Policy.OwnNetwork && s.Policy.Network && !supervised {
		return level, errors.New("a network of its own needs a supervisor, which the kernel or the service's unit does not allow")
	}
	level.OwnNetwork = s.Policy.OwnNetwork
	if level.Threads = supervised; supervised {
		// From here on this thread connects to nothing; only it will be left.
		fd, err := notify(s.Policy)
		if err != nil {
			return level, err
		}
		if err := handOver(notifyFD, fd); err != nil {
			return level, err
		}
	}
	if err := json.NewEncoder(out).Encode(report{Level: level}); err != nil {
		return level, fmt.Errorf("reporting: %w", err)
	}
	err = syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", binaryFD), s.Argv, s.Env)
	return level, fmt.Errorf("executing the connector: %w", err)
}

// kind is how a program is loaded.
type kind int

const (
	static kind = iota
	dynamic
	script
)

// inspect says how binary is loaded: by the kernel alone, with a loader, or by
// an interpreter.
func inspect(binary *os.File) (kind, error) {
	var head [2]byte
	if _, err := binary.ReadAt(head[:], 0); err != nil {
		return static, fmt.Errorf("reading the connector: %w", err)
	}
	if string(head[:]) == "#!" {
		return script, nil
	}
	f, err := elf.NewFile(binary)
	if err != nil {
		return static, fmt.Errorf("the connector is neither a Linux program nor a script: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return dynamic, nil
		}
	}
	return static, nil
}

// profile names what a program needs beside itself.
func profile(binary *os.File, k kind) (string, error) {
	switch k {
	case static:
		return "static", nil
	case dynamic:
		return "dynamic", nil
	}
	head := make([]byte, 256) // as much as the kernel reads
	n, err := binary.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the connector: %w", err)
	}
	line, _, _ := strings.Cut(string(head[2:n]), "\n")
	words := strings.Fields(line)
	for len(words) > 0 && (filepath.Base(words[0]) == "env" || strings.HasPrefix(words[0], "-")) {
		words = words[1:]
	}
	switch {
	case len(words) > 0 && strings.HasPrefix(filepath.Base(words[0]), "python"):
		return "python", nil
	case len(words) > 0 && strings.HasPrefix(filepath.Base(words[0]), "node"):
		return "node", nil
	}
	return "script", nil
}

// closeFiles lets nothing but the standard streams, and for a script the
// script itself, reach the program.
func closeFiles(keepBinary bool) error {
	if err := unix.CloseRange(specFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		// Before Linux 5.11.
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		for _, e := range entries {
			var fd int
			if _, err := fmt.Sscan(e.Name(), &fd); err == nil && fd >= specFD {
				unix.CloseOnExec(fd)
			}
		}
	}
	if keepBinary {
		if _, err := unix.FcntlInt(binaryFD, unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return nil
}

func limit(l Limits) error {
	for _, r := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"open files", unix.RLIMIT_NOFILE, l.Files},
		{"memory", unix.RLIMIT_DATA, l.Memory},
		{"file size", unix.RLIMIT_FSIZE, l.File},
		// Not 0: a core that goes to a program is written whatever the limit is, but
		// for 1 (core(5)), and it would hold messages and their addresses.
		{"core files", unix.RLIMIT_CORE, 1},
		// Of the user's, among whom the daemon is: signals that wait.
		{"signals", unix.RLIMIT_SIGPENDING, 1024},
	} {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(r.resource, &now); err != nil {
			return fmt.Errorf("limit of %s: %w", r.name, err)
		}
		v := min(r.value, now.Max)
		// Through package syscall, which else puts the old limit of open files
		// back when it executes.
		if err := syscall.Setrlimit(r.resource, &syscall.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("limit of %s: %w", r.name, err)
		}
	}
	return nil
}

// firstToGo makes the program one of the first that the kernel ends when memory
// is short: it would else inherit what spares the daemon. Where /proc cannot be
// written nothing was spared either.
func firstToGo() {
	const path, first = "/proc/self/oom_score_adj", 500
	if raw, err := os.ReadFile(path); err == nil {
		if now, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && now < first {
			_ = os.WriteFile(path, []byte(strconv.Itoa(first)), 0)
		}
	}
}

// Of linux/securebits.h: user 0 gets no capabilities by executing, and that
// cannot be undone.
const noRoot = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// dropCapabilities makes sure that the program has none, also when the
// appliance runs as root.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("dropping capabilities: %w", err)
	} else if err != nil && os.Geteuid() == 0 {
		return fmt.Errorf("dropping root's capabilities: %w", err)
	}
	// What was inherited would survive, so nothing is.
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&head, &data[0]); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	return nil
}

// What a program in any language reads of the system.
var (
	readable = []string{
		"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
		"/usr/share/zoneinfo", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
		"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
		"/proc/self", "/dev/urandom", "/dev/random",
	}
	// What loaders and interpreters need as well.
	libraries = []string{
		"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives", "/etc/python3", "/etc/passwd",
	}
)

const (
	readFile  = landlock.AccessFSSet(ll.AccessFSReadFile)
	readDir   = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	execFile  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSExecute)
	execDir   = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSExecute)
	device    = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSWriteFile)
	writeable = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSRemoveFile | ll.AccessFSRemoveDir | ll.AccessFSMakeReg | ll.AccessFSMakeDir | ll.AccessFSMakeSock)
)

// restrictFiles applies Landlock as far as the kernel has it, and says how far,
// and what holds connections then if seccomp does the rest.
func restrictFiles(p Policy, k kind, supervised bool) (abi int, egress string, err error) {
	switch {
	case !p.Network:
		egress = EgressNone
	case supervised:
		egress = EgressHosts
	default:
		egress = EgressOpen
	}
	abi, err = ll.LandlockGetABIVersion()
	if err != nil || abi <= 0 {
		return 0, egress, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // seccomp wants it
	}
	config := landlock.V11
	var rules []landlock.Rule
	// Whose connections a supervisor makes needs none of its own. Else the ports
	// of what is listed are the most that there is; a name server is needed too.
	if egress == EgressOpen {
		if ports, ok := portsOf(p.Hosts); ok && abi >= 4 {
			egress = EgressPorts
			for _, port := range ports {
				rules = append(rules, landlock.ConnectTCP(port))
			}
		} else {
			config.HandledAccessNet = landlock.AccessNetSet(ll.AccessNetBindTCP)
		}
	}
	rules = append(rules, []landlock.Rule{
		landlock.PathAccess(execFile, fmt.Sprintf("/proc/self/fd/%d", binaryFD)),
		landlock.PathAccess(device, "/dev/null"),
	}...)
	rules = append(rules, allow(readable, readFile, readDir)...)
	if k != static {
		rules = append(rules, allow(libraries, execFile, execDir)...)
	}
	for _, dir := range p.Write {
		rules = append(rules, landlock.PathAccess(writeable, dir))
	}
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return 0, egress, fmt.Errorf("restricting files: %w", err)
	}
	return min(abi, 11), egress, nil
}

// portsOf gives the ports of hosts and of name servers. It says false if there
// is a host of which every port is listed.
func portsOf(hosts []connector.Host) ([]uint16, bool) {
	ports := []uint16{nameServer}
	for _, h := range hosts {
		if h.Port == 0 {
			return nil, false
		}
		ports = append(ports, h.Port)
	}
	return ports, true
}

// allow gives access to those of the paths that are there.
func allow(paths []string, file, dir landlock.AccessFSSet) []landlock.Rule {
	var rules []landlock.Rule
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		if info.IsDir() {
			rules = append(rules, landlock.PathAccess(dir, path))
		} else {
			rules = append(rules, landlock.PathAccess(file, path))
		}
	}
	return rules
}
