package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// conn is one connection to the relay, ready for a message. It is one
// goroutine's. Commands are pipelined, which is why this is not a library's client:
// none of them does it, and over a distance it is most of the time.
type conn struct {
	nc      net.Conn
	text    *textproto.Conn
	timeout time.Duration
	ext     map[string]string // what the relay can do, by upper-case name
	out     []byte            // to be written next
	sent    int
	used    time.Time
}

// step is what was being done when a connection failed.
type step string

// stepError is a failure before or after a message: nothing of it was sent.
type stepError struct {
	step  step
	reply reply // zero if there was none
	err   error // nil if there was a reply
}

func (e *stepError) Error() string {
	if e.err != nil {
		return fmt.Sprintf("%s: %v", e.step, e.err)
	}
	return fmt.Sprintf("%s: the relay answered %s", e.step, e.reply)
}

func (e *stepError) Unwrap() error { return e.err }

// dial connects, encrypts and signs in.
func (c *config) dial(ctx context.Context) (_ *conn, err error) {
	d := net.Dialer{Timeout: c.timeout}
	nc, err := d.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, &stepError{step: "connecting", err: err}
	}
	k := &conn{nc: nc, timeout: c.timeout, used: time.Now()}
	defer func() {
		if err != nil {
			k.nc.Close()
		}
	}()
	if c.tlsMode == tlsWhole {
		if err := k.encrypt(ctx, c.tls); err != nil {
			return nil, err
		}
	}
	k.wrap()
	k.until(ctx)
	if r, err := k.read(); err != nil || !r.ok() {
		return nil, &stepError{"greeting", r, err}
	}
	if err := k.hello(c.hello); err != nil {
		return nil, err
	}
	if c.tlsMode == tlsStart {
		if _, ok := k.ext["STARTTLS"]; !ok {
			return nil, &stepError{step: "encrypting", err: errors.New("the relay offers no STARTTLS; write tls { mode = \"none\" } if that is meant")}
		}
		if r, err := k.command("STARTTLS"); err != nil || !r.ok() {
			return nil, &stepError{"encrypting", r, err}
		}
		// What the relay, or somebody between, sent ahead of the encryption
		// must not be taken for the relay's.
		if k.text.R.Buffered() > 0 {
			return nil, &stepError{step: "encrypting", err: errors.New("there was more in the clear than the answer")}
		}
		if err := k.encrypt(ctx, c.tls); err != nil {
			return nil, err
		}
		k.wrap()
		k.until(ctx)
		if err := k.hello(c.hello); err != nil {
			return nil, err
		}
	}
	if c.username != "" {
		if err := k.auth(c); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// wrap reads and writes text on the connection as it is now.
func (k *conn) wrap() { k.text = textproto.NewConn(k.nc) }

func (k *conn) encrypt(ctx context.Context, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	t := tls.Client(k.nc, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return &stepError{step: "encrypting", err: err}
	}
	k.nc = t
	return nil
}

// until sets how long the next answer may take.
func (k *conn) until(ctx context.Context) {
	at := time.Now().Add(k.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(at) {
		at = d
	}
	_ = k.nc.SetDeadline(at)
}

func (k *conn) hello(name string) error {
	r, err := k.command("EHLO " + name)
	if err != nil || !r.ok() {
		return &stepError{"greeting", r, err}
	}
	k.ext = make(map[string]string)
	for i, line := range strings.Split(r.text, "\n") {
		if i > 0 {
			name, arg, _ := strings.Cut(line, " ")
			k.ext[strings.ToUpper(name)] = arg
		}
	}
	return nil
}

// command sends one line and reads its answer.
func (k *conn) command(line string) (reply, error) {
	if err := k.text.PrintfLine("%s", line); err != nil {
		return reply{}, err
	}
	return k.read()
}

// quit says goodbye and does not wait long for the answer.
func (k *conn) quit() {
	_ = k.nc.SetDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = k.command("QUIT")
	k.nc.Close()
}
