//go:build groups

package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// What a control group holds, by the kernel's own. A daemon has its group from
// systemd; here the test makes one, as root, and starts itself in it.
func TestGroups(t *testing.T) {
	if os.Getenv("HOST_IN_GROUP") != "" {
		inGroup(t)
		return
	}
	const mount = "/sys/fs/cgroup"
	have, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if err != nil || !strings.Contains(string(have), "memory") || os.Geteuid() != 0 {
		t.Fatal("this takes root, and control groups of version 2 with their controllers")
	}
	dir := filepath.Join(mount, "cloister-host-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal("no control groups can be made here: ", err)
	}
	defer func() {
		for _, d := range []string{"daemon", "connectors", "."} {
			if err := unix.Rmdir(filepath.Join(dir, d)); err != nil {
				t.Errorf("left behind: %s: %v", d, err)
			}
		}
	}()
	if err := os.WriteFile(filepath.Join(mount, "cgroup.subtree_control"), []byte("+memory +pids +cpu"), 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(dir, "trusted.delegate", []byte("1"), 0); err != nil { // as systemd marks it
		t.Fatal(err)
	}
	at, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestGroups$", "-test.v")
	cmd.Env = append(os.Environ(), "HOST_IN_GROUP=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(at.Fd())}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// inGroup is the daemon in its group.
func inGroup(t *testing.T) {
	g, err := sandbox.OpenGroups()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(raw)), "/daemon") {
		t.Fatalf("we are in %s, %v", raw, err)
	}
	ours := filepath.Dir(filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(strings.TrimSpace(string(raw)), "0::")))
	groups := func() []string {
		all, _ := filepath.Glob(filepath.Join(ours, "connectors", "*.*", "cgroup.procs"))
		return all
	}
	r := newRig(t, Options{Groups: g}, "good", "memory", "threads", "burn")
	neighbour := r.start(t, "good")
	if s := neighbour.Status(); !strings.Contains(s.Sandbox, "cgroup (memory, threads, processor)") || strings.Contains(s.Missing, "control groups") {
		t.Errorf("status %+v", s)
	}
	named := func(plugin string, l sandbox.Limits) *Connector {
		i := instance(plugin)
		i.Name, i.Limits = plugin, l
		c, err := r.Start(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := named("memory", sandbox.Limits{Memory: 128 << 20})
	eventually(t, "its end by the kernel", func() bool {
		return strings.Contains(r.log.String(), "it held more than 128 MiB of memory, so the kernel ended it")
	})
	t.Log("takes memory without end:", c.Status().Error)
	c.Close()
	c = named("threads", sandbox.Limits{Threads: 40})
	eventually(t, "its end", func() bool { return c.Status().Restarts > 0 })
	c.Close()
	c = named("burn", sandbox.Limits{Processor: 0.05})
	eventually(t, "it is slowed down", func() bool {
		for _, procs := range groups() {
			raw, _ := os.ReadFile(filepath.Join(filepath.Dir(procs), "cpu.stat"))
			_, rest, ok := strings.Cut(string(raw), "nr_throttled ")
			if n, _, _ := strings.Cut(rest, "\n"); ok && n != "0" {
				return true
			}
		}
		return false
	})
	c.Close()
	if _, err := neighbour.Send(short(t), messages(3)); err != nil || neighbour.Status().Restarts != 0 {
		t.Errorf("the neighbour suffered: %v, %+v", err, neighbour.Status())
	}
	if got := groups(); len(got) != 1 {
		t.Errorf("groups of those that are gone: %v", got)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := groups(); len(got) != 0 {
		t.Errorf("groups are left: %v", got)
	}
}
