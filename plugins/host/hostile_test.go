package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// hostileProgram builds testdata/hostile, or takes it from HOSTILE_PROGRAM: for
// a user who can build nothing.
func hostileProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hostile")
	if ready := os.Getenv("HOSTILE_PROGRAM"); ready != "" {
		raw, err := os.ReadFile(ready)
		if err == nil {
			err = os.WriteFile(path, raw, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	cmd := exec.Command("go", "build", "-o", path, "./testdata/hostile")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the hostile connector: %v: %s", err, out)
	}
	return path
}

// book is a resolver that answers from a table and notes what it was asked.
type book struct {
	names map[string]string
	mu    sync.Mutex
	asked []string
}

func (b *book) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	b.mu.Lock()
	b.asked = append(b.asked, host)
	b.mu.Unlock()
	a, err := netip.ParseAddr(b.names[host])
	if err != nil || network == "ip6" != a.Is6() && network != "ip" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{a}, nil
}

// counted is a listener that counts who came.
func counted(t *testing.T, address string) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-gone })
	return l.Addr().String(), &n
}

// attempt is one thing that the hostile connector tries.
type attempt struct {
	what    string // in words
	try     string
	stopped string // how it ends in the sandbox begins: "" = it is allowed
	by      string // what stops it
	// alone is how it ends without a sandbox: "" = it is done; "refused" = it is
	// this user, kernel or machine that cannot, so that it proves little here.
	alone string
	root  bool // without a sandbox, only root can
}

