package main

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// known are the push services of the browsers that there are.
var known = []string{"fcm.googleapis.com:443", "*.push.services.mozilla.com:443", "*.push.apple.com:443", "*.notify.windows.com:443"}

// asked are hosts below a pattern that are there, for Check.
var asked = map[string]string{
	"*.push.services.mozilla.com:443": "updates.push.services.mozilla.com:443",
	"*.push.apple.com:443":            "web.push.apple.com:443",
}

var (
	errNotListed = errors.New("the push service is not among `services`")
	errEndpoint  = errors.New("not the address of a subscription")
)

// services are those that subscriptions may be at. Endpoints come from
// browsers, so that anybody can name any host in one.
type services []connector.Host

// readServices reads them as the sandbox does, which lets the process reach
// these and no others.
func readServices(list []string) (services, error) {
	var out services
	for _, s := range list {
		h, err := connector.ParseHost(s, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// allowed reads an endpoint, and answers errEndpoint if it is none, and
// errNotListed if it is at a service that is not listed.
func (s services) allowed(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errEndpoint
	}
	port := uint64(443)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return nil, errEndpoint
		}
	}
	address, notAddress := netip.ParseAddr(u.Hostname())
	for _, h := range s {
		switch {
		case h.Port != 0 && uint64(h.Port) != port:
		case notAddress == nil && h.Net.IsValid() && h.Net.Contains(address.Unmap()), notAddress != nil && h.Named(u.Hostname()):
			return u, nil
		}
	}
	return nil, errNotListed
}

// origin of a URL, as tokens name it: without the port that https has anyway.
func origin(u *url.URL) string {
	return "https://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443")
}
