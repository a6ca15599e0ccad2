//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Keys of the one publisher.
const (
	appKey       = "SHOP-APP"
	serverKey    = "SHOP-SRV"
	serverSecret = "s3cret"
)

// daemon is the built program over one data directory.
type daemon struct {
	h       *harness
	data    string
	config  string
	collect string
	admin   *http.Client
	wrap    []string // what the program is run under

	cmd   *exec.Cmd
	ended chan error
	log   *tail
}

// newDaemon writes a configuration for data, which may be on another disk.
func (h *harness) newDaemon(name, data string) (*daemon, error) {
	return h.newDaemonWith(name, data, "", "")
}

// newDaemonWith is newDaemon with more in the blocks of the appliance and of the
// publisher.
func (h *harness) newDaemonWith(name, data, appliance, publisher string) (*daemon, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	d := &daemon{h: h, data: data, config: filepath.Join(h.dir, name+".hcl"), collect: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), log: new(tail)}
	text := fmt.Sprintf(`
appliance {
  data_dir     = %q
  public_url   = %q
  disk_reserve = "512MiB"
%s}
listener "collect" { address = "127.0.0.1:%d" }
listener "console" { address = "127.0.0.1:%d" }
listener "metrics" { address = "127.0.0.1:%d" }
publisher "shop" {
  key "app" { id = %q }
  key "server" {
    id     = %q
    secret = %q
  }
  purpose "offers" { title = "Offers" }
%s}
`, data, d.collect, appliance, ports[0], ports[1], ports[2], appKey, serverKey, serverSecret, publisher)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	d.admin = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.data, "admin.sock"))
		},
	}}
	return d, nil
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

// errEnded: the daemon ended by itself.
var errEnded = errors.New("the daemon ended")

// start starts the daemon and waits until it answers. errEnded comes with the
// end of its log.
func (d *daemon) start(ctx context.Context) error {
	args := append(append([]string{}, d.wrap...), d.h.program, "server", "--config", d.config)
	d.cmd = exec.Command(args[0], args[1:]...)
	if d.h.verbose {
		d.h.keepLog(d)
	}
	d.log.reset()
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	d.ended = ended
	go func(c *exec.Cmd) { ended <- c.Wait() }(d.cmd)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			d.cmd = nil
			return fmt.Errorf("%w: %v: %s", errEnded, err, d.log.end())
		case <-ctx.Done():
			d.kill()
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if _, err := d.status(ctx); err == nil {
			return nil
		}
	}
	d.kill()
	return fmt.Errorf("the daemon is not ready after a minute: %s", d.log.end())
}

// keepLog puts the log of the run before beside the configuration.
func (h *harness) keepLog(d *daemon) {
	if f, err := os.OpenFile(d.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintf(f, "%s\n--- started %s\n", d.log.all(), time.Now().Format(time.RFC3339Nano))
		f.Close()
	}
}

// kill ends it at once, with what it is run under.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-d.ended
	d.cmd = nil
}

// stop ends it well.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-d.ended:
		d.cmd = nil
		return err
	case <-time.After(30 * time.Second):
		d.kill()
		return errors.New("the daemon does not end within 30 s of SIGTERM")
	}
}

// gone says whether it ended by itself.
func (d *daemon) gone() bool {
	select {
	case err := <-d.ended:
		d.ended <- err
		return true
	default:
		return false
	}
}

// problem is one of health's.
type problem struct {
	Code, Severity, Summary string
}

// status are the problems that the daemon reports.
func (d *daemon) status(ctx context.Context) ([]problem, error) {
	var s struct{ Problems []problem }
	err := d.call(ctx, http.MethodGet, "/v1/admin/status", nil, &s)
	return s.Problems, err
}

// call speaks to the admin socket.
func (d *daemon) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, body)
	if err != nil {
		return err
	}
	resp, err := d.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &answerError{resp.StatusCode, fmt.Sprintf("%s %s: %d %.300s", method, path, resp.StatusCode, b)}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// answerError is an answer that is no 2xx.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return e.text }

// tail keeps the end of a log.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b = append(t.b, p...); len(t.b) > 64<<10 {
		t.b = append([]byte{}, t.b[len(t.b)-32<<10:]...)
	}
	return len(p), nil
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = nil
}

func (t *tail) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

func (t *tail) end() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b[max(0, len(t.b)-2000):])
}
