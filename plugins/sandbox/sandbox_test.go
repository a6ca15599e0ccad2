package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the helper, and the confined program too.
func TestMain(m *testing.M) {
	Exec()
	if os.Getenv("SANDBOX_PROBE") != "" {
		probe()
		return
	}
	os.Exit(m.Run())
}

// probe says how each of the things that it tries went.
func probe() {
	out := map[string]string{}
	note := func(name string, err error) {
		out[name] = "done"
		if err != nil {
			out[name] = err.Error()
		}
	}
	raw := func(name string, number uintptr, a, b, c uintptr) {
		if _, _, errno := syscall.RawSyscall(number, a, b, c); errno != 0 {
			out[name] = errno.Error()
		} else {
			out[name] = "done"
		}
	}
	var l syscall.Rlimit
	for name, r := range map[string]int{"files": unix.RLIMIT_NOFILE, "memory": unix.RLIMIT_DATA, "file": unix.RLIMIT_FSIZE, "core": unix.RLIMIT_CORE, "signals": unix.RLIMIT_SIGPENDING} {
		syscall.Getrlimit(r, &l)
		out["limit of "+name] = fmt.Sprint(l.Cur, "/", l.Max)
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	note("score", err)
	if err == nil {
		out["score"] = strings.TrimSpace(string(score))
	}
	raw("socket inet", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	// The kernel looks at the lower half only, and so must the filter.
	raw("socket inet with a bit above", unix.SYS_SOCKET, unix.AF_INET|1<<32, unix.SOCK_STREAM, 0)
	raw("socket packet", unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)
	raw("socket alg", unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	raw("socket mptcp", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	raw("socket unix", unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0)
	raw("unshare", unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0)
	raw("ptrace", unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
	raw("io_uring", unix.SYS_IO_URING_SETUP, 1, 0, 0)
	raw("clone3", unix.SYS_CLONE3, 0, 0, 0)
	raw("setsid", unix.SYS_SETSID, 0, 0, 0)
	note("run itself again", exec.Command("/proc/self/exe").Run())
	_, err = os.ReadFile("/etc/passwd")
	note("read /etc/passwd", err)
	_, err = net.LookupHost("localhost")
	note("look up localhost", err)
	if to := os.Getenv("SANDBOX_PROBE_DIAL"); to != "" {
		c, err := net.DialTimeout("tcp", to, 5*time.Second)
		note("dial", err)
		if err == nil {
			c.Close()
		}
	}
	dir := os.Getenv("SANDBOX_PROBE")
	note("write", os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600))
	note("rename", os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "g")))
	note("link out", os.Symlink("/etc/shadow", filepath.Join(dir, "shadow")))
	note("write beside", os.WriteFile(dir+"-beside", []byte("x"), 0o600))
	if info, err := os.Stat(filepath.Join(dir, "g")); err == nil {
		out["mode"] = info.Mode().String()
	}
	out["env"] = strings.Join(os.Environ(), " ")
	out["args"] = strings.Join(os.Args, " ")
	// Threads must go on working, garbage collection and all.
	done := make(chan bool)
	for range 50 {
		go func() { runtime.LockOSThread(); runtime.GC(); done <- true }()
	}
	for range 50 {
		<-done
	}
	json.NewEncoder(os.Stdout).Encode(out)
}

// run runs this program confined and gives what it found.
func run(t *testing.T, p Policy, dir string, env ...string) (map[string]string, Level) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	c, err := NewCommand(self, []string{"probe", "arg"}, append([]string{"SANDBOX_PROBE=" + dir}, env...), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var stdout, stderr bytes.Buffer
	c.Cmd.Stdout, c.Cmd.Stderr = &stdout, &stderr
	c.Refused = func(to, why string) { t.Log("refused:", to, why) }
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	level, err := c.Started(time.Minute)
	defer c.Ended()
	if err != nil {
		t.Error(err)
	}
	if err := c.Cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	out := map[string]string{}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	return out, level
}

func TestConfined(t *testing.T) {
	dir := t.TempDir()
	got, level := run(t, Policy{Write: []string{dir}}, dir)
	t.Log(level)
	if level.Weak() != "" {
		t.Skip(level.Weak())
	}
	for name, want := range map[string]string{
		"limit of files": "1024/1024", "limit of memory": "1073741824/1073741824", "limit of file": "67108864/67108864", "limit of core": "1/1", "limit of signals": "1024/1024", "score": "500",
		"socket inet": "operation not permitted", "socket inet with a bit above": "operation not permitted",
		"socket packet": "operation not permitted", "socket alg": "operation not permitted", "socket unix": "done",
		"unshare": "operation not permitted", "ptrace": "operation not permitted", "io_uring": "operation not permitted",
		"clone3": "function not implemented", "setsid": "operation not permitted",
		"write": "done", "rename": "done", "mode": "-rw-------", "args": "probe arg", "env": "SANDBOX_PROBE=" + dir,
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	for _, name := range []string{"run itself again", "link out", "write beside"} {
		if got[name] == "done" {
			t.Errorf("%s: done", name)
		}
	}
	if level.Profile == "static" && got["read /etc/passwd"] == "done" {
		t.Error("read /etc/passwd: done")
	}
}

func TestNetwork(t *testing.T) {
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host, err := connector.ParseHost(listener.Addr().String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, level := run(t, Policy{Write: []string{dir}, Network: true, Hosts: []connector.Host{host}}, dir, "SANDBOX_PROBE_DIAL="+listener.Addr().String())
	t.Log(level, got)
	if level.Weak() != "" {
		t.Skip(level.Weak())
	}
	for name, want := range map[string]string{
		"socket inet": "done", "socket packet": "operation not permitted", "socket mptcp": "protocol not supported", "look up localhost": "done", "dial": "done",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}

// Where the kernel tells of no calls, the ports of what is listed are the most
// that there is, and with a host of every port nothing.
func TestWithoutSupervisor(t *testing.T) {
	was := supervisable
	supervisable = func() bool { return false }
	defer func() { supervisable = was }()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	for _, c := range []struct {
		hosts  []string
		egress string
		grade  Grade
		dial   string // begins
	}{
		{[]string{address}, EgressPorts, GradePorts, "done"},
		{[]string{"10.0.0.1:1"}, EgressPorts, GradePorts, "dial tcp"},
		{[]string{address, "*"}, EgressOpen, GradeFiles, "done"},
	} {
		p := Policy{Write: []string{dir}, Network: true}
		for _, s := range c.hosts {
			h, err := connector.ParseHost(s, 0)
			if err != nil {
				t.Fatal(err)
			}
			p.Hosts = append(p.Hosts, h)
		}
		got, level := run(t, p, dir, "SANDBOX_PROBE_DIAL="+address)
		if level.Egress != c.egress || level.Grade() != c.grade || level.Weak() == "" || !strings.HasPrefix(got["dial"], c.dial) {
			t.Errorf("%v: %s, %s, dial: %s", c.hosts, level, level.Grade(), got["dial"])
		}
		if got["socket packet"] != "operation not permitted" {
			t.Errorf("%v: socket packet: %s", c.hosts, got["socket packet"])
		}
	}
	if _, level := run(t, Policy{}, dir); level.Egress != EgressNone || level.Grade() != GradeHosts {
		t.Errorf("without network: %s", level)
	}
}

func TestWithoutPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("run as somebody already")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A place that everybody can reach, for a user who owns nothing.
	dir, err := os.MkdirTemp("/tmp", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	raw, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "test"), raw, 0o755)
	}
	if err == nil {
		err = os.Chown(dir, 65534, 65534)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run=^TestConfined$", "-test.v")
	cmd.Env = []string{"TMPDIR=" + dir}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestConfined")) {
		t.Errorf("%v: %s", err, out)
	}
}

// Scripts and dynamic programs run too, with their interpreter's libraries.
func TestScript(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho hello from $1\necho x >/tmp/cloister-escaped && echo escaped\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := NewCommand(f, []string{path, "a"}, nil, Policy{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var out bytes.Buffer
	c.Cmd.Stdout, c.Cmd.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	level, err := c.Started(time.Minute)
	if err != nil || level.Profile != "script" {
		t.Errorf("%v, %v", level, err)
	}
	_ = c.Cmd.Wait()
	if s := out.String(); !strings.Contains(s, "hello from") || (level.Landlock > 0 && strings.Contains(s, "escaped\n") && !strings.Contains(s, "ermission")) {
		t.Errorf("%s", s)
	}
}

func TestDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) *os.File {
		f, err := os.CreateTemp(dir, "program")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(content)
		f.Close()
		if err == nil {
			err = os.Chmod(f.Name(), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		f, err = os.Open(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for name, tc := range map[string]struct {
		f    *os.File
		p    Policy
		says string
	}{
		"text":            {file("hello, this is no program"), Policy{}, "neither a Linux program nor a script"},
		"empty":           {file(""), Policy{}, "reading the connector"},
		"no such folder":  {self, Policy{Write: []string{filepath.Join(dir, "missing")}}, "restricting files"},
		"missing loader":  {file("#!/no/such/interpreter\n"), Policy{}, "executing the connector"},
		"half a program":  {file("\x7fELF"), Policy{}, "neither"},
		"damaged program": {file("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 200)), Policy{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewCommand(tc.f, []string{"x"}, nil, tc.p, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Release()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			_, err = c.Started(time.Minute)
			_ = c.Cmd.Wait()
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
	if _, err := NewCommand(self, []string{strings.Repeat("x", 100<<10)}, nil, Policy{}, nil); err == nil {
		t.Error("arguments without end: no error")
	}
}

// The collector closes files that nobody holds, the program among them.
func TestStartsWhateverTheCollectorDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Much to do between looking at the program and executing it.
	policy := Policy{Write: slices.Repeat([]string{filepath.Dir(path)}, 400)}
	for range 20 {
		c, err := NewCommand(f, []string{path}, nil, policy, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Cmd.Env = append(c.Cmd.Env, "GOGC=1")
		err = c.Start()
		if err == nil {
			_, err = c.Started(time.Minute)
			_ = c.Cmd.Wait()
		}
		c.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLevel(t *testing.T) {
	for _, c := range []struct {
		l     Level
		text  string
		weak  bool
		grade Grade
	}{
		{Level{Landlock: 7, Seccomp: true, Egress: EgressNone, Threads: true, Profile: "static"}, "landlock 7, seccomp, no network, static", false, GradeHosts},
		{Level{Landlock: 7, Seccomp: true, Egress: EgressHosts, Threads: true, Profile: "static"}, "landlock 7, seccomp, listed hosts only, static", false, GradeHosts},
		{Level{Landlock: 7, Seccomp: true, Egress: EgressPorts, Threads: true, Profile: "static"}, "landlock 7, seccomp, listed ports of any host, static", true, GradePorts},
		{Level{Landlock: 7, Seccomp: true, Egress: EgressOpen, Threads: true, Profile: "python"}, "landlock 7, seccomp, any host, python", true, GradeFiles},
		{Level{Landlock: 5, Seccomp: true, Egress: EgressHosts, Threads: true, Profile: "static"}, "landlock 5, seccomp, listed hosts only, static", true, GradeFiles},
		{Level{Landlock: 2, Seccomp: true, Egress: EgressNone, Threads: true, Profile: "dynamic"}, "landlock 2, seccomp, no network, dynamic", true, GradeNone},
		{Level{Landlock: 0, Seccomp: true, Egress: EgressHosts, Threads: true, Profile: "static"}, "seccomp, listed hosts only, static", true, GradeNone},
		{Level{Landlock: 7, Seccomp: false, Egress: EgressOpen, Threads: true, Profile: "static"}, "landlock 7, any host, static", true, GradeNone},
		{Level{Landlock: 0, Seccomp: false, Egress: EgressOpen, Threads: true, Profile: "static"}, "none, any host, static", true, GradeNone},
	} {
		if c.l.String() != c.text || (c.l.Weak() != "") != c.weak || c.l.Grade() != c.grade {
			t.Errorf("%+v: %q, %q, %s", c.l, c.l.String(), c.l.Weak(), c.l.Grade())
		}
	}
}
