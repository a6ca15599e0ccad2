package appliance

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// behind makes the client that a trusted proxy names the request's sender, for
// all that looks at http.Request.RemoteAddr: the limits, the audit, the locks
// against guessing. Whom nobody trusts may say what they like in the header.
func behind(proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := clientOf(r, proxies); ok {
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

// clientOf is the last address that is no proxy's, read backwards from the
// peer: what stands before it in the header anybody may have written.
func clientOf(r *http.Request, proxies []netip.Prefix) (client netip.Addr, ok bool) {
	if !trusted(proxies, addressOf(r.RemoteAddr)) {
		return netip.Addr{}, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr := addressOf(strings.TrimSpace(hop))
		if !addr.IsValid() {
			return client, ok // as far as it can be read
		}
		client, ok = addr, true
		if !trusted(proxies, addr) {
			break
		}
	}
	return client, ok
}

// addressOf reads an address, with its port or without; the zero Addr where it
// is none.
func addressOf(s string) netip.Addr {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func trusted(proxies []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
