package host

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// ask has a connector try something and gives what it says of it.
func ask(t *testing.T, c *Connector, what string) string {
	t.Helper()
	m := messages(1)
	m[0].Text = what
	outs, err := c.Send(short(t), m)
	if err != nil {
		t.Fatal(err)
	}
	return outs[0].Reason
}

func TestConfinement(t *testing.T) {
	t.Setenv("MY_SECRET", "hush")
	r := newRig(t, Options{}, "confined", "network")
	box, outside := filepath.Join(t.TempDir(), "box"), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	i := instance("confined")
	i.Settings = connector.Settings{"dir": box}
	c, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	if level := c.Status().Sandbox; !strings.HasPrefix(level, "landlock") || !strings.Contains(level, "seccomp") {
		t.Skipf("this kernel confines by %q only", level)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, try := range []struct{ what, want string }{
		{"write " + filepath.Join(box, "file"), "done"},
		{"read " + filepath.Join(box, "file"), "done"},
		{"read /etc/resolv.conf", "done"},
		{"read " + secret, "refused"},
		{"write " + filepath.Join(outside, "file"), "refused"},
		{"write /tmp/cloister-escaped", "refused"},
		{"read /etc/shadow", "refused"},
		{"read /proc/" + strconv.Itoa(os.Getpid()) + "/environ", "refused"},
		{"write " + filepath.Join(r.dir, "confined"), "refused"},
		{"run /bin/true", "refused"},
		{"dial " + listener.Addr().String(), "refused"},
		{"listen", "refused"},
		{"signal", "refused"},
		{"caps", "caps NoNewPrivs:1 Seccomp:2"},
	} {
		got := ask(t, c, try.what)
		if try.what == "caps" {
			got = strings.Replace(got, "CapEff:0000000000000000 ", "", 1)
		}
		if !strings.HasPrefix(got, try.want) {
			t.Errorf("%s: %s, want %s", try.what, got, try.want)
		}
	}
	if env := ask(t, c, "env"); strings.Contains(env, "hush") || strings.Contains(env, "HOME=") || strings.Contains(env, "PATH=") {
		t.Errorf("environment: %s", env)
	}
	for _, f := range strings.Fields(ask(t, c, "fds")) {
		if !strings.HasPrefix(f, "pipe:") && !strings.HasPrefix(f, "socket:") && f != "/dev/null" {
			t.Errorf("it holds %s", f)
		}
	}
	// One that says that it needs the network has it, and still cannot listen.
	host, err := connector.ParseHost(listener.Addr().String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	i = instance("network")
	i.Hosts = []connector.Host{host}
	n, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, n, "dial "+listener.Addr().String()); got != "done" {
		t.Errorf("dialling with the network: %s", got)
	}
	if got := ask(t, n, "listen"); !strings.HasPrefix(got, "refused") {
		t.Errorf("listening: %s", got)
	}
}

// A connector is refused where it cannot be confined as is required.
func TestRequired(t *testing.T) {
	r := newRig(t, Options{}, "network")
	host, err := connector.ParseHost("*:443", 0)
	if err != nil {
		t.Fatal(err)
	}
	i := instance("network")
	i.Hosts, i.Require = []connector.Host{host}, sandbox.GradeHosts
	c, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); s.Grade != "hosts" || s.Missing != "" {
		t.Errorf("status %+v", s)
	}
	if problems, err := r.Validate(t.Context(), "network", i.Settings, "hosts"); err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if _, err := r.Validate(t.Context(), "network", i.Settings, "perfect"); err == nil {
		t.Error("a grade that there is not: no error")
	}
	i.Name, i.Require = "second", sandbox.GradeHosts+1 // what no machine gives
	if _, err := r.Start(t.Context(), i); !errors.Is(err, ErrWeak) {
		t.Errorf("started: %v", err)
	}
}

