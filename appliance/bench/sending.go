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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How much is sent, and over how many connections, by everybody.
const (
	sendingMessages = 50_000
	sendingSessions = 8
)

// sending measures e-mail through the whole of delivery, and each kind of
// connector by itself.
func (b *bench) sending(ctx context.Context) error {
	if err := b.mail(ctx); err != nil {
		return err
	}
	return b.connectors(ctx)
}

// mail measures messages through the whole of delivery, a campaign to a
// connector's process to smtp-sink, beside what smtp-source sends into the same
// smtp-sink, in turns.
func (b *bench) mail(ctx context.Context) (err error) {
	var tools [2]string
	for i, name := range []string{"smtp-sink", "smtp-source"} {
		if tools[i], err = exec.LookPath(name); err != nil {
			tools[i] = filepath.Join("/usr/sbin", name)
		}
		if _, err := os.Stat(tools[i]); err != nil {
			b.report.leave("sending: %s is not there: install postfix", name)
			return nil
		}
	}
	for program, from := range map[string]string{"daemon": "./appliance/cmd/cloister", "connectors/smtp": "./connectors/smtp"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-o", filepath.Join(b.bin, program), from)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", from, err, out)
		}
	}
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[3])
	args := []string{"-c", address, "1024"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	sink := exec.CommandContext(ctx, tools[0], args...)
	if err := sink.Start(); err != nil {
		return err
	}
	defer func() { _ = sink.Process.Kill(); _ = sink.Wait() }()
	s, err := b.sender(ctx, ports)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	var relay *postfix
	if os.Geteuid() != 0 {
		b.report.leave("sending: Postfix's queue: only root can start it")
	} else if relay, err = startPostfix(ctx, ports[4], ports[3]); err != nil {
		return err
	} else {
		defer func() { err = errors.Join(err, relay.end()) }()
	}
	var ours, theirs, queues []float64
	for run := range b.runs {
		before, err := readBytes(sink.Process.Pid)
		if err != nil {
			return err
		}
		rate, err := s.campaign(ctx, run)
		if err != nil {
			return err
		}
		after, err := readBytes(sink.Process.Pid)
		if err != nil {
			return err
		}
		ours = append(ours, rate)
		size := (after - before) / sendingMessages
		began := time.Now()
		if err := smtpSource(ctx, tools[1], sendingMessages, size, address); err != nil {
			return err
		}
		theirs = append(theirs, sendingMessages/time.Since(began).Seconds())
		b.say("sending: %.0f messages a second, smtp-source %.0f, of %d bytes", rate, theirs[run], size)
		if relay != nil {
			kept, err := relay.carry(ctx, tools[1], sendingMessages/10, size)
			if err != nil {
				return err
			}
			queues = append(queues, kept)
			b.say("sending: postfix %.0f messages a second", kept)
		}
	}
	b.report.add(line{Area: "sending", What: "e-mail, campaign to smtp-sink", Unit: "messages/s", Ours: median(ours), Peer: median(theirs), Against: "smtp-source", Target: target{AtLeast: 0.8}})
	if relay != nil {
		b.report.add(line{Area: "sending", What: "e-mail, the same", Unit: "messages/s", Ours: median(ours), Peer: median(queues), Against: "Postfix's queue"})
	}
	return nil
}

// readBytes is how much a process has read.
func readBytes(pid int) (int, error) {
	n, err := strconv.Atoi(field(fmt.Sprintf("/proc/%d/io", pid), "rchar"))
	if err != nil {
		return 0, fmt.Errorf("what smtp-sink has read: %w", err)
	}
	return n, nil
}

// sender is the real daemon with people who want mail.
type sender struct {
	dir     string
	admin   *http.Client
	metrics string // where they are read
	cmd     *exec.Cmd
	exited  chan error
}

