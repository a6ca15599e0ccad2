//go:build faults

package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// row is what the daemon did about one fault.
type row struct{ fault, send, did, took string }

// TestTable runs every fault with the timing of a daemon, beside a connector
// that works, and says what was done each time. Beside each fault the
// working connector sends batches: its slowest is in the last line.
func TestTable(t *testing.T) {
	r := newRig(t, Options{timing: timing{}.withDefaults()},
		"good", "hang", "freeze", "crash", "panic", "exit0", "silent", "garbage", "magic", "oldprotocol", "tcp", "nocert", "flood", "floodstdout",
		"bigreply", "gzipbomb", "liar", "dieslater", "memory", "threads", "tempfull", "slow", "slowconfigure")
	ours := instance("good")
	ours.Name = "bystander"
	by, err := r.Start(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	var slowest, batches atomic.Int64
	stop := make(chan struct{})
	var bystander sync.WaitGroup
	bystander.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			if _, err := by.Send(t.Context(), messages(10)); err != nil {
				t.Errorf("the bystander: %v", err)
				return
			}
			batches.Add(1)
			slowest.Store(max(slowest.Load(), int64(time.Since(began))))
		}
	})

	var mu sync.Mutex
	var rows []row
	add := func(x row) {
		mu.Lock()
		rows = append(rows, x)
		mu.Unlock()
	}
	said := func(outs []connector.Outcome, err error) string {
		var unsent *NotSent
		switch {
		case errors.As(err, &unsent):
			return "not sent"
		case err != nil:
			return "unknown"
		}
		n := map[connector.Result]int{}
		for _, o := range outs {
			n[o.Result]++
		}
		var parts []string
		for _, k := range []connector.Result{connector.Accepted, connector.Refused, connector.Again, connector.Unknown} {
			if n[k] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
			}
		}
		return strings.Join(parts, ", ")
	}
	named := func(plugin string) Instance {
		i := instance(plugin)
		i.Name = plugin
		return i
	}

	// Running connectors that fail.
	for _, f := range []struct {
		fault, plugin string
		n             int
		do            func(c *Connector)
	}{
		{"frozen (SIGSTOP) while idle", "good", 0, func(c *Connector) { syscall.Kill(c.Status().PID, syscall.SIGSTOP) }},
		{"frozen (SIGSTOP) while it sends 3", "freeze", 3, nil},
		{"hangs while it sends 3", "hang", 3, nil},
		{"exits while it sends 25 in tens", "crash", 25, nil},
		{"panics while it sends 3", "panic", 3, nil},
		{"killed (SIGKILL) while idle", "good", 0, func(c *Connector) { syscall.Kill(c.Status().PID, syscall.SIGKILL) }},
	} {
		i := named(f.plugin)
		i.Name = strings.ReplaceAll(f.fault, " ", "-")
		c, err := r.Start(t.Context(), i)
		if err != nil {
			t.Fatal(f.fault, err)
		}
		pid := c.Status().PID
		began := time.Now()
		sent := "-"
		if f.do != nil {
			f.do(c)
		}
		if f.n > 0 {
			sent = said(c.Send(t.Context(), messages(f.n)))
		}
		inTime(t, f.fault+": another process", 30*time.Second, func() bool { s := c.Status(); return s.State == Running && s.PID != pid })
		add(row{f.fault, sent, "replaced", time.Since(began).Round(100 * time.Millisecond).String()})
		c.Close()
	}

	// A crash loop.
	began := time.Now()
	c, err := r.Start(t.Context(), named("dieslater"))
	if err != nil {
		t.Fatal(err)
	}
	inTime(t, "quarantine", 2*time.Minute, func() bool { return c.Status().State == Quarantined })
	add(row{"exits after every start", said(c.Send(t.Context(), messages(3))), fmt.Sprintf("quarantined after %d restarts, problem %q", c.Status().Restarts, "connector.quarantined"), time.Since(began).Round(100 * time.Millisecond).String()})
	c.Close()

	// Floods: 100 MB of standard error.
	for _, plugin := range []string{"flood", "floodstdout"} {
		before := r.log.bytes()
		c, err := r.Start(t.Context(), named(plugin))
		if err != nil {
			t.Fatal(err)
		}
		var a, b syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &a)
		time.Sleep(10 * time.Second)
		syscall.Getrusage(syscall.RUSAGE_SELF, &b)
		cpu := time.Duration(b.Utime.Nano() + b.Stime.Nano() - a.Utime.Nano() - a.Stime.Nano())
		add(row{map[string]string{"flood": "floods standard error", "floodstdout": "floods standard output"}[plugin], said(c.Send(t.Context(), messages(10))),
			fmt.Sprintf("slowed down; %d kB of log and %.1f %% of a processor in 10 s", (r.log.bytes()-before)>>10, 100*cpu.Seconds()/10), "-"})
		c.Close()
	}
	for _, f := range []struct{ fault, plugin, did string }{
		{"takes memory without end", "memory", "the kernel refused it more than 1 GiB; restarted"},
		{"starts threads without end", "threads", "it got 512; restarted"},
		{"fills its temporary folder", "tempfull", "ended at 256 MiB; restarted, the folder removed"},
	} {
		began := time.Now()
		c, err := r.StartLater(named(f.plugin))
		if err != nil {
			t.Fatal(err)
		}
		inTime(t, f.fault+": its end", 30*time.Second, func() bool { return c.Status().Error != "" })
		add(row{f.fault, "-", f.did, time.Since(began).Round(100 * time.Millisecond).String()})
		c.Close()
	}

	// Answers that cannot be.
	for _, f := range []struct{ fault, plugin string }{{"a reply of 7 MB", "bigreply"}, {"a reply of 70 MB, 200 kB compressed", "gzipbomb"}, {"answers at the last moment, for one of 4", "slow"}, {"answers for others' messages, invents codes", "liar"}} {
		c, err := r.Start(t.Context(), named(f.plugin))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		add(row{f.fault, said(c.Send(t.Context(), messages(4))), "what is not the batch's does not count", time.Since(began).Round(100 * time.Millisecond).String()})
		c.Close()
	}

	// What never starts.
	for _, f := range []struct{ fault, plugin string }{
		{"exits with 0 at once", "exit0"},
		{"says nothing", "silent"},
		{"prints garbage", "garbage"},
		{"another core protocol", "magic"},
		{"another protocol version", "oldprotocol"},
		{"asks to be reached by TCP", "tcp"},
		{"no certificate", "nocert"},
		{"hangs while it is configured", "slowconfigure"},
	} {
		began := time.Now()
		_, err := r.Start(t.Context(), named(f.plugin))
		if err == nil {
			t.Errorf("%s: it was started", f.fault)
			continue
		}
		_, why, _ := strings.Cut(err.Error(), ErrBroken.Error()+": ")
		add(row{f.fault, "-", "refused: " + why[:min(len(why), 70)], time.Since(began).Round(100 * time.Millisecond).String()})
	}

	// What must not be started.
	path := filepath.Join(r.dir, "good")
	for _, f := range []struct {
		fault string
		do    func(*Instance)
	}{
		{"one byte changed", func(i *Instance) {
			i.SHA256 = by.Status().SHA256
			copied(t, path)
			h, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			h.WriteString("x")
			h.Close()
		}},
		{"a symbolic link", func(*Instance) { os.Rename(path, path+"x"); os.Symlink(path+"x", path) }},
		{"writable for others", func(*Instance) { os.Remove(path); install(t, r.dir, "good"); copied(t, path); os.Chmod(path, 0o757) }},
	} {
		i := instance("good")
		f.do(&i)
		before := len(r.audited())
		began := time.Now()
		_, err := r.Start(t.Context(), i)
		switch {
		case err == nil:
			t.Errorf("%s: it was started", f.fault)
		case len(r.audited()) != before+1:
			t.Errorf("%s: not audited", f.fault)
		default:
			add(row{f.fault, "-", "refused, audited: " + map[bool]string{true: "checksum", false: "unsafe"}[errors.Is(err, ErrChecksum)], time.Since(began).Round(100 * time.Millisecond).String()})
		}
	}
	close(stop)
	bystander.Wait()

	var out strings.Builder
	fmt.Fprintf(&out, "\n%-44s %-24s %-78s %s\n", "fault", "messages", "what was done", "took")
	for _, x := range rows {
		fmt.Fprintf(&out, "%-44s %-24s %-78s %s\n", x.fault, x.send, x.did, x.took)
	}
	fmt.Fprintf(&out, "%-44s %-24s the connector beside them sent %d batches, the slowest in %s\n", "-", "-", batches.Load(), time.Duration(slowest.Load()).Round(100*time.Microsecond))
	t.Log(out.String())
}
