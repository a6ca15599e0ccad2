package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 256 << 10
	// idle is how long a connection is kept that nothing goes over: less than
	// servers do, since a request that meets the end of one is lost, and its
	// message unknown.
	idle = 4 * time.Second
)

// client is the connections to the provider.
type client struct {
	t       *http.Transport
	timeout time.Duration
}

func newClient(c *config) *client {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: c.timeout / 2}).DialContext,
		TLSClientConfig:     c.tls.Clone(),
		TLSHandshakeTimeout: c.timeout / 2,
		IdleConnTimeout:     idle,
		MaxConnsPerHost:     c.window,
		MaxIdleConnsPerHost: c.window,
		DisableCompression:  true,
		Protocols:           new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	if c.proxy != nil {
		t.Proxy = http.ProxyURL(c.proxy)
	}
	return &client{t, c.timeout}
}

func (c *client) close() { c.t.CloseIdleConnections() }

// answer is what the provider said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// once is a body that cannot be had again. net/http repeats a GET whose
// connection is lost; but it sends, here.
type once struct{}

func (once) Read([]byte) (int, error) { return 0, io.EOF }
func (once) Close() error             { return nil }

// do makes a request, once. Where there is no answer, sent says whether the
// request can have arrived. Redirects are answers like others. What the server
// certifies not to have looked at (HTTP/2's GOAWAY and REFUSED_STREAM) the
// transport sends again by itself, and asks for the body anew only then; so each
// way back to that point makes it unsent.
func (c *client) do(ctx context.Context, o outgoing) (a answer, sent bool, err error) {
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { written.Store(false) },
		WroteHeaders: func() { written.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, o.method, o.url, bytes.NewReader(o.body))
	if err != nil {
		return answer{}, false, errors.New("making a request: the URL cannot be read")
	}
	req.Header = o.header
	switch {
	case o.method == http.MethodGet:
		req.Body, req.GetBody = once{}, nil
	case len(o.body) > 0:
		req.GetBody = func() (io.ReadCloser, error) {
			written.Store(false)
			return io.NopCloser(bytes.NewReader(o.body)), nil
		}
	}
	resp, err := c.t.RoundTrip(req)
	if err != nil {
		return answer{}, written.Load(), err
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header}
	// The status is the answer, also where its words are lost.
	a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, true, nil
}

// connect makes sure that somebody listens, and has the certificate that is
// wanted; behind a proxy, that the proxy does.
func (c *client) connect(ctx context.Context, base string) error {
	u, err := url.Parse(base)
	if err == nil && c.t.Proxy != nil {
		u, err = c.t.Proxy(&http.Request{URL: u})
	}
	if err != nil {
		return fmt.Errorf("reaching the provider: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	conn, err := c.t.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("reaching the provider: %w", err)
	}
	defer conn.Close()
	if u.Scheme != "https" {
		return nil
	}
	conf := c.t.TLSClientConfig.Clone()
	conf.ServerName = u.Hostname()
	if err := tls.Client(conn, conf).HandshakeContext(ctx); err != nil {
		return fmt.Errorf("reaching the provider: %w", err)
	}
	return nil
}
