package appliance

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/config"
)

// fakeConn is a connection from somewhere.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return fakeAddr(c.from) }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }

func TestConnections(t *testing.T) {
	c := newConnections(config.Listener{Limits: config.ListenerLimits{Connections: 4, AddressConnections: 2},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
	open := func(from string, states ...http.ConnState) *fakeConn {
		conn := &fakeConn{from: from}
		c.state(conn, http.StateNew)
		for _, s := range states {
			c.state(conn, s)
		}
		return conn
	}
	first := open("10.0.0.1:1", http.StateActive, http.StateIdle)
	second := open("10.0.0.1:2", http.StateActive, http.StateIdle)
	c.state(first, http.StateActive)
	c.state(first, http.StateIdle) // now the second has been idle longer
	third := open("10.0.0.1:3", http.StateActive)
	if first.closed || !second.closed || third.closed {
		t.Errorf("of one address: %v %v %v", first.closed, second.closed, third.closed)
	}
	c.state(second, http.StateClosed) // as the server notices
	c.state(first, http.StateActive)
	if fourth := open("10.0.0.1:4"); !fourth.closed || first.closed || third.closed {
		t.Error("where none is idle, the newest goes")
	}
	proxied := []*fakeConn{open("10.9.0.1:1", http.StateActive), open("10.9.0.1:2", http.StateActive), open("10.9.0.1:3", http.StateActive)}
	if proxied[0].closed || proxied[1].closed || !proxied[2].closed {
		t.Error("a proxy is bounded by the listener alone")
	}
	c.state(third, http.StateIdle)
	if other := open("[2001:db8::1]:1", http.StateActive); other.closed || !third.closed {
		t.Error("an idle one makes room for another address")
	}
	if n := c.count(); n != 4 {
		t.Errorf("%d are open", n)
	}
	for conn := range c.open {
		c.state(conn, http.StateClosed)
	}
	if c.count() != 0 || len(c.of) != 0 || c.idle.Len() != 0 || c.closed.Load() != 4 {
		t.Errorf("%d open, of %d, %d idle, %d closed", c.count(), len(c.of), c.idle.Len(), c.closed.Load())
	}
}

func TestBehindProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("fd00::/64")}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"10.1.2.3:5", []string{"203.0.113.7"}, "203.0.113.7:0"},
		{"10.1.2.3:5", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7:0"}, // what the client says itself
		{"10.1.2.3:5", []string{"203.0.113.7, 10.1.2.9"}, "203.0.113.7:0"},     // two proxies
		{"10.1.2.3:5", []string{"203.0.113.7", "10.1.2.9"}, "203.0.113.7:0"},   // two headers
		{"[fd00::1]:5", []string{"[2001:db8::1]:444"}, "[2001:db8::1]:0"},
		{"10.1.2.3:5", []string{"203.0.113.7:8080"}, "203.0.113.7:0"},
		{"10.1.2.3:5", nil, "10.1.2.3:5"},
		{"10.1.2.3:5", []string{"unknown"}, "10.1.2.3:5"},
		{"10.1.2.3:5", []string{"198.51.100.1, <script>"}, "10.1.2.3:5"},
		{"192.0.2.1:5", []string{"203.0.113.7"}, "192.0.2.1:5"}, // nobody's proxy
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		got := ""
		behind(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestPressure(t *testing.T) {
	var n uint64
	board := health.NewBoard(time.Now)
	p := newPressure(func() []ingest.Limited { return []ingest.Limited{{Publisher: "acme", Limit: "share", Count: n}} }, board)
	defer p.close()
	look := func(more uint64, want int) {
		t.Helper()
		n += more
		p.look()
		if got := board.Problems(); len(got) != want {
			t.Fatalf("%v, want %d", got, want)
		}
	}
	look(1, 0)
	look(1, 0)
	look(0, 0) // a burst that passed
	look(1, 0)
	look(1, 0)
	look(9, 1)
	if got := board.Problems()[0]; got.Code != "ingest.limited" || got.Subject != "acme" || !strings.Contains(got.Summary, "share") {
		t.Errorf("%+v", got)
	}
	look(0, 1)
	look(0, 1)
	look(0, 0)
	look(0, 0)
}
