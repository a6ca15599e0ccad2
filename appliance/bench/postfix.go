package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// postfix is a Postfix that hands all that it takes to smtp-sink: as delivery,
// it has each message on disk before it answers for it or tries it.
type postfix struct{ dir, address string }

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.test
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:%[2]d
default_destination_concurrency_limit = %[3]d
initial_destination_concurrency = %[3]d
in_flow_delay = 0
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
smtpd_recipient_restrictions = permit_mynetworks, reject
`

const postfixMaster = `%d inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
`

// startPostfix starts one that hands on to the port sink. Only root can.
func startPostfix(ctx context.Context, port, sink int) (_ *postfix, err error) {
	p := &postfix{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	// Not below what is the bench's: its parents are closed to Postfix's own user.
	if p.dir, err = os.MkdirTemp("", "bench-postfix-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(p.dir))
		}
	}()
	if err := os.Chmod(p.dir, 0o755); err != nil {
		return nil, err
	}
	for _, d := range []string{"queue", "data", "conf"} {
		if err := os.Mkdir(filepath.Join(p.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{"main.cf": fmt.Sprintf(postfixMain, p.dir, sink, sendingSessions), "master.cf": fmt.Sprintf(postfixMaster, port)} {
		if err := os.WriteFile(filepath.Join(p.dir, "conf", name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if out, err := exec.CommandContext(ctx, "chown", "postfix", filepath.Join(p.dir, "data")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chown: %w: %s", err, out)
	}
	return p, p.command("start")
}

func (p *postfix) command(what string) error {
	out, err := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(p.dir, "conf"), what).CombinedOutput()
	if err != nil {
		return fmt.Errorf("postfix %s: %w: %s", what, err, out)
	}
	return nil
}

// queued is how many messages it has taken and not handed on.
func (p *postfix) queued() (n int, err error) {
	for _, q := range []string{"incoming", "active", "deferred"} {
		err := filepath.WalkDir(filepath.Join(p.dir, "queue", q), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // handed on meanwhile
			}
			if err == nil && !e.IsDir() {
				n++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// carry has it take and hand on n messages that source makes, and says how many
// a second that was.
func (p *postfix) carry(ctx context.Context, source string, n, size int) (float64, error) {
	began := time.Now()
	if err := smtpSource(ctx, source, n, size, p.address); err != nil {
		return 0, err
	}
	moved, last := time.Now(), 0
	for {
		left, err := p.queued()
		if err != nil || left == 0 {
			return float64(n) / time.Since(began).Seconds(), err
		}
		if left != last {
			moved, last = time.Now(), left
		}
		if time.Since(moved) > time.Minute {
			return 0, fmt.Errorf("postfix has %d messages, and for a minute no less", left)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// end stops it; nothing of it stays.
func (p *postfix) end() error { return errors.Join(p.command("stop"), os.RemoveAll(p.dir)) }

// smtpSource sends n messages as fast as it goes.
func smtpSource(ctx context.Context, path string, n, size int, address string) error {
	out, err := exec.CommandContext(ctx, path, "-d", "-s", strconv.Itoa(sendingSessions), "-m", strconv.Itoa(n),
		"-l", strconv.Itoa(size), "-f", "hello@acme.example", "-t", "ana@example.com", address).CombinedOutput()
	if err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}
