package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
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
	"time"
)

// publisher and key are the only ones of each trial's daemon.
const (
	publisher = "shop"
	key       = "SHOP-APP"
)

// daemon is the built program, run as a process over a data directory of its
// own, which outlives kill and start.
type daemon struct {
	program, dir, config, collect, metrics string
	http                                   *http.Client // takes any certificate

	mu      sync.Mutex // held while it starts or ends
	cmd     *exec.Cmd
	ended   chan error
	failure error        // of a start in the background
	log     bytes.Buffer // written by one process at a time
	repeats int          // of the lives that ended
	refused int
}

// newDaemon writes a configuration below dir. With secure the door for apps has
// TLS, by a certificate that the daemon makes.
func newDaemon(program, dir string, secure bool) (*daemon, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	d := &daemon{program: program, dir: filepath.Join(dir, "data"), config: filepath.Join(dir, "cloister.hcl"),
		http:    &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
		collect: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[2])}
	tlsHCL := ""
	if secure {
		d.collect, tlsHCL = fmt.Sprintf("https://127.0.0.1:%d", ports[0]), "tls { self_signed = true }"
	}
	hcl := fmt.Sprintf(`
appliance {
  name       = "sdks"
  data_dir   = %q
  public_url = %q
}
listener "collect" {
  address = "127.0.0.1:%d"
  %s
}
listener "console" { address = "127.0.0.1:%d" }
listener "metrics" { address = "127.0.0.1:%d" }
publisher %q {
  key "app" { id = %q }
  purpose "news" { channels = ["email", "push"] }
}
`, d.dir, d.collect, ports[0], tlsHCL, ports[1], ports[2], publisher, key)
	return d, os.WriteFile(d.config, []byte(hcl), 0o600)
}

func freePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// start runs it and returns when it takes requests.
func (d *daemon) start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.run(ctx)
}

func (d *daemon) run(ctx context.Context) error {
	cmd := exec.Command(d.program, "server", "--config", d.config)
	cmd.Stdout, cmd.Stderr = &d.log, &d.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	d.cmd, d.ended = cmd, ended
	address := strings.TrimPrefix(strings.TrimPrefix(d.collect, "http://"), "https://")
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the daemon did not open %s: %w", address, ctx.Err())
		case err := <-ended:
			d.cmd = nil
			return fmt.Errorf("the daemon ended: %w\n%s", err, d.log.String())
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
	}
}

// kill ends it at once, and begins to start it; wait waits for that, since the
// lock is let go when the start is over. Nothing may be on its way to it: what
// it took and did not count yet would be counted by no life.
func (d *daemon) kill(ctx context.Context) {
	d.mu.Lock()
	d.count()
	d.failure = errors.Join(d.failure, d.cmd.Process.Kill())
	<-d.ended
	go func() {
		defer d.mu.Unlock()
		d.failure = errors.Join(d.failure, d.run(ctx))
	}()
}

// wait waits for a start that kill began.
func (d *daemon) wait() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// stop ends it as systemd would.
func (d *daemon) stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return nil
	}
	d.count()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := <-d.ended
	d.cmd = nil
	return err
}

// count adds what this life counted, which its end would forget, once all that
// it took went through the stages.
func (d *daemon) count() {
	for range 500 {
		text := d.scrape()
		if text == "" {
			return // it does not answer: then it has counted nothing
		}
		if sum(text, "cloister_facts_applied_total") >= sum(text, "cloister_facts_appended_total") {
			d.repeats += sum(text, "cloister_facts_repeated_total")
			d.refused += sum(text, "cloister_records_refused_total") + sum(text, "cloister_facts_refused_total")
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	d.failure = errors.Join(d.failure, errors.New("the daemon took facts, and ten seconds later they had not gone through the stages"))
}

// repeated waits until a repeat was recognised, or patience ends.
func (d *daemon) repeated(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		d.mu.Lock()
		n := d.repeats + sum(d.scrape(), "cloister_facts_repeated_total")
		d.mu.Unlock()
		if n > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// scrape gives the metrics, nothing if the daemon does not answer.
func (d *daemon) scrape() string {
	resp, err := d.http.Get(d.metrics)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(text)
}

// sum adds the values of a metric over its labels.
func sum(text, name string) (n int) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok && rest[0] == '{' {
			v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			if err == nil {
				n += int(v)
			}
		}
	}
	return n
}

// cloister runs a verb of the program against this daemon and decodes what it
// prints.
func (d *daemon) cloister(ctx context.Context, in string, out any, verb ...string) error {
	args := append(verb, "--socket", filepath.Join(d.dir, "admin.sock"), "--publisher", publisher)
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Stdin = strings.NewReader(in)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cloister %s: %w: %s", strings.Join(verb, " "), err, strings.TrimSpace(complaint.String()))
	}
	return json.Unmarshal(text, out)
}
