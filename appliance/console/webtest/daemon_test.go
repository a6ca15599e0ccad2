//go:build e2e

package webtest

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

var signInLink = regexp.MustCompile(`https?://\S+/sign-in#\S+`)

// startDemo runs the daemon's demo in a directory of its own and gives the
// sign-in link that it prints. The test's end stops it.
func startDemo(t *testing.T, program string) string {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("the daemon is needed: run make build, or say where it is with -daemon or -console: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "server", "--demo", "--data-dir", t.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the daemon: %v", err)
	}
	link := make(chan string, 1)
	var said []string // the latest lines, for a daemon that does not start
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Go(func() {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			mu.Lock()
			said = append(said[max(0, len(said)-30):], lines.Text())
			mu.Unlock()
			if found := signInLink.FindString(lines.Text()); found != "" {
				select {
				case link <- found:
				default:
				}
			}
		}
		io.Copy(io.Discard, r) // a line past the scanner's bound must not block the daemon
	})
	done := make(chan struct{})
	wg.Go(func() {
		cmd.Wait()
		w.Close()
		close(done)
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	select {
	case l := <-link:
		return l
	case <-done:
	case <-time.After(time.Minute):
	}
	mu.Lock()
	defer mu.Unlock()
	t.Fatalf("the daemon printed no sign-in link; its last lines: %q", said)
	return ""
}
