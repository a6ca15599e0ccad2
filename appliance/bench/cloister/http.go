package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/ingest"
)

// collect sends bodies of Segment's dialect over real connections to the real
// door and its journal, until 200: as fast as it goes, or at a rate of events.
// Clients are as cheap as can be, since they share the cores with the door.
func collect(r *engine.Request) (_ engine.Reply, err error) {
	j, err := openJournal(r.Dir)
	if err != nil {
		return engine.Reply{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	pub := &ingest.Publisher{Name: name, Journal: j, Rules: &ingest.Rules{Names: ingest.NewNames(nil, nil, nil)}}
	door := ingest.New(ingest.Options{Key: func(string) (ingest.Key, bool) { return ingest.Key{ID: "KEY", Publisher: pub}, true }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return engine.Reply{}, err
	}
	srv := &http.Server{Handler: door}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Close())
		if e := <-served; e != http.ErrServerClosed {
			err = errors.Join(err, e)
		}
	}()
	clients := make([]*client, r.Callers)
	for c := range clients {
		if clients[c], err = newClient(l.Addr().String(), r.Batch, c); err != nil {
			return engine.Reply{}, err
		}
		defer clients[c].conn.Close()
	}
	every := time.Duration(0)
	if r.Rate > 0 {
		every = time.Duration(float64(r.Callers*r.Batch) / r.Rate * 1e9)
	}
	return drive(r.Callers, r.Time, every, func(c, _ int) (int, error) { return r.Batch, clients[c].send() })
}

// client is one connection with a request that it repeats.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func newClient(address string, events, seed int) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return newConn(conn, segmentBody(events, seed)), nil
}

// newConn is a client that posts body.
func newConn(conn net.Conn, body []byte) *client {
	head := fmt.Sprintf("POST /v1/batch HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	return &client{conn: conn, in: bufio.NewReader(conn), request: append([]byte(head), body...)}
}

func (c *client) send() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("the door answers %s", strings.TrimSpace(status))
	}
	length := 0
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
	}
	_, err = io.CopyN(io.Discard, c.in, int64(length))
	return err
}

// segmentBody is a body as analytics-node makes it: about 900 bytes an event.
func segmentBody(n, seed int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"batch":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		id := seed*n + i
		fmt.Fprintf(&b, `{"timestamp":"2026-11-23T16:25:13.607Z","integrations":{},"event":"Order Completed","type":"track","properties":{"order_id":"o-%d","revenue":%d.5,"currency":"INR","platform":"android","plan":"gold","products":[{"product_id":"p%d","price":12.75,"quantity":2}]},"context":{"ip":"203.0.113.7","locale":"en-IN","timezone":"Asia/Kolkata","app":{"name":"Shop","version":"1.2"},"page":{"path":"/next.html","referrer":"","search":"","title":"next","url":"https://shop.example/next.html"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.8078.79 Safari/537.36","library":{"name":"@segment/analytics-node","version":"3.1.0"}},"userId":"user-%d","anonymousId":"0ffefa50-e907-4370-8472-%012x","messageId":"node-next-1795451113607-23fbc910-a827-4d6e-ba73-%012x","_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node"}}`,
			id, id%1000, id%500, id%100_000, id, id)
	}
	b.WriteString(`],"writeKey":"KEY","sentAt":"2026-11-23T16:25:59.622Z"}`)
	return b.Bytes()
}
