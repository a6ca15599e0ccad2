package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// service makes a folder that has the files of a delegated control group.
func service(t *testing.T, controllers string, procs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"cgroup.controllers": controllers + "\n", "cgroup.procs": strings.Join(procs, "\n") + "\n", "cgroup.subtree_control": ""} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func all(string) bool { return true }

func TestOpenGroups(t *testing.T) {
	for _, c := range []struct {
		name, controllers string
		procs             []string
		delegated         bool
		says              string
	}{
		{"as the unit delegates", "cpu memory pids", []string{"41"}, true, ""},
		{"without a processor's", "io memory pids", []string{"41"}, true, ""},
		{"not ours", "cpu memory pids", []string{"41"}, false, "none is delegated; the unit needs Delegate="},
		{"no controller that is used", "io misc", []string{"41"}, true, "no controller is delegated"},
		{"others are in it", "memory", []string{"40", "41"}, true, "other processes"},
		{"we are not", "memory", []string{"40"}, true, "other processes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := service(t, c.controllers, c.procs...)
			g, err := openGroups(dir, 41, func(string) bool { return c.delegated })
			if c.says != "" {
				if !errors.Is(err, ErrNoGroups) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want it to say %q", err, c.says)
				}
				if _, err := os.Stat(filepath.Join(dir, daemonGroup)); err == nil {
					t.Error("it changed what it does not use")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace("+memory +pids +cpu", " +cpu", map[bool]string{true: " +cpu", false: ""}[strings.Contains(c.controllers, "cpu")], 1)
			for file, want := range map[string]string{
				"daemon/cgroup.procs": "41", "cgroup.subtree_control": want, "connectors/cgroup.subtree_control": want,
			} {
				if raw, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(raw) != want {
					t.Errorf("%s: %q, %v, want %q", file, raw, err, want)
				}
			}
			if got := g.bounds(); got != strings.Join([]string{"memory", "threads", "processor"}[:strings.Count(want, "+")], ", ") {
				t.Errorf("bounds %q", got)
			}
		})
	}
	if _, err := openGroups(filepath.Join(t.TempDir(), "none"), 41, all); !errors.Is(err, ErrNoGroups) {
		t.Errorf("a group that is not there: %v", err)
	}
	// As ProtectControlGroups=yes leaves it, where the machine lets us have it so.
	dir := service(t, "memory", "41")
	if err := os.Chmod(dir, 0o500); err == nil && os.Geteuid() != 0 {
		if _, err := openGroups(dir, 41, all); !errors.Is(err, ErrNoGroups) || !strings.Contains(err.Error(), "ProtectControlGroups=no") {
			t.Errorf("one that cannot be changed: %v", err)
		}
	}
}

func TestGroupLimits(t *testing.T) {
	g, err := openGroups(service(t, "cpu memory pids", "41"), 41, all)
	if err != nil {
		t.Fatal(err)
	}
	one, err := g.New("acme/email/Main Relay", Limits{Memory: 256 << 20, Processor: 1.5})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(one.dir) != "acme-email--ain--elay.1" || filepath.Dir(one.dir) != g.dir {
		t.Errorf("it is %s", one.dir)
	}
	if err := one.take(77); err != nil {
		t.Error(err)
	}
	for file, want := range map[string]string{
		"memory.max": "268435456", "memory.oom.group": "1", "pids.max": "512", "cpu.max": "150000 100000", "cgroup.procs": "77",
	} {
		if raw, err := os.ReadFile(filepath.Join(one.dir, file)); err != nil || string(raw) != want {
			t.Errorf("%s: %q, %v, want %q", file, raw, err, want)
		}
	}
	two, err := g.New("x", Limits{Threads: 8})
	if err != nil || two.dir == one.dir {
		t.Errorf("a second: %v, %v", two, err)
	}
	if raw, err := os.ReadFile(filepath.Join(two.dir, "memory.max")); err != nil || string(raw) != "1073741824" {
		t.Errorf("memory.max %q, %v", raw, err)
	}
	if _, err := os.Stat(filepath.Join(two.dir, "cpu.max")); err == nil {
		t.Error("a share of the processor that nobody asked for")
	}
	for _, c := range []struct{ file, text, want string }{
		{"memory.events", "low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\n", ""},
		{"pids.events", "max 0\n", ""},
		{"pids.events", "max 3\n", "it wanted more than 512 threads and processes"},
		{"memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n", "it held more than 256 MiB of memory, so the kernel ended it"},
	} {
		if err := os.WriteFile(filepath.Join(one.dir, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := one.Exceeded(); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.file, c.text, got, c.want)
		}
	}
	var none *Groups
	nothing, err := none.New("x", Limits{})
	if nothing != nil || err != nil || nothing.Exceeded() != "" || nothing.End() != nil {
		t.Error("without groups")
	}
}

// What the kernel does: what is left in a group is ended, and the group removed.
func TestGroupEnds(t *testing.T) {
	mount := ""
	for _, dir := range []string{groupsMount, groupsMount + "/unified"} {
		var at unix.Statfs_t
		if err := unix.Statfs(dir, &at); err == nil && at.Type == unix.CGROUP2_SUPER_MAGIC && unix.Access(dir, unix.W_OK) == nil {
			mount = dir
		}
	}
	if mount == "" {
		t.Skip("this user may make no control groups here")
	}
	dir := filepath.Join(mount, "cloister-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("this machine lets no control groups be made: ", err)
	}
	defer unix.Rmdir(dir)
	one, err := (&Groups{dir: dir}).New("x", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := one.take(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	if raw, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cgroup"); err != nil || !strings.Contains(string(raw), filepath.Base(dir)+"/x.1") {
		t.Errorf("it is in %s, %v", raw, err)
	}
	if err := one.End(); err != nil {
		t.Error(err)
	}
	if err := <-waited; err == nil {
		t.Error("what was in it was not killed")
	}
	if left, _ := os.ReadDir(dir); func() bool {
		for _, e := range left {
			if e.IsDir() {
				return true
			}
		}
		return false
	}() {
		t.Error("the group is still there")
	}
	if err := one.take(os.Getpid()); err == nil {
		t.Error("into a group that is gone: no error")
	}
}
