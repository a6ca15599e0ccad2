//go:build e2e

// Package e2e tries the whole appliance as its users meet it: the built daemon
// as a process, its connectors, a real SMTP server, client libraries from their
// registries, and kill -9. It needs `make build` and, for mail, Postfix.
package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// eventually waits for what is expected, looking often.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(50 * time.Millisecond) // the interval of looking, not a wait for a result
	}
}

// had are the ports that freePort gave.
var had sync.Map

// freePort gives a port that nobody listens on. It is below those that the kernel
// gives by itself, to connections that go out too, and is given once: two listeners
// of a daemon that begins later must not find it taken, by each other above all.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(22_000)
		if _, again := had.LoadOrStore(port, true); again {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			must(t, l.Close())
			return port
		}
	}
	t.Fatal("there is no free port")
	return 0
}

// daemon is the built program, run as a process over one data directory.
type daemon struct {
	t       testing.TB
	dir     string // of data
	config  string
	collect string       // address of the door for apps
	apps    *http.Client // that apps and recipients use
	admin   *http.Client
	cmd     *exec.Cmd
	ended   chan error
	log     *safeBuffer
}

const program = "../../bin/cloister"

// newDaemon prepares one. With secure the door for apps has TLS, as links in
// real messages must, with a certificate of its own making.
func newDaemon(t testing.TB, secure bool, publisherHCL string) *daemon {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	dir, err := os.MkdirTemp("/tmp", "cloister-e2e-") // short: a socket's path is bounded
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{t: t, dir: filepath.Join(dir, "data"), config: filepath.Join(dir, "cloister.hcl"), log: &safeBuffer{}}
	port := freePort(t)
	d.collect, d.apps = fmt.Sprintf("http://127.0.0.1:%d", port), &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	tlsHCL := ""
	if secure {
		d.collect, tlsHCL = fmt.Sprintf("https://127.0.0.1:%d", port), "tls { self_signed = true }"
		d.apps.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	}
	d.apps.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(d.apps.CloseIdleConnections)
	must(t, os.WriteFile(d.config, fmt.Appendf(nil, `
appliance {
  name       = "e2e"
  data_dir   = %q
  public_url = %q
}
listener "collect" {
  address = "127.0.0.1:%d"
  %s
}
listener "console" { address = "127.0.0.1:%d" }
listener "metrics" { address = "127.0.0.1:%d" }
%s`, d.dir, d.collect, port, tlsHCL, freePort(t), freePort(t), publisherHCL), 0o600))
	d.admin = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", filepath.Join(d.dir, "admin.sock"))
		},
	}}
	t.Cleanup(d.stop)
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(program, "server", "--config", d.config)
	d.cmd.Stderr, d.cmd.Stdout = d.log, d.log
	must(d.t, d.cmd.Start())
	d.ended = make(chan error, 1)
	go func(c *exec.Cmd, ended chan error) { ended <- c.Wait() }(d.cmd, d.ended)
	eventually(d.t, 60*time.Second, "the daemon is ready", func() bool {
		select {
		case err := <-d.ended:
			d.cmd = nil
			d.t.Fatalf("the daemon ended: %v\n%s", err, d.log)
		default:
		}
		resp, err := d.admin.Get("http://admin/v1/admin/status")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends the daemon at once, and nothing that it might still do.
func (d *daemon) kill() {
	d.t.Helper()
	must(d.t, d.cmd.Process.Kill())
	<-d.ended
	d.cmd = nil
	d.admin.CloseIdleConnections()
}

func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	if d.t.Failed() {
		for _, path := range []string{"/health", "/publishers/shop/connectors", "/publishers/shop/messages?person=asha&limit=10"} {
			var answer json.RawMessage
			d.call("GET", path, nil, &answer)
			d.t.Logf("%s: %s", path, answer)
		}
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		d.t.Error("the daemon did not end within 30 s")
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	d.cmd = nil
	if d.t.Failed() {
		d.t.Logf("the daemon's log:\n%s", d.log)
	}
}

// call speaks to the admin socket; out may be nil.
func (d *daemon) call(method, path string, in, out any) int {
	d.t.Helper()
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case string:
		body = bytes.NewBufferString(in)
	default:
		b, err := json.Marshal(in)
		must(d.t, err)
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "http://admin/v1"+path, body)
	must(d.t, err)
	resp, err := d.admin.Do(req)
	must(d.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(d.t, err)
	if resp.StatusCode >= 300 {
		d.t.Logf("%s %s: %d %s", method, path, resp.StatusCode, b)
	} else if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			d.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return resp.StatusCode
}

// total asks a trend of one event and gives its total.
func (d *daemon) total(publisher, event string) float64 {
	d.t.Helper()
	var answer struct {
		Result struct {
			Series []struct{ Total float64 }
		}
	}
	q := fmt.Sprintf(`{"kind":"trend","interval":"all","series":[{"name":"A","event":%q,"measure":"count"}]}`, event)
	if code := d.call("POST", "/publishers/"+publisher+"/query", q, &answer); code != 200 {
		d.t.Fatalf("asking for %q: %d", event, code)
	}
	if len(answer.Result.Series) == 0 {
		return 0
	}
	return answer.Result.Series[0].Total
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
