package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// guard says which addresses a receiver's name may lead to. The operator writes
// the name and whoever has the zone says where it leads, so it is asked of the
// address that is about to be connected to, and not of one resolved before.
type guard struct {
	private []connector.Host
	plain   bool // http: to private addresses only
}

// addressError means that the receiver's name led where it may not.
type addressError struct{ to netip.Addr }

func (e *addressError) Error() string {
	return fmt.Sprintf("the receiver's name leads to %s, which is not among `private`", e.to)
}

var public = connector.Host{Any: true}

// allows says whether a connection may go to an address that name led to.
func (g guard) allows(to netip.AddrPort, name string) bool {
	for _, h := range g.private {
		if h.Covers(to, name) {
			return true
		}
	}
	return !g.plain && public.Covers(to, "")
}

// named says whether a URL's host is one that `private` lists.
func (g guard) named(u *url.URL) bool {
	port := uint64(443)
	if u.Scheme == "http" {
		port = 80
	}
	if u.Port() != "" {
		var err error
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return false
		}
	}
	address, err := netip.ParseAddr(u.Hostname())
	for _, h := range g.private {
		switch {
		case err == nil && h.Covers(netip.AddrPortFrom(address, uint16(port)), ""),
			err != nil && (h.Port == 0 || uint64(h.Port) == port) && h.Named(u.Hostname()):
			return true
		}
	}
	return false
}

// dial connects, and looks at the address when it is known and nothing is sent
// yet.
func (g guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(name); err == nil {
		name = ""
	}
	d := net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		if !g.allows(to, name) {
			return &addressError{to.Addr()}
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}
