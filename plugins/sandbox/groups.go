package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Where control groups are, and the groups that are made in the delegated one.
const (
	groupsMount   = "/sys/fs/cgroup"
	daemonGroup   = "daemon"
	programsGroup = "connectors" // as much of the processor as the daemon when both want it, whatever their number
)

// controllers are those that are used, by what they bound.
var controllers = []struct{ name, bounds string }{{"memory", "memory"}, {"pids", "threads"}, {"cpu", "processor"}}

// ErrNoGroups means that there are no control groups to put programs into.
var ErrNoGroups = errors.New("no control groups")

// Groups is the control group that was delegated to this process, with a leaf
// in it for the process and one for each program. nil stands for none. Its
// methods may be called concurrently.
type Groups struct {
	dir  string   // of the programs' groups
	has  []string // controllers
	made atomic.Uint64
}

// OpenGroups moves this process into a leaf of the control group that systemd
// delegated to it, so that there can be others beside it: a group has either
// processes or groups. Its error wraps ErrNoGroups, and says in words why there
// are none. It is called once, by a process that stays.
func OpenGroups() (*Groups, error) {
	var at unix.Statfs_t
	if err := unix.Statfs(groupsMount, &at); err != nil || at.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("%w: the machine has none of version 2", ErrNoGroups)
	}
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoGroups, err)
	}
	for line := range strings.Lines(string(raw)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return openGroups(filepath.Join(groupsMount, path), os.Getpid(), delegated)
		}
	}
	return nil, fmt.Errorf("%w: this process is in none of version 2", ErrNoGroups)
}

// delegated says whether the group in dir is this process's to change. Who is
// not root could not else; root could with every group, so systemd's mark counts.
func delegated(dir string) bool {
	if os.Geteuid() != 0 {
		return true
	}
	for _, mark := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, mark, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

const askForGroups = "the unit needs Delegate=cpu memory pids and ProtectControlGroups=no"

func openGroups(dir string, pid int, delegated func(string) bool) (*Groups, error) {
	if !delegated(dir) {
		return nil, fmt.Errorf("%w: none is delegated; %s", ErrNoGroups, askForGroups)
	}
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoGroups, err)
	}
	g := &Groups{dir: filepath.Join(dir, programsGroup)}
	enable := ""
	for _, c := range controllers {
		if slices.Contains(strings.Fields(string(available)), c.name) {
			g.has = append(g.has, c.name)
			enable += " +" + c.name
		}
	}
	if enable == "" {
		return nil, fmt.Errorf("%w: no controller is delegated; %s", ErrNoGroups, askForGroups)
	}
	// Others in it would keep it from having groups, and are not ours to move.
	inside, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoGroups, err)
	}
	if all := strings.Fields(string(inside)); len(all) != 1 || all[0] != strconv.Itoa(pid) {
		return nil, fmt.Errorf("%w: other processes are in the service's own", ErrNoGroups)
	}
	for _, name := range []string{daemonGroup, programsGroup} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w: %w; %s", ErrNoGroups, err, askForGroups)
		}
	}
	for _, w := range []struct{ file, value string }{
		{filepath.Join(dir, daemonGroup, "cgroup.procs"), strconv.Itoa(pid)},
		{filepath.Join(dir, "cgroup.subtree_control"), strings.TrimSpace(enable)},
		{filepath.Join(g.dir, "cgroup.subtree_control"), strings.TrimSpace(enable)},
	} {
		if err := os.WriteFile(w.file, []byte(w.value), 0o644); err != nil {
			return nil, fmt.Errorf("%w: %w; %s", ErrNoGroups, err, askForGroups)
		}
	}
	// Of a daemon of before, which ended without a word.
	if stale, err := filepath.Glob(filepath.Join(g.dir, "*.*")); err == nil {
		for _, path := range stale {
			_ = unix.Rmdir(path) // its files are not in the way
		}
	}
	return g, nil
}

// bounds is what is bounded, in words: "memory, threads, processor".
func (g *Groups) bounds() string {
	var out []string
	for _, c := range controllers {
		if g != nil && slices.Contains(g.has, c.name) {
			out = append(out, c.bounds)
		}
	}
	return strings.Join(out, ", ")
}

// Group is the control group of one program. nil stands for none.
type Group struct {
	dir    string
	limits Limits
	bounds string
}

// New makes a group with these limits, zero values as for Policy. name is for
// people who look. End removes it.
func (g *Groups) New(name string, l Limits) (_ *Group, err error) {
	if g == nil {
		return nil, nil
	}
	l = l.withDefaults()
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
	group := &Group{dir: filepath.Join(g.dir, fmt.Sprintf("%s.%d", clean, g.made.Add(1))), limits: l, bounds: g.bounds()}
	if err := os.Mkdir(group.dir, 0o755); err != nil {
		return nil, fmt.Errorf("sandbox: making a control group: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Rmdir(group.dir)
		}
	}()
	set := map[string]string{}
	if slices.Contains(g.has, "memory") {
		set["memory.max"] = strconv.FormatUint(l.Memory, 10)
		set["memory.oom.group"] = "1"
		// What is on disk for good would be messages and addresses, unsealed.
		if _, err := os.Stat(filepath.Join(group.dir, "memory.swap.max")); err == nil {
			set["memory.swap.max"] = "0"
		}
	}
	if slices.Contains(g.has, "pids") {
		set["pids.max"] = strconv.FormatUint(l.Threads, 10)
	}
	if slices.Contains(g.has, "cpu") && l.Processor > 0 {
		set["cpu.max"] = fmt.Sprintf("%d %d", int64(l.Processor*cpuPeriod), int64(cpuPeriod))
	}
	for file, value := range set {
		if err := os.WriteFile(filepath.Join(group.dir, file), []byte(value), 0o644); err != nil {
			return nil, fmt.Errorf("sandbox: bounding a control group: %w", err)
		}
	}
	return group, nil
}

// cpuPeriod is over what the share of a processor is counted, in microseconds.
const cpuPeriod = 100_000.0

// take moves a process into the group.
func (g *Group) take(pid int) error {
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("sandbox: into its control group: %w", err)
	}
	return nil
}

// told is what the kernel counted in one of the group's files; 0 if it is not there.
func (g *Group) told(file, what string) uint64 {
	raw, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == what {
			n, _ := strconv.ParseUint(f[1], 10, 64) // it is the kernel's
			return n
		}
	}
	return 0
}

// Exceeded says in words which limit the program ran into, as what it did: "it
// held more than 1 GiB of memory, so the kernel ended it"; "" if none.
func (g *Group) Exceeded() string {
	switch {
	case g == nil:
		return ""
	case g.told("memory.events", "oom_kill") > 0:
		return "it held more than " + size(g.limits.Memory) + " of memory, so the kernel ended it"
	case g.told("pids.events", "max") > 0:
		return fmt.Sprintf("it wanted more than %d threads and processes", g.limits.Threads)
	}
	return ""
}

// size writes bytes for people.
func size(n uint64) string {
	for _, unit := range []struct {
		of   uint64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.of && n%unit.of == 0 {
			return fmt.Sprintf("%d %s", n/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// End ends whatever is in the group and removes it. It is called once, when the
// program has ended.
func (g *Group) End() error {
	if g == nil {
		return nil
	}
	// From 5.14; nothing should be there to be killed.
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("sandbox: ending a control group: %w", err)
	}
	var err error
	for range 50 { // what was killed leaves in its own time
		if err = unix.Rmdir(g.dir); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("sandbox: removing a control group: %w", err)
	}
	return nil
}
