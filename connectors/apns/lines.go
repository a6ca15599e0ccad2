package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// lines are the connections to the provider. A request takes the next one in
// turn, and waits there for a stream. It does not leave the waiting to net/http:
// with StrictMaxConcurrentRequests, Go 1.26 counts those that wait among those
// that are on their way, and once they fill the limit by themselves none goes on.
type lines struct {
	each []*line
	turn atomic.Uint64
}

// line keeps one connection. A new one allows a single stream until its first
// request was answered, so that this one goes alone.
type line struct {
	t       *http.Transport
	streams chan struct{}
	first   chan struct{} // whose it is goes alone

	mu   sync.Mutex
	warm bool
	used time.Time
}

// idle is after how long an unused connection is closed.
const idle = 5 * time.Minute

// cold says whether the connection is, or may be, to be made anew.
func (x *line) cold() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.warm || time.Since(x.used) > idle-30*time.Second
}

func (x *line) answered(ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.warm, x.used = ok, time.Now()
}

func newLines(c *config) *lines {
	l := &lines{}
	for range c.conns {
		l.each = append(l.each, &line{t: c.transport(), streams: make(chan struct{}, c.streams), first: make(chan struct{}, 1)})
	}
	return l
}

func (l *lines) close() {
	for _, x := range l.each {
		x.t.CloseIdleConnections()
	}
}

// answer is what the provider said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// post sends a request and reads the answer. Where there is none, sent says
// whether the request can have arrived: what was not written, or what the
// provider certifies not to have looked at (GOAWAY, REFUSED_STREAM), has not.
// The transport sends the latter again by itself, and asks for the body anew
// only then; so each way back to that point makes it unsent.
func (l *lines) post(ctx context.Context, url string, header http.Header, body []byte) (a answer, sent bool, err error) {
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, false, fmt.Errorf("making a request: %w", err)
	}
	req.GetBody = func() (io.ReadCloser, error) {
		written.Store(false)
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	req.Header = header
	x := l.each[l.turn.Add(1)%uint64(len(l.each))]
	select {
	case x.streams <- struct{}{}:
		defer func() { <-x.streams }()
	case <-ctx.Done():
		return answer{}, false, fmt.Errorf("waiting for a stream: %w", ctx.Err())
	}
	if x.cold() {
		select {
		case x.first <- struct{}{}:
		case <-ctx.Done():
			return answer{}, false, fmt.Errorf("waiting for a connection: %w", ctx.Err())
		}
		if x.cold() {
			defer func() { <-x.first }()
		} else {
			<-x.first
		}
	}
	resp, err := x.t.RoundTrip(req)
	x.answered(err == nil)
	if err != nil {
		return answer{}, written.Load(), err
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header}
	// The status is the answer, also where its words are lost.
	a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, true, nil
}

// transport is one connection's worth of HTTP/2. Another is opened beside it
// only where the provider allows less streams than the settings.
func (c *config) transport() *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: c.timeout / 2}).DialContext,
		TLSClientConfig:     c.tls.Clone(),
		TLSHandshakeTimeout: c.timeout / 2,
		IdleConnTimeout:     idle,
		DisableCompression:  true,
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.MaxConnsPerHost = 1
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	if c.proxy != nil {
		t.Proxy = http.ProxyURL(c.proxy)
	}
	return t
}
