package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Programs that are no connectors, or not ours: each is refused in a bounded
// time, leaves no process, and the error says what it did.
func TestRefusedAtStart(t *testing.T) {
	for _, c := range []struct{ plugin, says string }{
		{"exit0", "ended with exit code 0 before it answered"},
		{"exit3", "ended with exit code 3 before it answered"},
		{"silent", ""},
		{"garbage", "Unrecognized remote plugin message: hello"},
		{"longline", "Unrecognized remote plugin message"},
		{"magic", "incompatible core API version"},
		{"oldprotocol", "incompatible API version"},
		{"netrpc", "its socket"},
		{"tcp", "other means than a unix socket"},
		{"elsewhere", "outside its own folder"},
		{"nocert", "did not answer"},
		{"mute", ""},
		{"slowdescribe", "asked what it is: it did not answer in time"},
		{"noname", "no name"},
	} {
		t.Run(c.plugin, func(t *testing.T) {
			tm := patient()
			switch c.plugin {
			case "silent", "mute":
				tm.start = 5 * time.Second
			case "slowdescribe":
				tm.describe = time.Second
			}
			r := newRig(t, Options{timing: tm}, c.plugin)
			_, err := r.Start(t.Context(), instance(c.plugin))
			if tm.start < time.Minute && err != nil && !errors.Is(err, ErrBroken) {
				// A machine so busy that the time was over before the program began.
				tm.start = time.Minute
				r = newRig(t, Options{timing: tm}, c.plugin)
				_, err = r.Start(t.Context(), instance(c.plugin))
			}
			if err == nil || !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want ErrBroken saying %q", err, c.says)
			}
			if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("the error is not fit for a log: %d bytes", len(err.Error()))
			}
		})
	}
}

func TestRejectedSettings(t *testing.T) {
	r := newRig(t, Options{}, "picky", "unconfigurable", "good")
	_, err := r.Start(t.Context(), instance("picky"))
	var rejected *Rejected
	if !errors.As(err, &rejected) || len(rejected.Problems) != 2 || rejected.Problems[1].Path[1] != "mode" {
		t.Errorf("got %v", err)
	}
	problems, err := r.Validate(t.Context(), "picky", connector.Settings{}, "hosts")
	if err != nil || len(problems) != 2 || problems[0].Severity != connector.SeverityWarning {
		t.Errorf("Validate: %v, %v", problems, err)
	}
	if _, err := r.Start(t.Context(), instance("unconfigurable")); err == nil || !strings.Contains(err.Error(), "cannot be configured") {
		t.Errorf("got %v", err)
	}
	tm := patient()
	tm.configure = time.Second
	slow := newRig(t, Options{timing: tm}, "slowconfigure")
	if _, err := slow.Start(t.Context(), instance("slowconfigure")); err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("got %v", err)
	}
	// Folders are the host's to check.
	self, _ := os.Executable()
	r.o.Protect = []string{"/etc/ssl/private"}
	for dir, says := range map[string]string{"here": "absolute", "/": "absolute", self: "is a file", "/etc": "appliance's own", "/etc/ssl/private/x": "appliance's own"} {
		i := instance("good")
		i.Settings = connector.Settings{"dir": dir}
		if _, err := r.Start(t.Context(), i); !errors.As(err, &rejected) || !strings.Contains(err.Error(), says) {
			t.Errorf("folder %s: got %v", dir, err)
		}
		if problems, err := r.Validate(t.Context(), "good", i.Settings, ""); err != nil || len(problems) != 1 {
			t.Errorf("folder %s: Validate: %v, %v", dir, problems, err)
		}
	}
}

func TestSettingsArriveAsWritten(t *testing.T) {
	r := newRig(t, Options{}, "echo")
	i := instance("echo")
	i.Settings = connector.Settings{
		"secret": "hush", "limit": 3.5, "again": []string{"a", "b"}, "labels": map[string]string{"k": "v"}, "wait": "1m0s",
		"tls": connector.Settings{"verify": false},
	}
	if _, err := r.Start(t.Context(), i); err != nil {
		t.Error(err)
	}
	i.Settings["unknown"] = "x"
	if _, err := r.Start(t.Context(), i); err == nil || !strings.Contains(err.Error(), "not in the schema") {
		t.Errorf("an unknown setting: %v", err)
	}
	if strings.Contains(r.log.String(), "hush") {
		t.Error("a secret is in the log")
	}
}

