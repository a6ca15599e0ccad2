package appliance

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/config"
)

// connections bounds how many of a listener's are open. At a limit the one that
// has been idle longest makes room, since clients open another by themselves;
// where none is idle the newest is closed. Proxies that are trusted have no
// limit of their own.
type connections struct {
	most, each int
	proxies    []netip.Prefix

	mu   sync.Mutex
	open map[net.Conn]*connection
	of   map[netip.Prefix]*peerConnections
	idle list.List // of *connection, the longest at the front

	closed atomic.Uint64 // because of the limits
}

type connection struct {
	conn net.Conn
	peer *peerConnections
	idle *list.Element // in connections.idle
	own  *list.Element // in peer.idle
}

type peerConnections struct {
	from netip.Prefix
	open int
	idle list.List // of *connection, the longest at the front
}

func newConnections(l config.Listener) *connections {
	return &connections{
		most: l.Limits.Connections, each: l.Limits.AddressConnections, proxies: l.TrustedProxies,
		open: make(map[net.Conn]*connection), of: make(map[netip.Prefix]*peerConnections),
	}
}

// state is http.Server.ConnState.
func (c *connections) state(conn net.Conn, s http.ConnState) {
	for _, surplus := range c.note(conn, s) {
		c.closed.Add(1)
		_ = surplus.Close() // its own goroutine finds out, and is who tells
	}
}

// note gives the connections that have to go.
func (c *connections) note(conn net.Conn, s http.ConnState) (surplus []net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.open[conn]
	if one != nil {
		c.busy(one)
	}
	switch s {
	case http.StateNew:
		remote := conn.RemoteAddr().String()
		from := ingest.Peer(remote)
		p := c.of[from]
		if p == nil {
			p = &peerConnections{from: from}
			c.of[from] = p
		}
		p.open++
		c.open[conn] = &connection{conn: conn, peer: p}
		if p.open > c.each && !trusted(c.proxies, addressOf(remote)) {
			surplus = append(surplus, c.surplus(&p.idle, conn))
		} else if len(c.open) > c.most {
			surplus = append(surplus, c.surplus(&c.idle, conn))
		}
	case http.StateIdle:
		if one != nil {
			one.idle, one.own = c.idle.PushBack(one), one.peer.idle.PushBack(one)
		}
	case http.StateClosed, http.StateHijacked:
		if one != nil {
			c.forget(one)
		}
	}
	return surplus
}

// surplus takes the connection off that is to be closed: of those idle the
// first, else the newest.
func (c *connections) surplus(idle *list.List, newest net.Conn) net.Conn {
	one := c.open[newest]
	if e := idle.Front(); e != nil {
		one = e.Value.(*connection)
	}
	c.busy(one)
	c.forget(one)
	return one.conn
}

// busy takes a connection off the idle ones.
func (c *connections) busy(one *connection) {
	if one.idle != nil {
		c.idle.Remove(one.idle)
		one.peer.idle.Remove(one.own)
		one.idle, one.own = nil, nil
	}
}

func (c *connections) forget(one *connection) {
	delete(c.open, one.conn)
	if one.peer.open--; one.peer.open == 0 {
		delete(c.of, one.peer.from)
	}
}

// count is how many are open.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