func (b *bench) sender(ctx context.Context, ports []int) (_ *sender, err error) {
	s := &sender{exited: make(chan error, 1), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[2])}
	if s.dir, err = os.MkdirTemp(b.dir, "sending-"); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`appliance {
  data_dir     = %q
  public_url   = "http://127.0.0.1:%d"
  disk_reserve = "256MiB"
}
listener "collect" { address = "127.0.0.1:%[2]d" }
listener "console" { address = "127.0.0.1:%d" }
listener "metrics" { address = "127.0.0.1:%d" }
publisher "acme" {
  timezone = "UTC"
  key "app" { id = "KEY" }
  purpose "offers" { channels = ["email"] }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host        = "127.0.0.1"
      port        = %d
      from        = "Acme <hello@acme.example>"
      connections = %d
      tls { mode = "none" }
    }
  }
}
`, filepath.Join(s.dir, "data"), ports[0], ports[1], ports[2], ports[3], sendingSessions)
	file := filepath.Join(s.dir, "cloister.hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s.admin = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "data", "admin.sock"))
	}}}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, filepath.Join(b.bin, "daemon"), "server", "--config", file)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.exited <- s.cmd.Wait() }()
	if err := ready(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[2]), s.exited); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	var people bytes.Buffer
	for i := range sendingMessages {
		fmt.Fprintf(&people, `{"user":"u%d","profile":{"name":"Ana","tier":"gold","email":"u%[1]d@example.com"},"consent":[{"purpose":"offers","granted":true}]}`+"\n", i)
	}
	var taken struct{ Taken int }
	if err := s.call(ctx, http.MethodPost, "/import/profiles?source=cafe&line=1", people.Bytes(), &taken); err != nil {
		return nil, errors.Join(err, s.end())
	}
	if taken.Taken != sendingMessages {
		return nil, errors.Join(fmt.Errorf("%d of %d people were taken", taken.Taken, sendingMessages), s.end())
	}
	// What is measured is sending, and not the end of the import.
	imported := func() (float64, error) { return s.metric(ctx, `people{publisher="acme"}`) }
	if err := s.until(ctx, imported, sendingMessages); err != nil {
		return nil, errors.Join(fmt.Errorf("importing people: %w", err), s.end())
	}
	return s, nil
}

// campaign sends one to everybody, and says how many messages a second the relay
// took, from setting it running until its report has the last.
func (s *sender) campaign(ctx context.Context, run int) (float64, error) {
	body, err := json.Marshal(map[string]any{
		"id": fmt.Sprint("run-", run), "name": "Run", "state": "running", "channel": "email", "purpose": "offers", "class": "marketing",
		"trigger": map[string]any{"type": "once", "audience": json.RawMessage(`{"profile":{"property":"tier","op":"=","value":"gold"}}`)},
		"content": map[string]any{"subject": "Good morning, {{ Profile.name }}", "html": "<html><body>" + strings.Repeat("<p>Good morning, {{ Profile.name }}, this is new today.</p>\n", 20) + `<a href="{{ unsubscribe_url }}">No more</a></body></html>`},
	})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := s.call(ctx, http.MethodPost, "/campaigns", body, nil); err != nil {
		return 0, err
	}
	name := fmt.Sprintf("/campaigns/run-%d/report", run)
	err = s.until(ctx, func() (float64, error) {
		// The metric costs nothing; the report is a question over all messages.
		sent, err := s.metric(ctx, `messages_total{publisher="acme",state="sent"}`)
		if err != nil || sent < float64(run+1)*sendingMessages {
			return sent, err
		}
		var report struct{ Sent float64 }
		err = s.call(ctx, http.MethodGet, name, nil, &report)
		return float64(run)*sendingMessages + report.Sent, err
	}, float64(run+1)*sendingMessages)
	return sendingMessages / time.Since(began).Seconds(), err
}

// until asks 20 times a second until there are enough. None more for a minute is
// an error.
func (s *sender) until(ctx context.Context, count func() (float64, error), enough float64) error {
	moved, last := time.Now(), -1.0
	for {
		n, err := count()
		if err != nil || n >= enough {
			return err
		}
		if n != last {
			moved, last = time.Now(), n
		}
		if time.Since(moved) > time.Minute {
			return fmt.Errorf("there were %.0f of %.0f, and for a minute no more", n, enough)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case err := <-s.exited:
			return fmt.Errorf("the daemon ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// metric reads one from the daemon; what is not there yet is 0.
func (s *sender) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metrics, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "cloister_"+name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(n), 64)
		}
	}
	return 0, nil
}

func (s *sender) call(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://admin/v1/publishers/acme"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := s.admin.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

func (s *sender) end() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if err == nil {
		err = <-s.exited
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
