package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Bounds of the names of one process.
const (
	maxAsking    = 32               // connections to the resolver, and look-ups, at a time
	maxGiven     = 4096             // addresses that are remembered
	rememberFor  = 15 * time.Minute // an address after it was given
	askAgain     = 5 * time.Second  // a name whose addresses are not what a process connects to
	lookUpFor    = 8 * time.Second
	idleResolver = 20 * time.Second
	maxQuestion  = 1232 // bytes
	timeToLive   = 60   // of answers, in seconds
	answersOf    = 32   // addresses of a name
	maxRefused   = 8    // names that are told of
	nameServer   = 53   // the port
)

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// names knows which listed names lead where: it answers the process's
// resolver, so that nothing but listed names is ever asked outside, and
// remembers what it answered.
type names struct {
	hosts    []connector.Host
	resolver Resolver
	servers  []netip.Addr // of /etc/resolv.conf
	now      func() time.Time
	slots    chan struct{}

	mu      sync.Mutex
	given   map[netip.Addr]map[string]time.Time // until when an address is a name's
	asked   map[string]time.Time                // when a name was last looked up whole
	refused map[string]bool
}

func newNames(hosts []connector.Host, r Resolver, servers []netip.Addr, now func() time.Time) *names {
	return &names{
		hosts: hosts, resolver: r, servers: servers, now: now, slots: make(chan struct{}, maxAsking),
		given: make(map[netip.Addr]map[string]time.Time), asked: make(map[string]time.Time), refused: make(map[string]bool),
	}
}

// nameServers reads those of /etc/resolv.conf. What the libraries take where
// there are none is the machine itself.
func nameServers(path string) []netip.Addr {
	out := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	raw, err := os.ReadFile(path)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(raw[:min(len(raw), 64<<10)])) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "nameserver" && len(out) < 16 {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				out = append(out, a.Unmap().WithZone(""))
			}
		}
	}
	return out
}

func (n *names) enter() bool {
	select {
	case n.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (n *names) leave() { <-n.slots }

// isServer says whether an address is that of a name server.
func (n *names) isServer(to netip.AddrPort) bool {
	if to.Port() != nameServer {
		return false
	}
	for _, s := range n.servers {
		if s == to.Addr().Unmap().WithZone("") {
			return true
		}
	}
	return false
}

// allowed says whether an address may be connected to, as far as is known.
func (n *names) allowed(to netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := n.given[to.Addr().Unmap()]
	now := n.now()
	for _, h := range n.hosts {
		if h.Covers(to, "") {
			return true
		}
		for name, until := range of {
			if until.After(now) && h.Covers(to, name) {
				return true
			}
		}
	}
	return false
}

// stale gives the listed names that could lead to an address, and were not
// looked up just now.
func (n *names) stale(to netip.AddrPort) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	now := n.now()
	for _, h := range n.hosts {
		if h.Name == "" || h.Below || !h.Covers(to, h.Name) || now.Sub(n.asked[h.Name]) < askAgain {
			continue
		}
		n.asked[h.Name] = now
		out = append(out, h.Name)
	}
	return out
}

// lookUp asks for the addresses of a listed name and remembers them. Only those
// that may be connected to are given.
func (n *names) lookUp(ctx context.Context, name, network string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpFor)
	defer cancel()
	all, err := n.resolver.LookupNetIP(ctx, network, name)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	var out []netip.Addr
	for _, a := range all {
		a = a.Unmap().WithZone("")
		if len(out) == answersOf || !n.leads(a, name) {
			continue
		}
		out = append(out, a)
		if len(n.given) >= maxGiven && n.given[a] == nil {
			n.forget(now)
		}
		if n.given[a] == nil {
			n.given[a] = make(map[string]time.Time)
		}
		if len(n.given[a]) < 64 {
			n.given[a][name] = now.Add(rememberFor)
		}
	}
	return out, nil
}

// lookUpAll asks for listed names, a few at a time.
func (n *names) lookUpAll(ctx context.Context, all []string) {
	var wg sync.WaitGroup
	few := make(chan struct{}, 8)
	for _, name := range all {
		few <- struct{}{}
		wg.Go(func() {
			defer func() { <-few }()
			_, _ = n.lookUp(ctx, name, "ip") // a name that leads nowhere allows nothing
		})
	}
	wg.Wait()
}

// leads says whether a name may lead to an address, on any port. The caller holds mu.
func (n *names) leads(a netip.Addr, name string) bool {
	for _, h := range n.hosts {
		if h.Named(name) && h.Covers(netip.AddrPortFrom(a, h.Port), name) {
			return true
		}
	}
	return false
}

// forget makes room: what is over, or else everything, which is looked up
// again. The caller holds mu.
func (n *names) forget(now time.Time) {
	for a, of := range n.given {
		for name, until := range of {
			if !until.After(now) {
				delete(of, name)
			}
		}
		if len(of) == 0 {
			delete(n.given, a)
		}
	}
	if len(n.given) >= maxGiven {
		clear(n.given)
	}
}

// listed says whether a name may be asked for.
func (n *names) listed(name string) bool {
	for _, h := range n.hosts {
		if h.Named(name) {
			return true
		}
	}
	return false
}

// serve answers questions of one connection, as DNS over TCP has them
// (RFC 1035, 4.2.2), until it ends. tell is told of names that are not listed,
// each once, of the first few.
func (n *names) serve(ctx context.Context, c net.Conn, tell func(name string)) {
	for {
		_ = c.SetDeadline(time.Now().Add(idleResolver))
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if len(q) > maxQuestion {
			return
		}
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a, unlisted := n.answer(ctx, q)
		if a == nil {
			return
		}
		if unlisted != "" {
			n.mu.Lock()
			first := !n.refused[unlisted] && len(n.refused) < maxRefused
			if first {
				n.refused[unlisted] = true
			}
			n.mu.Unlock()
			if first {
				tell(unlisted)
			}
		}
		_ = c.SetDeadline(time.Now().Add(idleResolver))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

// answer answers one question; nil if it is none. What is not listed does not
// exist: told that it is refused, the C library would not go on with its list
// of search domains. Then unlisted is what was asked for.
func (n *names) answer(ctx context.Context, raw []byte) (reply []byte, unlisted string) {
	var p dnsmessage.Parser
	head, err := p.Start(raw)
	if err != nil || head.Response {
		return nil, ""
	}
	q, err := p.Question()
	if err != nil {
		return nil, ""
	}
	out := dnsmessage.Header{ID: head.ID, Response: true, OpCode: head.OpCode, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	var found []netip.Addr
	switch {
	case head.OpCode != 0 || q.Class != dnsmessage.ClassINET:
		out.RCode = dnsmessage.RCodeRefused
	case !n.listed(name):
		out.RCode, unlisted = dnsmessage.RCodeNameError, name
	case q.Type == dnsmessage.TypeA:
		found, err = n.lookUp(ctx, name, "ip4")
	case q.Type == dnsmessage.TypeAAAA:
		found, err = n.lookUp(ctx, name, "ip6")
	}
	var none *net.DNSError
	if err != nil && !(errors.As(err, &none) && none.IsNotFound) {
		out.RCode = dnsmessage.RCodeServerFailure
	}
	b := dnsmessage.NewBuilder(nil, out)
	b.EnableCompression()
	if b.StartQuestions() != nil || b.Question(q) != nil || b.StartAnswers() != nil {
		return nil, ""
	}
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: timeToLive}
	for _, a := range found {
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
		if err != nil {
			return nil, ""
		}
	}
	reply, err = b.Finish()
	if err != nil {
		return nil, ""
	}
	return reply, unlisted
}