// A process that dies, in any way, while it sends: the batch is unknown, what
// follows is not handed over, and another process comes.
func TestDiesWhileSending(t *testing.T) {
	for _, plugin := range []string{"crash", "panic"} {
		t.Run(plugin, func(t *testing.T) {
			r := newRig(t, Options{}, plugin)
			c := r.start(t, plugin)
			pid := c.Status().PID
			outs, err := c.Send(short(t), messages(25))
			if err != nil {
				t.Fatalf("got %v", err)
			}
			for i, o := range outs {
				want := connector.Again
				if i < 10 {
					want = connector.Unknown
				}
				if o.Result != want {
					t.Errorf("message %d: %s, want %s", i, o.Result, want)
				}
			}
			took := eventually(t, "another process", func() bool {
				s := c.Status()
				return s.State == Running && s.PID != pid && s.Restarts == 1
			})
			t.Logf("another process after %s", took)
			eventually(t, "the problem cleared", func() bool { return !r.problem("connector.down") })
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("the old process: %v", err)
			}
			// A batch that fits one call is unknown as a whole.
			var unsent *NotSent
			if _, err := c.Send(short(t), messages(3)); err == nil || errors.As(err, &unsent) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNotRunningIsNotSent(t *testing.T) {
	tm := patient()
	tm.backoff, tm.max = time.Hour, time.Hour
	r := newRig(t, Options{timing: tm}, "dieslater")
	c := r.start(t, "dieslater")
	eventually(t, "restarting", func() bool { return c.Status().State == Restarting })
	var unsent *NotSent
	_, err := c.Send(short(t), messages(3))
	if !errors.As(err, &unsent) || !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "exit code 1") {
		t.Errorf("got %v", err)
	}
	if s := c.Status(); s.Sent.Again != 3 || s.PID != 0 || !strings.Contains(s.Error, "exit code 1") {
		t.Errorf("status %+v", s)
	}
	eventually(t, "a problem on the board", func() bool { return r.problem("connector.down") })
}

// A process that is frozen or hangs is replaced.
func TestHangs(t *testing.T) {
	t.Run("frozen while idle", func(t *testing.T) {
		tm := patient()
		tm.ping = 2 * time.Second
		r := newRig(t, Options{timing: tm}, "good")
		c := r.start(t, "good")
		pid := c.Status().PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		took := eventually(t, "another process", func() bool { s := c.Status(); return s.State == Running && s.PID != pid })
		t.Logf("replaced after %s with pings every %s of at most %s", took, r.o.timing.pingEvery, r.o.timing.ping)
		// On a busy machine the new one may miss pings as well.
		eventually(t, "a batch", func() bool { _, err := c.Send(short(t), messages(1)); return err == nil })
	})
	for _, plugin := range []string{"hang", "freeze"} {
		t.Run(plugin, func(t *testing.T) {
			tm := patient()
			tm.send, tm.patience = 2*time.Second, time.Second
			r := newRig(t, Options{timing: tm}, plugin)
			c := r.start(t, plugin)
			pid := c.Status().PID
			began := time.Now()
			var unsent *NotSent
			_, err := c.Send(short(t), messages(1))
			if err == nil || errors.As(err, &unsent) {
				t.Errorf("got %v", err)
			}
			eventually(t, "another process", func() bool { s := c.Status(); return s.State == Running && s.PID != pid })
			t.Logf("replaced after %s with calls of at most %s", time.Since(began), r.o.timing.send)
			if c.Status().Sent.Unknown != 1 {
				t.Errorf("status %+v", c.Status())
			}
		})
	}
	t.Run("an impatient caller is no hang", func(t *testing.T) {
		r := newRig(t, Options{}, "hang")
		c, begun := startHanging(t, r)
		pid := c.Status().PID
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan error, 1)
		go func() {
			_, err := c.Send(ctx, messages(1))
			sent <- err
		}()
		eventually(t, "a batch inside", begun)
		cancel()
		if err := <-sent; status.Code(errors.Unwrap(err)) != codes.Canceled {
			t.Errorf("got %v", err)
		}
		if err := c.Check(short(t)); err != nil {
			t.Error(err)
		}
		if s := c.Status(); s.PID != pid || s.Restarts != 0 {
			t.Errorf("status %+v", s)
		}
	})
	t.Run("slow answers arrive", func(t *testing.T) {
		// They have a fifth of the time to arrive in, which a busy machine may need.
		for _, limit := range []time.Duration{2 * time.Second, 20 * time.Second, time.Minute} {
			tm := patient()
			tm.send, tm.patience = limit, limit/2
			r := newRig(t, Options{timing: tm}, "slow")
			c := r.start(t, "slow")
			outs, err := c.Send(short(t), messages(2))
			if err != nil {
				t.Logf("with %s: %v", limit, err)
				continue
			}
			if outs[0].Result != connector.Accepted || outs[1].Result != connector.Unknown {
				t.Errorf("got %+v", outs)
			}
			if c.Status().Restarts != 0 {
				t.Error("replaced although it answered")
			}
			return
		}
		t.Error("none arrived")
	})
}

// startHanging starts a connector that does not answer a batch, and gives a
// function that says whether it has one.
func startHanging(t *testing.T, r *rig) (*Connector, func() bool) {
	t.Helper()
	i := instance("hang")
	dir := t.TempDir()
	i.Settings = connector.Settings{"dir": dir}
	c, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() bool { _, err := os.Stat(filepath.Join(dir, "sending")); return err == nil }
}

// No call waits longer than its limit, whatever the caller's time.
func TestEveryCallHasADeadline(t *testing.T) {
	tm := patient()
	tm.receipts, tm.collect, tm.forget = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	tm.check, tm.send, tm.drain = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	tm.patience = time.Hour // it is not to be replaced meanwhile
	r := newRig(t, Options{timing: tm}, "stuck")
	c := r.start(t, "stuck")
	for _, one := range []struct {
		name string
		call func() error
	}{
		{"check", func() error { return c.Check(t.Context()) }},
		{"send", func() error { _, err := c.Send(t.Context(), messages(1)); return err }},
		{"receipts", func() error { _, err := c.Receipts(t.Context(), connector.Webhook{}); return err }},
		{"returned", func() error { _, err := c.Returned(t.Context(), connector.Mail{}); return err }},
		{"collect", func() error { _, _, err := c.Collect(t.Context(), ""); return err }},
		{"forget", func() error { return c.Forget(t.Context(), []string{"a"}) }},
		{"drain", func() error { return c.Drain(t.Context()) }},
	} {
		err := one.call()
		var rpc *callError
		if !errors.As(err, &rpc) || rpc.code != codes.DeadlineExceeded {
			t.Errorf("%s: %v", one.name, err)
		}
	}
}

func TestQuarantine(t *testing.T) {
	r := newRig(t, Options{}, "dieslater")
	c := r.start(t, "dieslater")
	eventually(t, "quarantined", func() bool { return c.Status().State == Quarantined })
	if n := c.Status().Restarts; n != 4 {
		t.Errorf("%d restarts before it, want 4", n)
	}
	if !r.problem("connector.quarantined") || r.problem("connector.down") {
		t.Errorf("problems %+v", r.board.Problems())
	}
	// Checking starts it once more, and it falls again.
	if err := c.Check(short(t)); err == nil {
		t.Error("checked")
	}
	eventually(t, "quarantined again", func() bool { s := c.Status(); return s.State == Quarantined && s.Restarts == 5 })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if p := r.board.Problems(); len(p) != 0 {
		t.Errorf("problems left: %+v", p)
	}
}

func TestStartLater(t *testing.T) {
	r := newRig(t, Options{})
	c, err := r.StartLater(instance("good"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a complaint", func() bool { return strings.Contains(c.Status().Error, "no such connector") })
	install(t, r.dir, "good")
	eventually(t, "running", func() bool { return c.Status().State == Running })
	if _, err := c.Send(short(t), messages(1)); err != nil {
		t.Error(err)
	}
}

func TestUnreachableProvider(t *testing.T) {
	r := newRig(t, Options{}, "unreachable")
	c := r.start(t, "unreachable")
	eventually(t, "a problem", func() bool { return r.problem("connector.unreachable") })
	if err := c.Check(short(t)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Send(short(t), messages(1)); err != nil {
		t.Error(err)
	}
	if s := c.Status(); s.State != Running || !strings.Contains(s.Unreachable, "connection refused") {
		t.Errorf("status %+v", s)
	}
}

// One that ends over a question is said to have ended, and how: by no path of a
// socket, of which an operator makes nothing.
func TestEndsWhenAsked(t *testing.T) {
	r := newRig(t, Options{}, "exitdescribe", "exitconfigure")
	for _, plugin := range []string{"exitdescribe", "exitconfigure"} {
		_, err := r.Start(t.Context(), instance(plugin))
		if !errors.Is(err, ErrBroken) || !strings.HasSuffix(err.Error(), "it ended with exit code 3") {
			t.Errorf("%s: %v", plugin, err)
		}
	}
	if _, err := r.Validate(t.Context(), "exitconfigure", connector.Settings{}, ""); err == nil || !strings.HasSuffix(err.Error(), "it ended with exit code 3") {
		t.Error(err)
	}
}

// What one says before it ends is in the log when that it ended is told: who asks
// why sees it.
func TestLastWords(t *testing.T) {
	r := newRig(t, Options{}, "lastwords")
	if _, err := r.Start(t.Context(), instance("lastwords")); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(r.log.String(), "this is why") {
		t.Error("it was told before the log had it")
	}
}

// What a connector answers beyond its own messages does not count.
func TestAnswers(t *testing.T) {
	r := newRig(t, Options{}, "liar", "bigreply", "gzipbomb", "fail", "failsecond")
	outs, err := r.start(t, "liar").Send(short(t), messages(4))
	if err != nil {
		t.Fatal(err)
	}
	want := []connector.Outcome{
		{ID: "m0", Result: connector.Unknown},
		{ID: "m1", Result: connector.Again, RetryAfter: 24 * time.Hour},
		{ID: "m2", Result: connector.Refused, Class: connector.ClassOther},
		{ID: "m3", Result: connector.Unknown},
	}
	for i, o := range outs {
		if o.ID != want[i].ID || o.Result != want[i].Result || o.Class != want[i].Class || o.RetryAfter != want[i].RetryAfter {
			t.Errorf("outcome %d: %+v, want %+v", i, o, want[i])
		}
		if len(o.Reason) > 200 || strings.Contains(o.Reason, "\n") {
			t.Errorf("outcome %d: reason %q", i, o.Reason)
		}
	}
	if _, err := r.start(t, "bigreply").Send(short(t), messages(1)); status.Code(errors.Unwrap(err)) != codes.ResourceExhausted && status.Code(errors.Unwrap(err)) != codes.Unknown {
		t.Errorf("a reply of 7 MB: %v", err)
	}
	if _, err := r.start(t, "gzipbomb").Send(short(t), messages(1)); status.Code(errors.Unwrap(err)) != codes.ResourceExhausted {
		t.Errorf("a reply that is 70 MB once it is unpacked: %v", err)
	}
	if _, err := r.start(t, "fail").Send(short(t), messages(1)); err == nil || !strings.Contains(err.Error(), "broken inside by a line") {
		t.Errorf("got %v", err)
	}
	outs, err = r.start(t, "failsecond").Send(short(t), messages(25))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outs {
		want := []connector.Result{connector.Accepted, connector.Unknown, connector.Again}[i/10]
		if o.Result != want {
			t.Errorf("message %d: %s, want %s", i, o.Result, want)
		}
	}
}

func TestLargeMessages(t *testing.T) {
	r := newRig(t, Options{}, "good")
	c := r.start(t, "good")
	batch := messages(6)
	for i := range batch {
		batch[i].Text = strings.Repeat("x", 1<<20)
	}
	batch[2].Text = strings.Repeat("x", 5<<20)
	outs, err := c.Send(short(t), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outs {
		want := connector.Accepted
		if i == 2 {
			want = connector.Refused
		}
		if o.Result != want {
			t.Errorf("message %d: %+v", i, o)
		}
	}
}

// A flood costs the log and the appliance a bounded amount.
func TestFloods(t *testing.T) {
	for _, plugin := range []string{"flood", "floodstdout"} {
		t.Run(plugin, func(t *testing.T) {
			r := newRig(t, Options{}, plugin)
			began := time.Now()
			c := r.start(t, plugin)
			eventually(t, "more than is taken", func() bool { return strings.Contains(r.log.String(), "dropped_lines") })
			if _, err := c.Send(short(t), messages(10)); err != nil {
				t.Error(err)
			}
			// What is around a line in the log may be as much again.
			if most := 2 * (logBurst + logRate*(time.Since(began).Seconds()+1)); float64(r.log.bytes()) > most {
				t.Errorf("%d bytes of log, at most %.0f are allowed", r.log.bytes(), most)
			}
			if c.Status().Restarts != 0 {
				t.Error("replaced")
			}
		})
	}
}

func TestLog(t *testing.T) {
	r := newRig(t, Options{}, "jsonlog")
	r.start(t, "jsonlog")
	eventually(t, "its lines in the log", func() bool {
		s := r.log.String()
		return strings.Contains(s, `level=ERROR msg=another connector=acme/email/main`) && strings.Contains(s, `a line of mine`)
	})
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRig(t, Options{}, "memory")
	c := r.start(t, "memory")
	pid := c.Status().PID
	eventually(t, "its end", func() bool { return c.Status().PID != pid })
	if s := c.Status(); !strings.Contains(s.Error+r.log.String(), "ended") {
		t.Errorf("status %+v", s)
	}
}

// A connector's temporary folder is bounded, and removed with it (newRig looks).
func TestTemporaryFolder(t *testing.T) {
	for plugin, says := range map[string]string{"tempfull": "more than 256 MiB", "tempopen": "more than 256 MiB", "tempmany": "more than 10000 files"} {
		t.Run(plugin, func(t *testing.T) {
			r := newRig(t, Options{}, plugin)
			r.start(t, plugin)
			eventually(t, "its end", func() bool { return strings.Contains(r.log.String(), "its temporary folder holds "+says) })
		})
	}
	// However deep, it is looked at within bounds.
	dir := t.TempDir()
	at := dir
	for range 20 {
		at = filepath.Join(at, strings.Repeat("d", 180))
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if got := overfull(dir, 0); got != "folders without end" {
		t.Errorf("got %q", got)
	}
	if got := overfull(filepath.Join(dir, "none"), 0); got != "" {
		t.Errorf("got %q", got)
	}
}

// Programs that somebody else could have put there, or that are not the ones
// that were meant.
func TestTampering(t *testing.T) {
	sum := func(t *testing.T, r *rig) string {
		c := r.start(t, "good")
		defer c.Close()
		return c.Status().SHA256
	}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, r *rig, i *Instance, path string)
		want error
	}{
		{"another checksum", func(t *testing.T, r *rig, i *Instance, path string) {
			i.SHA256 = strings.Repeat("0", 64)
		}, ErrChecksum},
		{"one byte changed", func(t *testing.T, r *rig, i *Instance, path string) {
			i.SHA256 = sum(t, r)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			raw[len(raw)-1] ^= 1
			os.Remove(path)
			if err := os.WriteFile(path, raw, 0o755); err != nil {
				t.Fatal(err)
			}
		}, ErrChecksum},
		{"link to elsewhere", func(t *testing.T, r *rig, i *Instance, path string) {
			os.Rename(path, path+"x")
			os.Symlink(path+"x", path)
		}, ErrUnsafe},
		{"file writable for all", func(t *testing.T, r *rig, i *Instance, path string) {
			copied(t, path)
			os.Chmod(path, 0o757)
		}, ErrUnsafe},
		{"file writable for the group", func(t *testing.T, r *rig, i *Instance, path string) {
			copied(t, path)
			os.Chmod(path, 0o775)
		}, ErrUnsafe},
		{"folder writable for all", func(t *testing.T, r *rig, i *Instance, path string) {
			os.Chmod(filepath.Dir(path), 0o777)
		}, ErrUnsafe},
		{"pipe", func(t *testing.T, r *rig, i *Instance, path string) {
			os.Remove(path)
			syscall.Mkfifo(path, 0o755)
		}, ErrUnsafe},
		{"somebody else's file", func(t *testing.T, r *rig, i *Instance, path string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			copied(t, path)
			os.Chown(path, 65534, 65534)
		}, ErrUnsafe},
		{"a path as a name", func(t *testing.T, r *rig, i *Instance, path string) {
			i.Plugin = "../" + filepath.Base(filepath.Dir(path)) + "/good"
		}, ErrNotFound},
		{"not executable", func(t *testing.T, r *rig, i *Instance, path string) {
			copied(t, path)
			os.Chmod(path, 0o600)
		}, ErrBroken},
		{"not a program", func(t *testing.T, r *rig, i *Instance, path string) {
			os.Remove(path)
			os.WriteFile(path, []byte("hello"), 0o755)
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, Options{}, "good")
			i := instance("good")
			tc.do(t, r, &i, filepath.Join(r.dir, "good"))
			_, err := r.Start(t.Context(), i)
			if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			audited := errors.Is(tc.want, ErrChecksum) || errors.Is(tc.want, ErrUnsafe)
			if got := r.audited(); (len(got) == 1) != audited {
				t.Errorf("audited %+v", got)
			}
		})
	}
	t.Run("exchanged while it runs", func(t *testing.T) {
		r := newRig(t, Options{}, "good", "crash")
		i := instance("good")
		i.SHA256 = sum(t, r)
		c, err := r.Start(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(r.dir, "good")
		copied(t, path)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("more")
		f.Close()
		syscall.Kill(c.Status().PID, syscall.SIGKILL)
		eventually(t, "quarantine", func() bool { return c.Status().State == Quarantined })
		if s := c.Status(); !strings.Contains(s.Error, "checksum") || len(r.audited()) != 1 || s.Restarts != 0 {
			t.Errorf("status %+v, audited %v", s, r.audited())
		}
	})
}

// What may be known of a program before it is asked anything.
func TestPinned(t *testing.T) {
	r := newRig(t, Options{}, "good")
	c := r.start(t, "good")
	sum := c.Status().SHA256
	c.Close()
	parcel := parcelOf(t, "1.0.0", "#!/nothing", "linux/any", authorKey(1))
	if _, err := Install(r.dir, parcel, InstallOptions{CardOnly: true}); err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0", 64)
	for _, tc := range []struct {
		plugin, sum string
		want        error
	}{
		{"good", sum, nil},
		{"good", strings.ToUpper(sum), nil},
		{"good", other, ErrChecksum},
		{"beeper", parcel.SHA256, nil}, // its card alone is here
		{"beeper", other, ErrChecksum},
		{"absent", other, nil}, // Describe says so
	} {
		if err := r.Pinned(tc.plugin, tc.sum); !errors.Is(err, tc.want) {
			t.Errorf("%s %s: %v, want %v", tc.plugin, tc.sum, err, tc.want)
		}
	}
}

// A connector whose settings nobody could check is not started with them when its
// program is put right: who put it right is told to have them checked.
func TestUnchecked(t *testing.T) {
	r := newRig(t, Options{}, "good")
	path := filepath.Join(r.dir, "good")
	if err := os.Rename(path, path+"x"); err != nil {
		t.Fatal(err)
	}
	i := instance("good")
	i.Unchecked = true
	c, err := r.StartLater(i)
	if err != nil {
		t.Fatal(err)
	}
	says := func(want error) {
		t.Helper()
		eventually(t, "it says "+want.Error(), func() bool {
			_ = c.Check(short(t)) // which tries again
			return strings.Contains(c.Status().Error, want.Error())
		})
	}
	says(ErrNotFound)
	if err := os.Rename(path+"x", path); err != nil {
		t.Fatal(err)
	}
	says(ErrUnchecked)
	if s := c.Status(); s.State != Quarantined || s.PID != 0 {
		t.Errorf("%+v", s)
	}
}

// copied makes path a file of its own.
func copied(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		os.Remove(path)
		err = os.WriteFile(path, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The file is written to between verifying and executing.
func TestChangedWhileStarting(t *testing.T) {
	r := newRig(t, Options{}, "good")
	copied(t, filepath.Join(r.dir, "good"))
	bin, err := r.open("good", "")
	if err != nil {
		t.Fatal(err)
	}
	defer bin.Close()
	f, err := os.OpenFile(bin.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("more")
	f.Close()
	if _, err := r.describe(t.Context(), bin); !errors.Is(err, ErrChecksum) {
		t.Errorf("got %v", err)
	}
	if len(r.audited()) != 1 {
		t.Errorf("audited %v", r.audited())
	}
}

func TestDrain(t *testing.T) {
	tm := patient()
	tm.drain = time.Second
	hangs := newRig(t, Options{timing: tm}, "undrainable")
	if err := hangs.start(t, "undrainable").Drain(short(t)); err == nil {
		t.Error("no error from one that hangs")
	}
	r := newRig(t, Options{}, "drainnote", "hang")
	dir := filepath.Join(t.TempDir(), "box")
	i := instance("drainnote")
	i.Settings = connector.Settings{"dir": dir}
	c, err := r.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Drain(short(t)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "drained")); err != nil {
		t.Error("it was not asked to drain:", err)
	}
	if err := c.Drain(short(t)); err != nil {
		t.Errorf("again: %v", err)
	}
	// A drain that is cut off ends what is being sent.
	c, begun := startHanging(t, r)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Send(context.Background(), messages(1))
		sent <- err
	}()
	eventually(t, "a batch inside", begun)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	var unsent *NotSent
	if err := <-sent; err == nil || errors.As(err, &unsent) {
		t.Errorf("the batch that was cut off: %v", err)
	}
}
