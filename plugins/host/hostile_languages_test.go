//go:build e2e

package host

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// hostileLanguages are what runs by an interpreter: such a connector may read and
// execute what is in /usr and /lib, so what stops it is tried by its own means.
var hostileLanguages = []struct {
	profile, interpreter string
	pack                 func(t *testing.T, out string) *exec.Cmd
	noName               string // how it says that a name does not exist
}{
	{"python", "/usr/bin/python3", func(t *testing.T, out string) *exec.Cmd {
		src := t.TempDir()
		for from, to := range map[string]string{"../python/cloister_connector": filepath.Join(src, "cloister_connector"), "testdata/hostile-python": src} {
			if err := os.CopyFS(to, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
		}
		return exec.Command("/usr/bin/python3", "-m", "zipapp", "-p", "/usr/bin/python3", "-o", out, src)
	}, "gaierror"},
	{"node", "/usr/bin/node", func(_ *testing.T, out string) *exec.Cmd {
		return exec.Command("/usr/bin/node", "../node/build.mjs", "testdata/hostile.js", out)
	}, "ENOTFOUND"},
}

// What the contract says that a connector cannot do, one in Python and one for
// Node cannot do either.
func TestHostileLanguages(t *testing.T) {
	for _, language := range hostileLanguages {
		t.Run(language.profile, func(t *testing.T) {
			t.Setenv("MASTER_SECRET", "hush")
			data, box := t.TempDir(), t.TempDir()
			key := filepath.Join(data, "master.key")
			const secret = "0123456789abcdef"
			if err := os.WriteFile(key, []byte(secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			sockets, err := os.MkdirTemp("/tmp", "adm")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(sockets)
			admin := filepath.Join(sockets, "admin.sock")
			l, err := net.Listen("unix", admin)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			udp, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer udp.Close()
			listed, _ := counted(t, "127.0.0.1:0")
			port := portOf(listed)
			otherHost, otherCame := counted(t, "127.0.0.2:"+port)
			otherPort, portCame := counted(t, "127.0.0.1:0")

			r := newRig(t, Options{Resolver: &book{names: map[string]string{"localhost": "127.0.0.1"}}}, "good")
			program := filepath.Join(r.dir, "hostile")
			if out, err := language.pack(t, program).CombinedOutput(); err != nil {
				t.Fatalf("packing: %v: %s", err, out)
			}
			theirs := t.TempDir()
			good := instance("good")
			good.Name, good.Settings = "neighbour", connector.Settings{"dir": theirs}
			neighbour, err := r.Start(t.Context(), good)
			if err != nil {
				t.Fatal(err)
			}
			mail := filepath.Join(theirs, "mail")
			if err := os.WriteFile(mail, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			theirSockets, _ := filepath.Glob(filepath.Join(r.o.RunDir, "plugin-dir*", "plugin*"))
			if len(theirSockets) != 1 {
				t.Fatalf("the neighbour's sockets: %v", theirSockets)
			}
			i := instance("hostile")
			i.Settings = connector.Settings{"dir": box, "reach": []string{listed, "localhost:" + port}}
			c, err := r.Start(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			level := c.Status().Sandbox
			if !strings.HasPrefix(level, "landlock") || !strings.Contains(level, "listed hosts only") || !strings.HasSuffix(level, ", "+language.profile) {
				t.Fatalf("it is confined by %q", level)
			}

			daemon, other := strconv.Itoa(os.Getpid()), strconv.Itoa(neighbour.Status().PID)
			const landlock, filter, supervisor, resolver = "Landlock", "seccomp", "the supervisor", "the resolver"
			elsewhere := fmt.Sprintf("/tmp/cloister-hostile-%d", os.Getpid())
			defer os.Remove(elsewhere)
			everybodys := fmt.Sprintf("/dev/shm/cloister-hostile-%d", os.Getpid())
			defer os.Remove(everybodys)
			groups := []struct {
				name string
				all  []attempt
			}{
				{"what it may", []attempt{
					{what: "write to its own folder", try: "write " + box + "/own"},
					{what: "read it again", try: "read " + box + "/own"},
					{what: "connect to a listed address", try: "dial " + listed},
					{what: "connect to a listed name", try: "dial localhost:" + port},
				}},
				{"files", []attempt{
					{what: "read the master key", try: "read " + key, stopped: "EACCES", by: landlock},
					{what: "list the data directory", try: "list " + data, stopped: "EACCES", by: landlock},
					{what: "read the master key by way of its own root", try: "read /proc/self/root" + key, stopped: "EACCES", by: landlock},
					{what: "link the master key into its folder", try: "link " + key + " " + box + "/hard", stopped: "EXDEV", by: landlock},
					{what: "move the master key into its folder", try: "rename " + key + " " + box + "/moved", stopped: "EACCES", by: landlock, alone: "later"},
					{what: "remove the master key", try: "remove " + key, stopped: "EACCES", by: landlock, alone: "later"},
					{what: "make the master key readable for everybody", try: "chmod " + key, stopped: "EPERM", by: filter},
					{what: "write into the data directory", try: "write " + data + "/new", stopped: "EACCES", by: landlock},
					{what: "read a neighbour's file", try: "read " + mail, stopped: "EACCES", by: landlock},
					{what: "list a neighbour's folder", try: "list " + theirs, stopped: "EACCES", by: landlock},
					{what: "write into a neighbour's folder", try: "write " + theirs + "/new", stopped: "EACCES", by: landlock},
					{what: "write into a neighbour's TMPDIR", try: "write " + filepath.Dir(theirSockets[0]) + "/new", stopped: "EACCES", by: landlock},
					{what: "write a program into the connectors' folder", try: "write " + filepath.Join(r.dir, "new"), stopped: "EACCES", by: landlock},
					{what: "write its own program", try: "append " + program, stopped: "EACCES", by: landlock},
					{what: "read the machine's passwords", try: "read /etc/shadow", stopped: "EACCES", by: landlock, root: true},
					{what: "write to /tmp", try: "write " + elsewhere, stopped: "EACCES", by: landlock},
					{what: "write into the memory that is everybody's", try: "write " + everybodys, stopped: "EACCES", by: landlock},
				}},
				{"processes", []attempt{
					{what: "find the daemon's environment in its own", try: "environment", stopped: "not there", by: "the helper"},
					{what: "list the processes", try: "list /proc", stopped: "EACCES", by: landlock},
					{what: "read the daemon's environment", try: "read /proc/" + daemon + "/environ", stopped: "EACCES", by: landlock},
					{what: "read a neighbour's environment", try: "read /proc/" + other + "/environ", stopped: "EACCES", by: landlock},
					{what: "open the daemon's memory", try: "append /proc/" + daemon + "/mem", stopped: "EACCES", by: landlock},
					{what: "open a neighbour's memory", try: "append /proc/" + other + "/mem", stopped: "EACCES", by: landlock},
					{what: "signal the daemon", try: "signal " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
					{what: "signal a neighbour", try: "signal " + other, stopped: "EPERM", by: filter + ", Landlock"},
					{what: "start a shell", try: "shell", stopped: "EPERM", by: filter},
					{what: "start itself once more", try: "fork", stopped: "EPERM", by: filter},
				}},
				{"network", []attempt{
					{what: "connect to the daemon's admin socket", try: "unix " + admin, stopped: "EACCES", by: supervisor},
					{what: "connect to a neighbour's socket", try: "unix " + theirSockets[0], stopped: "EACCES", by: supervisor},
					{what: "connect to a host that is not listed", try: "dial " + otherHost, stopped: "EACCES", by: supervisor},
					{what: "connect to another port of a listed host", try: "dial " + otherPort, stopped: "EACCES", by: supervisor},
					{what: "connect to the machine as ::ffff:127.0.0.1", try: "dial ::ffff:127.0.0.1:" + portOf(otherPort), stopped: "EACCES", by: supervisor},
					{what: "look up a name that is not listed", try: "lookup secret-data.evil.example", stopped: language.noName, by: resolver, alone: "unanswered"},
					{what: "send a datagram", try: "udp " + udp.LocalAddr().String(), stopped: "EPROTONOSUPPORT", by: filter},
					{what: "listen", try: "listen", stopped: "EACCES", by: landlock},
				}},
			}
			if language.profile == "python" { // Node offers no calls of the C library
				groups[2].all = append(groups[2].all,
					attempt{what: "trace the daemon", try: "trace " + daemon, stopped: "EPERM", by: filter + ", Landlock"},
					attempt{what: "trace a neighbour", try: "trace " + other, stopped: "EPERM", by: filter + ", Landlock"})
				groups[3].all = append(groups[3].all,
					attempt{what: "connect to a host that is not listed with a socket that blocks", try: "dialblocking " + otherHost, stopped: "EACCES", by: supervisor})
			}
			for _, group := range groups {
				var b strings.Builder
				w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
				fmt.Fprintf(w, "it tries to\twithout a sandbox\tin it\tby\tfrom grade\n")
				for _, a := range group.all {
					before := otherCame.Load() + portCame.Load()
					got := ask(t, c, a.try)
					if came := otherCame.Load() + portCame.Load() - before; came != 0 {
						t.Errorf("%s: %d came where nobody may", a.what, came)
					}
					if a.stopped == "" && got != "done" || !strings.HasPrefix(got, a.stopped) {
						t.Errorf("%s: %s, want %q", a.what, got, a.stopped)
					}
					alone := "not tried: it would succeed"
					if a.alone != "later" {
						raw, err := exec.Command(language.interpreter, program, "--try", a.try).Output()
						if err != nil {
							t.Fatal(err)
						}
						alone = strings.TrimSpace(string(raw))
						switch {
						case a.root && os.Getuid() != 0:
						case a.alone == "unanswered":
							if strings.HasPrefix(alone, "EACCES") || strings.HasPrefix(alone, "EPERM") {
								t.Errorf("%s without a sandbox: %s: it proves nothing", a.what, alone)
							}
						case alone != "done":
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
				t.Logf("%s: %s, at grade %s: %s\n%s", language.profile, group.name, c.Status().Grade, level, b.String())
			}
			if raw, err := os.ReadFile(key); err != nil || string(raw) != secret+"\n" {
				t.Errorf("the master key is now %q, %v", raw, err)
			}
			for _, want := range []string{otherHost, admin, "secret-data.evil.example"} {
				if !strings.Contains(r.log.String(), want) {
					t.Errorf("the log does not say that it wanted %s", want)
				}
			}
			if language.profile == "python" {
				becomesShell(t, r, c, language.interpreter, program, key, box)
			}
			if err := neighbour.Check(short(t)); err != nil || neighbour.Status().Restarts != 0 {
				t.Errorf("the neighbour suffered: %v", err)
			}
		})
	}
}

// becomesShell has a connector execute a shell in its own place, which a profile
// that may execute what is in /usr allows: the shell is confined as it was.
func becomesShell(t *testing.T, r *rig, c *Connector, interpreter, program, key, box string) {
	got := filepath.Join(box, "got")
	try := "becomeshell " + key + " " + got
	copied := func() string {
		raw, _ := os.ReadFile(got)
		return strings.TrimSpace(string(raw))
	}
	if out, err := exec.Command(interpreter, program, "--try", try).CombinedOutput(); err != nil || copied() != "shell 0123456789abcdef" {
		t.Fatalf("without a sandbox it copied %q: %v: %s; it proves nothing", copied(), err, out)
	}
	if err := os.Remove(got); err != nil {
		t.Fatal(err)
	}
	m := messages(1)
	m[0].Text = try
	if outs, err := c.Send(short(t), m); err == nil {
		t.Errorf("becoming a shell: %+v", outs)
	}
	eventually(t, "the shell has ended", func() bool { return c.Status().Restarts > 0 && c.Check(short(t)) == nil })
	if copied() != "shell" {
		t.Errorf("the shell copied %q of the master key, want nothing", copied())
	}
	t.Logf("it becomes a shell, which ends as it cannot read the master key (Landlock), and is started again\n%s", r.log.String()[strings.LastIndex(r.log.String(), "Permission denied")-80:])
}
