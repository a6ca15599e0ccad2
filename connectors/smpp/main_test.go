package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the connector too, when it is started as one.
func TestMain(m *testing.M) { testprogram.Main(m, main) }

// centre is a message centre that does what a test says. That peers which
// nobody here wrote understand us is peer_test.go's.
type centre struct {
	t    testing.TB
	addr string
	// answer, if set, sees each unit first; true means that it has answered.
	answer func(l *line, p pdu) bool

	mu    sync.Mutex
	lines []*line
	got   []shortMessage
	acks  map[uint32]uint32 // statuses of deliver_sm_resp by sequence
	binds int
	wg    sync.WaitGroup
}

// line is one connection to it.
type line struct {
	c   *centre
	nc  net.Conn
	as  uint32
	mu  sync.Mutex
	w   *bufio.Writer
	seq uint32
}

func newCentre(t testing.TB, answer func(*line, pdu) bool) *centre {
	t.Helper()
	c := &centre{t: t, answer: answer, acks: map[uint32]uint32{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.addr = l.Addr().String()
	c.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			k := &line{c: c, nc: nc, w: bufio.NewWriterSize(nc, 64<<10), seq: 100}
			c.mu.Lock()
			c.lines = append(c.lines, k)
			c.mu.Unlock()
			c.wg.Go(k.serve)
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.mu.Lock()
		for _, k := range c.lines {
			k.nc.Close()
		}
		c.mu.Unlock()
		c.wg.Wait()
	})
	return c
}

func (k *line) serve() {
	defer k.nc.Close()
	r := bufio.NewReaderSize(k.nc, 64<<10)
	for {
		if r.Buffered() == 0 {
			k.flush()
		}
		p, err := readPDU(r)
		if err != nil {
			return
		}
		k.c.mu.Lock()
		switch p.command {
		case submitSM:
			m, err := parseMessage(submitSM, p.body)
			if err != nil {
				k.c.t.Errorf("a submit that cannot be read: %v", err)
			}
			k.c.got = append(k.c.got, m)
		case deliverSM | response, dataSM | response:
			k.c.acks[p.sequence] = p.status
		case bindReceiver, bindTransceiver, bindTransmitter:
			k.c.binds++
			k.as = p.command
		}
		answer := k.c.answer
		k.c.mu.Unlock()
		if answer != nil && answer(k, p) {
			continue
		}
		k.usual(p)
	}
}

// usual is what a centre in good health answers.
func (k *line) usual(p pdu) {
	switch p.command {
	case bindReceiver, bindTransceiver, bindTransmitter:
		k.put(pdu{command: p.command | response, sequence: p.sequence, body: []byte("centre\x00")})
	case submitSM:
		k.put(pdu{command: p.command | response, sequence: p.sequence, body: []byte(fmt.Sprintf("id-%d\x00", k.next()))})
	case enquireLink, unbind:
		k.put(pdu{command: p.command | response, sequence: p.sequence})
	}
}

func (k *line) next() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seq++
	return k.seq
}

func (k *line) put(p pdu) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.w.Write(appendPDU(nil, p))
}

func (k *line) flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.w.Flush()
}

// refuse answers with a status.
func (k *line) refuse(p pdu, status uint32) {
	k.put(pdu{command: p.command | response, status: status, sequence: p.sequence})
}

// reset ends the connection at once.
func (k *line) reset() {
	k.nc.(*net.TCPConn).SetLinger(0)
	k.nc.Close()
}

// deliver sends a message to the connector, and says under which sequence.
func (c *centre) deliver(m shortMessage) uint32 {
	c.t.Helper()
	var k *line
	await(c.t, "a line that receives", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, x := range c.lines {
			if x.as == bindReceiver || x.as == bindTransceiver {
				k = x
			}
		}
		return k != nil
	})
	n := k.next()
	k.put(pdu{command: deliverSM, sequence: n, body: m.body()})
	k.flush()
	return n
}

func (c *centre) acked(seq uint32) (uint32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.acks[seq]
	return s, ok
}

func (c *centre) messages() []shortMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]shortMessage(nil), c.got...)
}

// await waits for what is expected.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func settingsFor(addr string, more connector.Settings) connector.Settings {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	s := connector.Settings{"host": host, "port": float64(n), "system_id": "acme", "password": "secret", "sender": "ACME", "timeout": "2s"}
	maps.Copy(s, more)
	return s
}

func configured(t testing.TB, settings connector.Settings) *smpp {
	t.Helper()
	c := &smpp{}
	problems, err := c.Configure(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Severity == connector.SeverityError {
			t.Fatal(p)
		}
	}
	c.c.retry = backoff{first: 10 * time.Millisecond, most: 100 * time.Millisecond, refused: time.Minute}
	t.Cleanup(func() { c.Drain(context.Background()) })
	return c
}

func smsTo(id, to string) connector.Message {
	return connector.Message{ID: id, Channel: "sms", To: to, Text: "Hello " + id, Marketing: true}
}

func send(t testing.TB, c *smpp, batch ...connector.Message) []connector.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	outs, err := c.Send(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outs {
		if o.ID != batch[i].ID {
			t.Fatalf("outcome %d is of %q", i, o.ID)
		}
	}
	return outs
}

// collect gives the next receipts, and does not acknowledge them.
func collect(t testing.TB, c *smpp, ack string) ([]connector.Receipt, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	rs, token, err := c.Collect(ctx, ack)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return rs, token
}

// acknowledge says that what was collected is safe.
func acknowledge(c *smpp, token string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Collect(ctx, token)
}
