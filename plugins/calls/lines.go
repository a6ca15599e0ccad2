package calls

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// MaxAnswer bounds what is read of an answer, in bytes.
const MaxAnswer = 64 << 10

// Lines are few HTTP/2 connections to one provider. A request takes the next one in
// turn, and waits there for a stream. It does not leave the waiting to net/http:
// with StrictMaxConcurrentRequests, Go 1.26 counts those that wait among those
// that are on their way, and once they fill the limit by themselves none goes on.
// They may be used concurrently.
type Lines struct {
	each []*line
	turn atomic.Uint64
}

// line keeps one connection. The first request of a new one goes alone: until it
// was answered, Apple allows a single stream.
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

// NewLines keeps connections that each carry as many requests at once as
// streams says. A connection is made by t's settings when it is first needed; t
// is made for HTTP/2 here, and is the caller's no more.
func NewLines(connections, streams int, t *http.Transport) *Lines {
	l := &Lines{}
	for range connections {
		c := t.Clone()
		c.Protocols = new(http.Protocols)
		c.Protocols.SetHTTP2(true)
		c.MaxConnsPerHost = 1 // one more is opened only where the provider allows less streams
		c.IdleConnTimeout = idle
		c.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
		l.each = append(l.each, &line{t: c, streams: make(chan struct{}, streams), first: make(chan struct{}, 1)})
	}
	return l
}

// Close closes the connections that carry nothing.
func (l *Lines) Close() {
	for _, x := range l.each {
		x.t.CloseIdleConnections()
	}
}

// Answer is what the provider said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // cut at MaxAnswer
}

// Post sends a request and reads the answer. Where there is none, sent says
// whether the request can have arrived: what was not written, or what the
// provider certifies not to have looked at (GOAWAY, REFUSED_STREAM), has not.
// The transport sends the latter again by itself, and asks for the body anew
// only then; so each way back to that point makes it unsent.
func (l *Lines) Post(ctx context.Context, url string, header http.Header, body []byte) (a Answer, sent bool, err error) {
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, false, fmt.Errorf("making a request: %w", err)
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
		return Answer{}, false, fmt.Errorf("waiting for a stream: %w", ctx.Err())
	}
	if x.cold() {
		select {
		case x.first <- struct{}{}:
		case <-ctx.Done():
			return Answer{}, false, fmt.Errorf("waiting for a connection: %w", ctx.Err())
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
		return Answer{}, written.Load(), err
	}
	defer resp.Body.Close()
	a = Answer{Status: resp.StatusCode, Header: resp.Header}
	// The status is the answer, also where its words are lost.
	a.Body, _ = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer))
	return a, true, nil
}
