package main

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestServices(t *testing.T) {
	s, err := readServices(append([]string{"push.acme.example:8443", "10.1.2.3:443"}, known...))
	must(t, err)
	for endpoint, want := range map[string]error{
		"https://fcm.googleapis.com/fcm/send/abc":                nil,
		"https://FCM.googleapis.com:443/fcm/send/abc":            nil,
		"https://updates.push.services.mozilla.com/wpush/v2/abc": nil,
		"https://web.push.apple.com/abc":                         nil,
		"https://wns2-par02p.notify.windows.com/w/?token=abc":    nil,
		"https://push.acme.example:8443/x":                       nil,
		"https://10.1.2.3/x":                                     nil,
		"https://push.acme.example/x":                            errNotListed,
		"https://fcm.googleapis.com.evil.example/":               errNotListed,
		"https://xfcm.googleapis.com/":                           errNotListed,
		"https://evilpush.apple.com/":                            errNotListed,
		"https://push.apple.com/":                                errNotListed,
		"https://fcm.googleapis.com:8443/":                       errNotListed,
		"https://169.254.169.254/latest/meta-data":               errNotListed,
		"https://[::ffff:10.1.2.4]/":                             errNotListed,
		"https://localhost/":                                     errNotListed,
		"http://fcm.googleapis.com/":                             errEndpoint,
		"https://fcm.googleapis.com@evil.example/":               errEndpoint,
		"https://user:pass@fcm.googleapis.com/":                  errEndpoint,
		"https://fcm.googleapis.com/#x":                          errEndpoint,
		"https:fcm.googleapis.com":                               errEndpoint,
		"//fcm.googleapis.com/":                                  errEndpoint,
		"https://fcm.googleapis.com\\@evil.example/":             errEndpoint,
		"https://fcm.googleapis.com/\r\nX: y":                    errEndpoint,
		"file:///etc/passwd":                                     errEndpoint,
		"":                                                       errEndpoint,
		"cFWQ:APA91b" + strings.Repeat("x", 100):                 errEndpoint,
		"https://fcm.googleapis.com:99999/":                      errEndpoint,
	} {
		if _, err := s.allowed(endpoint); !errors.Is(err, want) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	s, err := readServices(known)
	must(f, err)
	for _, x := range []string{"https://fcm.googleapis.com/x", "https://web.push.apple.com./x", "https://a.b@c/"} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		u, err := s.allowed(endpoint)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		host := strings.TrimSuffix(strings.ToLower(again.Hostname()), ".")
		if err != nil || again.Scheme != "https" || host != "fcm.googleapis.com" && !strings.HasSuffix(host, ".push.services.mozilla.com") &&
			!strings.HasSuffix(host, ".push.apple.com") && !strings.HasSuffix(host, ".notify.windows.com") {
			t.Errorf("%q leads to %q", endpoint, u)
		}
	})
}
