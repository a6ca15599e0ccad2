package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// idle is what a daemon needs that nobody asks anything of.
type idle struct {
	start                    float64 // seconds until it is ready
	resident, files, threads float64 // bytes; open files; goroutines
}

// daemon starts the real daemon with one publisher, with twenty, and with
// twenty of which one has the mix's events.
func (b *bench) daemon(ctx context.Context) (err error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-o", filepath.Join(b.bin, "daemon"), "./appliance/cmd/cloister")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the daemon: %w: %s", err, out)
	}
	one := b.find(cloister)
	if _, err := b.loaded(one, b.events); err != nil {
		return err
	}
	for _, c := range []struct {
		what       string
		publishers int
		copied     string
		most       float64 // MB
	}{
		{"one publisher", 1, "", 150},
		{"twenty publishers", 20, "", 400},
		{"twenty, one with all events", 20, b.home(one, b.events), 0},
	} {
		m, err := b.rest(ctx, c.publishers, c.copied)
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		for _, l := range []line{
			{What: "memory", Unit: "MB", Ours: m.resident / 1e6, Target: target{AtMost: c.most}},
			{What: "open files", Ours: m.files},
			{What: "goroutines", Ours: m.threads},
			{What: "start to ready", Unit: "s", Ours: m.start},
		} {
			l.Area, l.What = "idle daemon", c.what+": "+l.What
			b.report.add(l)
		}
	}
	return nil
}

// rest starts a daemon, leaves it alone for a while, and reads its metrics.
func (b *bench) rest(ctx context.Context, publishers int, copied string) (m idle, err error) {
	dir, err := os.MkdirTemp(b.dir, "daemon-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	if copied != "" {
		if err := copyTree(ctx, copied, data); err != nil {
			return m, err
		}
	}
	ports, err := freePorts(3)
	if err != nil {
		return m, err
	}
	file := filepath.Join(dir, "cloister.hcl")
	if err := os.WriteFile(file, []byte(configuration(data, ports, publishers)), 0o600); err != nil {
		return m, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return m, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "daemon"), "server", "--config", file)
	cmd.Stdout, cmd.Stderr = log, log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	metrics := "http://127.0.0.1:" + strconv.Itoa(ports[2])
	err = ready(ctx, metrics+"/readyz", exited)
	m.start = time.Since(began).Seconds()
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return m, fmt.Errorf("%w: %s", err, text)
	}
	select {
	case <-time.After(b.hold() / 2):
	case <-ctx.Done():
	}
	err = m.scrape(metrics + "/metrics")
	return m, errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), <-exited)
}

func copyTree(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copying %s: %w: %s", from, err, out)
	}
	return nil
}

// configuration is a daemon's with so many publishers, the first of them the
// one that is loaded.
func configuration(data string, ports []int, publishers int) string {
	var s strings.Builder
	fmt.Fprintf(&s, "appliance {\n  data_dir     = %q\n  disk_reserve = \"256MiB\"\n}\n", data)
	for i, name := range []string{"collect", "console", "metrics"} {
		fmt.Fprintf(&s, "listener %q { address = \"127.0.0.1:%d\" }\n", name, ports[i])
	}
	for i := range publishers {
		name := "acme"
		if i > 0 {
			name = fmt.Sprint("acme-", i)
		}
		fmt.Fprintf(&s, "publisher %q {\n  timezone = \"UTC\"\n  key \"app\" { id = \"KEY-%d\" }\n}\n", name, i)
	}
	return s.String()
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// ready waits until a daemon says that it is.
func ready(ctx context.Context, url string, exited <-chan error) error {
	for {
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-exited:
			return fmt.Errorf("the daemon ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// scrape reads what the daemon tells of itself.
func (m *idle) scrape(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	into := map[string]*float64{"process_resident_memory_bytes": &m.resident, "process_open_fds": &m.files, "go_goroutines": &m.threads}
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		if to, ok := into[name]; ok {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return err
			}
			delete(into, name)
		}
	}
	if len(into) > 0 {
		return fmt.Errorf("the daemon's metrics lack %d that are needed", len(into))
	}
	return nil
}
