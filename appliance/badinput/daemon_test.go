package badinput

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is the program, built and run as a process.
type daemon struct {
	t       testing.TB
	dir     string
	collect string // host:port
	console string
	metrics string
	mail    string
	cmd     *exec.Cmd
	ended   chan error
	log     *safeBuffer
	client  *http.Client
	admin   *http.Client
}

const configuration = `
appliance {
  name     = "badinput"
  data_dir = %q

  log_level      = "debug"
  connector_dirs = [%q]
}
listener "mail" { address = %q }
listener "collect" { address = %q }
listener "console" { address = %q }
listener "metrics" { address = %q }
publisher "acme" {
  key "app" { id = "ACME-APP" }
  key "server" {
    id     = "ACME-SRV"
    secret = env("BADINPUT_SECRET")
    allow  = ["read", "erase", "campaigns"]
  }
  purpose "offers" { channels = ["email", "sms", "push"] }
` + providers + `}
publisher "flood" {
  key "app" { id = "FLOOD-APP" }
  limits { key_rate = "20/s" }
}
publisher "other" {
  key "app" { id = "OTHER-APP" }
  key "server" {
    id     = "OTHER-SRV"
    secret = env("BADINPUT_SECRET")
    allow  = ["read", "erase"]
  }
}
`

const secret = "a-secret-of-servers"

// freeAddresses gives so many addresses that nobody listens on: they are held until
// all are found, so that none is given twice.
func freeAddresses(t testing.TB, n int) (out []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

func startDaemon(t testing.TB) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cloister-bad-") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "cloister")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/cloister").CombinedOutput(); err != nil {
		t.Fatalf("building the daemon: %v\n%s", err, out)
	}
	connectors := filepath.Join(dir, "connectors")
	if err := os.Mkdir(connectors, 0o700); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", connectors+"/", "../../connectors/smshttp", "../../connectors/smtp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the connectors: %v\n%s", err, out)
	}
	at := freeAddresses(t, 4)
	d := &daemon{t: t, dir: filepath.Join(dir, "data"), collect: at[0], console: at[1], metrics: at[2], mail: at[3], log: &safeBuffer{}}
	file := filepath.Join(dir, "cloister.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, d.dir, connectors, d.mail, d.collect, d.console, d.metrics), 0o600); err != nil {
		t.Fatal(err)
	}
	d.client = &http.Client{Timeout: 40 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	d.admin = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", filepath.Join(d.dir, "admin.sock"))
	}}}
	d.cmd = exec.Command(program, "server", "--config", file)
	d.cmd.Env = append(os.Environ(), "BADINPUT_SECRET="+secret)
	d.cmd.Stderr, d.cmd.Stdout = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(d.stop)
	for deadline := time.Now().Add(60 * time.Second); ; {
		if resp, err := d.admin.Get("http://admin/v1/admin/status"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return d
			}
		}
		if d.crashed() || time.Now().After(deadline) {
			t.Fatalf("the daemon does not start:\n%s", d.log)
		}
		time.Sleep(50 * time.Millisecond) // the interval of looking
	}
}

func (d *daemon) crashed() bool {
	select {
	case err := <-d.ended:
		d.ended <- err
		return true
	default:
		return false
	}
}

func (d *daemon) stop() {
	d.client.CloseIdleConnections()
	d.admin.CloseIdleConnections()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(40 * time.Second):
		d.t.Error("the daemon does not end")
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	if d.t.Failed() {
		d.t.Logf("%.4000s", d.log)
	}
}

// memory is what the daemon has in memory (VmRSS:), or had at most (VmHWM:), in
// MiB.
func (d *daemon) memory(which string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), which)
	kib, _ := strconv.Atoi(strings.Fields(rest)[0])
	return kib >> 10
}

// answer is what came back; status 0 = the connection ended without one.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to a listener; what is not valid as HTTP goes by raw.
func (d *daemon) ask(c *http.Client, method, url string, body io.Reader, headers ...string) answer {
	d.t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Content-Encoding" {
			r.Header.Add(headers[i], headers[i+1])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := c.Do(r)
	if err != nil {
		return answer{body: err.Error(), header: http.Header{}}
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (d *daemon) app(method, path string, body io.Reader, headers ...string) answer {
	return d.ask(d.client, method, "http://"+d.collect+path, body, headers...)
}

func (d *daemon) operator(method, path string, body io.Reader, headers ...string) answer {
	return d.ask(d.client, method, "http://"+d.console+path, body, headers...)
}

func (d *daemon) root(method, path, body string) answer {
	return d.ask(d.admin, method, "http://admin"+path, strings.NewReader(body))
}

// token makes one with a role on a publisher.
func (d *daemon) token(publisher, role string) string {
	d.t.Helper()
	a := d.root("POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"roles":{%q:%q}}`, publisher+"-"+role, publisher, role))
	var out struct{ Secret string }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || out.Secret == "" {
		d.t.Fatalf("no token: %d %s", a.status, a.body)
	}
	return "Bearer " + out.Secret
}

// refused is how many records the doors refused, of all publishers.
func (d *daemon) refused() (n float64) {
	a := d.ask(d.client, "GET", "http://"+d.metrics+"/metrics", nil)
	for line := range strings.Lines(a.body) {
		if strings.HasPrefix(line, "cloister_records_refused_total{") {
			v, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			n += v
		}
	}
	return n
}

// raw sends bytes and reads until the daemon closes, or for a while.
func (d *daemon) raw(address, text string, wait time.Duration) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wait))
	_, _ = io.WriteString(conn, text)
	b, _ := io.ReadAll(conn)
	return string(b)
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