// A connector in a network of its own reaches what is listed, and nothing else.
func TestOwnNetwork(t *testing.T) {
	r := newRig(t, Options{Resolver: &book{names: map[string]string{"localhost": "127.0.0.1"}}}, "network", "good")
	listed, came := counted(t, "127.0.0.1:0")
	other, otherCame := counted(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(listed)
	i := instance("network")
	i.OwnNetwork = true
	for _, h := range []string{listed, "localhost:" + port} {
		host, err := connector.ParseHost(h, 0)
		if err != nil {
			t.Fatal(err)
		}
		i.Hosts = append(i.Hosts, host)
	}
	c, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); !strings.Contains(s.Sandbox, "own network") || s.Grade != "hosts" {
		t.Errorf("status %+v", s)
	}
	for _, try := range []struct{ what, want string }{
		{"dial " + listed, "done"}, {"dial localhost:" + port, "done"}, {"dial " + other, "refused"}, {"listen", "refused"},
	} {
		if got := ask(t, c, try.what); !strings.HasPrefix(got, try.want) {
			t.Errorf("%s: %s, want %s", try.what, got, try.want)
		}
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.Readlink("/proc/" + strconv.Itoa(c.Status().PID) + "/ns/net")
	if err != nil || here == there {
		t.Errorf("it is in our network %s, %s: %v", here, there, err)
	}
	if came.Load() != 2 || otherCame.Load() != 0 {
		t.Errorf("%d and %d came", came.Load(), otherCame.Load())
	}
	i = instance("good")
	i.Name, i.OwnNetwork = "without", true
	if c, err = r.Start(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if s := c.Status().Sandbox; !strings.Contains(s, "no network") || !strings.Contains(s, "own network") {
		t.Errorf("one without network: %s", s)
	}
}

// A daemon that is killed takes its connectors with it.
func TestOrphans(t *testing.T) {
	if dir := os.Getenv("HOST_ORPHAN_DIR"); dir != "" {
		orphan(dir)
	}
	dir := t.TempDir()
	install(t, dir, "good")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("/tmp", "run")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(run)
	cmd := exec.Command(self, "-test.run=^TestOrphans$")
	cmd.Env = append(os.Environ(), "HOST_ORPHAN_DIR="+dir, "HOST_ORPHAN_RUN="+run)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for in := bufio.NewScanner(out); in.Scan(); {
		if s, ok := strings.CutPrefix(in.Text(), "connector runs as "); ok {
			pid, _ = strconv.Atoi(s)
			break
		}
	}
	if pid == 0 {
		t.Fatal("no connector was started")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "the connector's end", func() bool {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(raw), ") Z ") // nobody may be there to bury it
	})
}

// orphan is the daemon that will be killed.
func orphan(dir string) {
	h, err := Open(Options{Dirs: []string{dir}, RunDir: os.Getenv("HOST_ORPHAN_RUN")})
	if err != nil {
		panic(err)
	}
	c, err := h.Start(context.Background(), instance("good"))
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("connector runs as " + strconv.Itoa(c.Status().PID) + "\n")
	time.Sleep(time.Hour)
}

func TestCacheOnDisk(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "data", "connectors")
	r := newRig(t, Options{CacheDir: cache}, "good")
	// Whoever starts the daemon with a wrong configuration, as root perhaps, leaves nothing.
	if _, err := os.Stat(filepath.Dir(cache)); err == nil {
		t.Error("opening made the data directory")
	}
	if _, _, err := r.Describe(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(cache, "connector.v1-*.json"))
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	again := newRig(t, Options{CacheDir: cache}, "good")
	install(t, again.dir, "elsewhere")
	began := time.Now()
	d, s, err := again.Describe(t.Context(), "good")
	if err != nil || d.Name != "good" || len(s.Settings) != 6 || s.Settings[2].Default != "0s" {
		t.Errorf("%+v, %+v, %v", d, s, err)
	}
	t.Logf("described in %s without a process", time.Since(began))
	// A damaged one is asked for again.
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := newRig(t, Options{CacheDir: cache}, "good")
	if d, _, err := third.Describe(t.Context(), "good"); err != nil || d.Name != "good" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(Options{}); err == nil {
		t.Error("no folder for sockets: no error")
	}
	if _, err := Open(Options{RunDir: filepath.Join(t.TempDir(), strings.Repeat("long", 30))}); err == nil || !strings.Contains(err.Error(), "sockets take at most") {
		t.Errorf("a long path: %v", err)
	}
	run, err := os.MkdirTemp("/tmp", "run")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(run)
	os.Mkdir(filepath.Join(run, "plugin-dir123"), 0o700)
	h, err := Open(Options{RunDir: run})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(run); len(left) != 0 {
		t.Errorf("left of an earlier daemon: %v", left)
	}
	h.Close()
	h.Close()
	if _, err := h.Start(t.Context(), instance("good")); err == nil {
		t.Error("started after Close")
	}
	if _, err := h.StartLater(instance("good")); err == nil {
		t.Error("adopted after Close")
	}
}