func TestHostile(t *testing.T) {
	program := hostileProgram(t)
	t.Setenv("MASTER_SECRET", "hush")
	data, box := t.TempDir(), filepath.Join(t.TempDir(), "box")
	key := filepath.Join(data, "master.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	// As the daemon's own: a unix socket that asks the service's user for nothing.
	sockets, err := os.MkdirTemp("/tmp", "adm")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	admin := filepath.Join(sockets, "admin.sock")
	for _, address := range []string{admin, fmt.Sprintf("@hostile-%d", os.Getpid())} {
		l, err := net.Listen("unix", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	journal := filepath.Join(sockets, "log.sock")
	gram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: journal, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer gram.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	const escaped = "/tmp/cloister-escaped"
	defer os.Remove(escaped)
	everybodys := fmt.Sprintf("/dev/shm/cloister-hostile-%d", os.Getpid())
	defer os.Remove(everybodys)
	listed, _ := counted(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(listed)
	otherHost, otherCame := counted(t, "127.0.0.2:"+port)
	otherPort, portCame := counted(t, "127.0.0.1:0")

	names := &book{names: map[string]string{
		"localhost": "127.0.0.1", "relay.example": "127.0.0.2", "meta.example": "169.254.169.254", "a.push.example": "10.0.0.1",
	}}
	r := newRig(t, Options{Resolver: names}, "good")
	if err := os.Rename(program, filepath.Join(r.dir, "hostile")); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(r.dir, "hostile")
	good := instance("good")
	good.Name = "neighbour"
	neighbours := filepath.Join(t.TempDir(), "theirs")
	good.Settings = connector.Settings{"dir": neighbours}
	neighbour, err := r.Start(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(neighbours, "mail")
	if err := os.WriteFile(theirs, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	theirSockets, _ := filepath.Glob(filepath.Join(r.o.RunDir, "plugin-dir*", "plugin*"))
	if len(theirSockets) != 1 {
		t.Fatalf("the neighbour's sockets: %v", theirSockets)
	}
	if err := os.Mkdir(box, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(key, filepath.Join(box, "way-out")); err != nil {
		t.Fatal(err)
	}
	i := instance("hostile")
	i.Settings = connector.Settings{"dir": box, "reach": []string{
		listed, "localhost:" + port, "relay.example:" + port, "meta.example:80", "*.push.example:" + port,
	}}
	c, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	level := c.Status().Sandbox
	if !strings.HasPrefix(level, "landlock") || !strings.Contains(level, "listed hosts only") {
		t.Fatalf("this kernel confines by %q only", level)
	}

	daemon, other := strconv.Itoa(os.Getpid()), strconv.Itoa(neighbour.Status().PID)
	here := strings.TrimPrefix(fmt.Sprintf("%p", &level), "0x")
	const landlock, filter, supervisor, limits = "Landlock", "seccomp", "the supervisor", "limits"
	for _, group := range []struct {
		name string
		all  []attempt
	}{
		{"what it may", []attempt{
			{what: "write to its own folder", try: "write " + box + "/own"},
			{what: "read it again", try: "read " + box + "/own"},
			{what: "read the system's certificates", try: "list /etc/ssl"},
			{what: "connect to a listed address", try: "dial " + listed},
			{what: "connect to it with a socket that blocks", try: "dialblocking " + listed},
			{what: "connect to a listed name", try: "dial localhost:" + port},
			{what: "ask for a listed name", try: "ask 127.0.0.1:53 localhost 1", alone: "refused"},
		}},
		{"files", []attempt{
			{what: "read the master key", try: "read " + key, stopped: "EACCES", by: landlock},
			{what: "list the data directory", try: "list " + data, stopped: "EACCES", by: landlock},
			{what: "read the master key by a symlink in its folder", try: "read " + box + "/way-out", stopped: "EACCES", by: landlock},
			{what: "make a symlink out of its folder", try: "symlink " + key + " " + box + "/link", stopped: "EACCES", by: landlock},
			{what: "link the master key into its folder", try: "link " + key + " " + box + "/hard", stopped: "EXDEV", by: landlock},
			{what: "move the master key into its folder", try: "rename " + key + " " + box + "/moved", stopped: "EACCES", by: landlock, alone: "later"},
			{what: "write into the data directory", try: "write " + data + "/new", stopped: "EACCES", by: landlock},
			{what: "remove the master key", try: "remove " + key, stopped: "EACCES", by: landlock, alone: "later"},
			{what: "make the master key readable for everybody", try: "chmod " + key, stopped: "EPERM", by: filter},
			{what: ".. by the newer call", try: "chmod2 " + key, stopped: "EPERM", by: filter},
			{what: "change the master key's times", try: "utimes " + key, stopped: "EPERM", by: filter},
			{what: "give the master key an attribute", try: "xattr " + key, stopped: "EPERM", by: filter},
			{what: "cut the master key short", try: "truncate " + key, stopped: "EPERM", by: filter + ", Landlock", alone: "later"},
			{what: "watch the data directory", try: "watch " + data, stopped: "EPERM", by: filter},
			{what: "read a neighbour's folder", try: "read " + theirs, stopped: "EACCES", by: landlock},
			{what: "write a program into the connectors' folder", try: "write " + filepath.Join(r.dir, "new"), stopped: "EACCES", by: landlock},
			{what: "write its own program", try: "append /proc/self/exe", stopped: "ETXTBSY", by: "the kernel: it runs", alone: "ETXTBSY"},
			{what: "read the users of the machine", try: "read /etc/passwd", stopped: "EACCES", by: landlock},
			{what: "write to /tmp", try: "write " + escaped, stopped: "EACCES", by: landlock},
			{what: "hold up who opens a file of its folder", try: "lease " + box + "/held", stopped: "EPERM", by: filter},
			{what: "write into the memory that is everybody's", try: "write " + everybodys, stopped: "EACCES", by: landlock},
			{what: "read the kernel's messages", try: "read /proc/kmsg", stopped: "EACCES", by: landlock, alone: "later"},
			{what: "become a program that it wrote", try: "become " + box + "/program", stopped: "EACCES", by: landlock},
			{what: "make a fifo", try: "fifo " + box + "/fifo", stopped: "EACCES", by: landlock},
		}},
		{"processes", []attempt{
			{what: "find more in its environment than its own", try: "environment", stopped: "empty", by: "the helper"},
			{what: "find an open file that is not its own", try: "descriptors", stopped: "none", by: "the helper", alone: "refused"},
			{what: "read the daemon's environment", try: "read /proc/" + daemon + "/environ", stopped: "EACCES", by: landlock},
			{what: "read a neighbour's environment", try: "read /proc/" + other + "/environ", stopped: "EACCES", by: landlock},
			{what: "open the daemon's memory", try: "append /proc/" + daemon + "/mem", stopped: "EACCES", by: landlock},
			{what: "open a neighbour's memory", try: "append /proc/" + other + "/mem", stopped: "EACCES", by: landlock},
			{what: "read the daemon's memory", try: "memory " + daemon + " " + here, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "trace the daemon", try: "ptrace " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "trace a neighbour", try: "ptrace " + other, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "take an open file of the daemon", try: "stealfd " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "signal the daemon", try: "signal " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "signal the daemon's thread", try: "tgsignal " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: ".. by the old call", try: "tsignal " + daemon, stopped: "EPERM", by: landlock},
			{what: "signal the daemon by a handle", try: "pidfdsignal " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "signal a neighbour", try: "signal " + other, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "have the kernel signal the daemon when a file is readable", try: "fileowner " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: ".. by the newer call", try: "fileownerthread " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: ".. by a socket's call", try: "socketowner " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "live on when the daemon dies", try: "outlive", stopped: "EPERM", by: filter},
			{what: "write into the daemon's memory", try: "memorywrite " + daemon + " " + here, stopped: "EPERM", by: filter + ", Landlock"},
			{what: "compare itself with the daemon", try: "compare " + daemon, stopped: "EPERM", by: filter},
			{what: "keep a processor's other half for itself", try: "corescheduling", stopped: "EPERM", by: filter, alone: "refused"},
			{what: "type on the daemon's terminal", try: "terminal", stopped: "EACCES", by: landlock, alone: "refused"},
			{what: "signal everybody", try: "signalall", stopped: "EPERM", by: filter},
			{what: "change the daemon's limits", try: "limit " + daemon, stopped: "EPERM", by: filter},
			{what: "pin the daemon to a processor", try: "affinity " + daemon, stopped: "EPERM", by: filter},
			{what: "change the daemon's priority", try: "nice " + daemon, stopped: "EPERM", by: filter},
			{what: "start a program", try: "run /bin/true", stopped: "EPERM", by: filter + ", Landlock"},
			{what: "start itself once more", try: "fork", stopped: "EPERM", by: filter},
			{what: "leave its process group", try: "setsid", stopped: "EPERM", by: filter},
			{what: "become a user", try: "setuid", stopped: "EPERM", by: filter},
			{what: "share memory with other programs of the user", try: "shm", stopped: "EPERM", by: filter},
			{what: ".. a semaphore", try: "semaphore", stopped: "EPERM", by: filter},
			{what: ".. messages", try: "messages", stopped: "EPERM", by: filter},
			{what: ".. a queue", try: "queue", stopped: "EPERM", by: filter},
		}},
		{"network", []attempt{
			{what: "connect to the daemon's admin socket", try: "unix " + admin, stopped: "EACCES", by: supervisor},
			{what: "connect to a neighbour's socket", try: "unix " + theirSockets[0], stopped: "EACCES", by: supervisor},
			{what: "connect to an abstract unix socket", try: fmt.Sprintf("unix @hostile-%d", os.Getpid()), stopped: "EACCES", by: supervisor + ", Landlock"},
			{what: "send to a datagram unix socket", try: "unixgram " + journal, stopped: "EPROTONOSUPPORT", by: filter},
			{what: "connect to a host that is not listed", try: "dial " + otherHost, stopped: "EACCES", by: supervisor},
			{what: ".. with a socket that blocks", try: "dialblocking " + otherHost, stopped: "EACCES", by: supervisor},
			{what: "connect to another port of a listed host", try: "dial " + otherPort, stopped: "EACCES", by: supervisor},
			{what: "connect to the metadata address", try: "dial 169.254.169.254:80", stopped: "EACCES", by: supervisor, alone: "unanswered"},
			{what: ".. as IPv6 writes it", try: "dial [::ffff:169.254.169.254]:80", stopped: "EACCES", by: supervisor, alone: "unanswered"},
			{what: ".. as NAT64 writes it", try: "dial [64:ff9b::a9fe:a9fe]:80", stopped: "EACCES", by: supervisor, alone: "unanswered"},
			{what: "connect to the machine as 0.0.0.0", try: "dial 0.0.0.0:" + portOf(otherPort), stopped: "EACCES", by: supervisor},
			{what: ".. as ::ffff:127.0.0.1", try: "dial [::ffff:127.0.0.1]:" + portOf(otherPort), stopped: "EACCES", by: supervisor},
			{what: "connect to the metadata address by a listed name that leads there", try: "dial meta.example:80", stopped: "dial tcp: lookup", by: "the resolver", alone: "unanswered"},
			{what: "connect to the machine by a listed name that leads there", try: "dial relay.example:" + port, stopped: "dial tcp: lookup", by: "the resolver", alone: "unanswered"},
			{what: "connect inside by a name below a wildcard", try: "dial a.push.example:" + port, stopped: "dial tcp: lookup", by: "the resolver", alone: "unanswered"},
			{what: "look up a name that is not listed", try: "lookup secret-data.evil.example", stopped: "lookup", by: "the resolver", alone: "unanswered"},
			{what: "carry data out in questions to a name server, by TCP", try: "ask 127.0.0.1:53 secret-data.evil.example 16", stopped: "RCodeNameError", by: "the resolver", alone: "refused"},
			{what: ".. by UDP", try: "udp 127.0.0.1:53", stopped: "EPROTONOSUPPORT", by: filter},
			{what: "send a datagram", try: "udp " + udp.LocalAddr().String(), stopped: "EPROTONOSUPPORT", by: filter},
			{what: "change the address while it is looked at, 3000 times", try: "race " + listed + " " + otherPort, stopped: "", by: supervisor},
			{what: "open a raw socket", try: "socket 2 3 1", stopped: "EPROTONOSUPPORT", by: filter, root: true},
			{what: "open a packet socket", try: "socket 17 3 0", stopped: "EPERM", by: filter, root: true},
			{what: "open a pair of a cluster's sockets (TIPC)", try: "pair 30", stopped: "EPERM", by: filter, alone: "refused"},
			{what: "open a netlink socket", try: "socket 16 3 0", stopped: "EPERM", by: filter},
			{what: "open a socket to a hypervisor", try: "socket 40 1 0", stopped: "EPERM", by: filter, alone: "refused"},
			{what: "open an SCTP socket", try: "socket 2 1 132", stopped: "EPROTONOSUPPORT", by: filter, alone: "refused"},
			{what: "open an MPTCP socket", try: "socket 2 1 262", stopped: "EPROTONOSUPPORT", by: filter, alone: "refused"},
			{what: "send before it is connected (fast open)", try: "fastopen " + otherHost, stopped: "EPERM", by: filter},
			{what: ".. by the other call", try: "fastopenmsg " + otherHost, stopped: "EPERM", by: filter},
			{what: "have the connection made by what it sends", try: "deferred", stopped: "EPERM", by: filter},
			{what: "route by way of a third", try: "sourceroute", stopped: "EPERM", by: filter, root: true},
			{what: "listen", try: "listen", stopped: "EACCES", by: landlock},
			{what: "listen without an address", try: "listenunbound", stopped: "EACCES", by: supervisor},
		}},
		{"the kernel", []attempt{
			{what: "mount", try: "mount", stopped: "EPERM", by: filter, root: true},
			{what: "leave a namespace", try: "unshare", stopped: "EPERM", by: filter, root: true},
			{what: "make a user namespace", try: "userns", stopped: "EPERM", by: filter},
			{what: "enter the daemon's namespace", try: "setns " + daemon, stopped: "EPERM", by: filter, root: true},
			{what: "change the root", try: "chroot", stopped: "EPERM", by: filter, root: true},
			{what: "use kernel keys", try: "keyctl", stopped: "EPERM", by: filter},
			{what: "keep a kernel key", try: "addkey", stopped: "EPERM", by: filter},
			{what: "load a BPF map", try: "bpf", stopped: "EPERM", by: filter, root: true},
			{what: "use io_uring", try: "iouring", stopped: "EPERM", by: filter},
			{what: "handle page faults", try: "userfaultfd", stopped: "EPERM", by: filter, root: true},
			{what: "count events of the processor", try: "perf", stopped: "EPERM", by: filter, root: true},
			{what: "make a call newer than the filter", try: "newcall", stopped: "ENOSYS", by: filter, alone: "EFAULT"},
			{what: "call by other numbers (x32)", try: "othernumbers", stopped: "ENOSYS", by: filter, alone: "refused"},
		}},
		{"more than its share", []attempt{
			{what: "write a file of 65 MiB", try: "file " + box, stopped: "EFBIG", by: limits},
			{what: "map 2 GiB", try: "hog", stopped: "ENOMEM", by: limits},
			{what: "map 2 GiB of shared memory", try: "hogshared", stopped: "ENOMEM", by: filter},
			{what: "keep the supervisor busy", try: "calls", stopped: "slowed down", by: supervisor},
			{what: "flood its standard output", try: "flood", stopped: "slowed down", by: "the host"},
			{what: "map 2 GiB as a stack", try: "hogstack", stopped: "ENOMEM", by: filter},
			{what: ".. as a stack of return addresses", try: "shadowstack", stopped: "EPERM", by: filter, alone: "refused"},
			{what: "be killed later than others when memory is short", try: "oom", stopped: "EACCES", by: landlock},
			{what: "have everybody's files written to disk", try: "sync", stopped: "EPERM", by: filter},
			{what: ".. of one file system", try: "syncfs", stopped: "EPERM", by: filter},
			{what: "have memory as a file", try: "memfd", stopped: "EPERM", by: filter},
			{what: "open 1100 files", try: "files", stopped: "EMFILE", by: limits},
		}},
	} {
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "it tries to\twithout a sandbox\tin it\tby\tfrom grade\n")
		for _, a := range group.all {
			before := otherCame.Load() + portCame.Load()
			got := ask(t, c, a.try)
			came := otherCame.Load() + portCame.Load() - before
			switch {
			case strings.HasPrefix(a.try, "race"):
				if came != 0 || !strings.Contains(got, "connections made") || strings.HasPrefix(got, "0 ") {
					t.Errorf("%s: %s, and %d came where nobody may", a.what, got, came)
				}
			case a.stopped == "" && got != "done":
				t.Errorf("%s: %s, want it done", a.what, got)
			case !strings.HasPrefix(got, a.stopped):
				t.Errorf("%s: %s, want %s", a.what, got, a.stopped)
			}
			alone := "not tried: it would succeed"
			if a.alone != "later" {
				raw, err := exec.Command(program, "--try", a.try).Output()
				if err != nil {
					t.Fatal(err)
				}
				alone = strings.TrimSpace(string(raw))
				switch {
				case strings.HasPrefix(a.try, "race"):
					if otherCame.Load()+portCame.Load() == before {
						t.Error("the race is lost without a sandbox too: it proves nothing")
					}
				case a.alone == "refused", a.root && os.Getuid() != 0:
				case a.alone == "unanswered":
					if strings.HasPrefix(alone, "EACCES") || strings.HasPrefix(alone, "EPERM") {
						t.Errorf("%s without a sandbox: %s: it proves nothing", a.what, alone)
					}
				case a.alone == "" && alone != "done", !strings.HasPrefix(alone, a.alone):
					t.Errorf("%s without a sandbox: %s: it proves nothing", a.what, alone)
				}
			}
			by, from := a.by, held(group.name, a.by)
			if by == "" {
				by, from = "allowed", "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.what, brief(alone), brief(got), by, from)
		}
		w.Flush()
		t.Logf("%s, at grade %s: %s\n%s", group.name, c.Status().Grade, level, b.String())
	}
	raw, err := exec.Command(program, "--try", "pace "+listed).Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a connection takes %s without a sandbox, %s in it", strings.TrimSpace(string(raw)), ask(t, c, "pace "+listed))
	// Nothing of what is not listed was ever asked outside.
	names.mu.Lock()
	for _, n := range names.asked {
		if strings.Contains(n, "evil") || !slices.Contains([]string{"localhost", "relay.example", "meta.example", "a.push.example"}, n) {
			t.Errorf("the name %q was asked for", n)
		}
	}
	names.mu.Unlock()
	// What it tried is in the log, for the operator.
	for _, want := range []string{otherHost, admin, "secret-data.evil.example"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say that it wanted %s", want)
		}
	}
	// The last of it ends the program, as Go does that gets no thread or memory.
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "it tries to\tin it\tby\tfrom grade\n")
	for _, a := range []struct{ what, try, logs, by, from string }{
		{"have 600 threads", "threads", "failed to create new OS thread", supervisor, "hosts"},
		{"hold memory without end", "hold", "out of memory", limits + ", and a control group's", "none"},
	} {
		eventually(t, "it runs", func() bool { return c.Check(short(t)) == nil })
		m := messages(1)
		m[0].Text = a.try
		if outs, err := c.Send(short(t), m); err == nil {
			t.Errorf("%s: %+v", a.what, outs)
		}
		eventually(t, "the log says: "+a.logs, func() bool { return strings.Contains(r.log.String(), a.logs) })
		eventually(t, "it is ended", func() bool { return strings.Contains(r.log.String(), "it ended with exit code 2") })
		fmt.Fprintf(w, "%s\tended, started again\t%s\t%s\n", a.what, a.by, a.from)
	}
	w.Flush()
	t.Logf("what ends it\n%s", b.String())
	if err := neighbour.Check(short(t)); err != nil || neighbour.Status().Restarts != 0 {
		t.Errorf("the neighbour suffered: %v", err)
	}
}

// held is the grade from which on an attempt is stopped by one of those that by
// names: where two do, the one that needs less counts.
func held(group, by string) string {
	least := sandbox.GradeHosts
	for _, part := range strings.Split(by, ", ") {
		grade := sandbox.GradeNone // limits, the helper, the host
		switch {
		case part == "the supervisor", part == "the resolver":
			grade = sandbox.GradeHosts
		case part == "Landlock" && group == "network":
			grade = sandbox.GradePorts
		case part == "Landlock", part == "seccomp":
			grade = sandbox.GradeFiles
		}
		least = min(least, grade)
	}
	return least.String()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// brief is an answer's first word, which is the error's name if it has one.
func brief(s string) string {
	if first, _, ok := strings.Cut(s, " "); ok && first == strings.ToUpper(first) {
		return first
	}
	if i := strings.Index(s, "no such host"); i >= 0 {
		return "no such host"
	}
	if len(s) > 40 {
		return s[:40]
	}
	return s
}
