package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// fault is what befalls a request on its way.
type fault int

const (
	lost fault = iota + 1 // the daemon has answered, and the answer is lost
	died                  // the daemon is killed before the request reaches it, and starts again
)

var errLost = errors.New("the answer is lost")

// recorder stands between an SDK and the daemon: it counts what passes, and
// makes the faults. It is the address that the SDK is told.
type recorder struct {
	server  *httptest.Server
	carries []string      // paths whose requests carry calls; those with / at their end stand for all below
	faults  map[int]fault // by the number of the request that carries calls, from 1
	restart func()        // kills the daemon, and begins to start it
	front   bool          // 502 for a daemon that is not there, as a proxy in front answers; else it hangs up

	gate     sync.RWMutex // held while a request that carries calls is passed on, so that none is while the daemon is killed
	mu       sync.Mutex
	requests int            // that carried calls
	others   map[string]int // "METHOD path" of the rest
	answers  map[int]int    // by status, of those that carried calls
	met      map[fault]int
	missed   int // requests that carried calls and found no daemon
	log      []string
}

// record puts a recorder in front of target, with a certificate of its own if
// target has one.
func record(target string, s sdk, restart func()) (*recorder, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("the daemon's address: %w", err)
	}
	r := &recorder{carries: s.carries, faults: s.faults, front: s.front, restart: restart,
		others: map[string]int{}, answers: map[int]int{}, met: map[fault]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		ModifyResponse: func(resp *http.Response) error {
			if f, _ := resp.Request.Context().Value(faultKey{}).(fault); f == lost {
				r.mu.Lock()
				r.answers[resp.StatusCode]++
				r.mu.Unlock()
				return errLost
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			if !errors.Is(err, errLost) && r.carrying(req) {
				r.mu.Lock()
				r.missed++
				r.mu.Unlock()
			}
			if errors.Is(err, errLost) {
				panic(http.ErrAbortHandler)
			}
			r.nobody(w, req)
		},
	}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.pass(w, req, proxy) }))
	if to.Scheme == "https" {
		r.server.EnableHTTP2 = true
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	return r, nil
}

type faultKey struct{}

func (r *recorder) pass(w http.ResponseWriter, req *http.Request, proxy http.Handler) {
	f := r.count(req)
	switch f {
	case died:
		r.gate.Lock()
		r.restart()
		r.gate.Unlock()
		r.nobody(w, req)
		return
	case lost:
		req = req.WithContext(context.WithValue(req.Context(), faultKey{}, f))
	}
	seen := &status{ResponseWriter: w}
	carrying := r.carrying(req)
	func() {
		if carrying {
			r.gate.RLock()
			defer r.gate.RUnlock() // the proxy panics to hang up
		}
		proxy.ServeHTTP(seen, req)
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	if carrying {
		r.answers[seen.code]++
	}
	r.log = append(r.log, fmt.Sprintf("%s %.120s: %d", req.Method, req.URL.RequestURI(), seen.code))
}

// nobody answers for a daemon that is not there.
func (r *recorder) nobody(w http.ResponseWriter, req *http.Request) {
	if !r.front {
		panic(http.ErrAbortHandler) // hangs up, as a dead machine would
	}
	w.Header().Set("Access-Control-Allow-Origin", req.Header.Get("Origin")) // else a page does not see the status
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.WriteHeader(http.StatusBadGateway)
}

// count counts a request and says what befalls it.
func (r *recorder) count(req *http.Request) fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.carrying(req) {
		r.others[req.Method+" "+req.URL.Path]++
		return 0
	}
	r.requests++
	f := r.faults[r.requests]
	if f != 0 {
		r.met[f]++
		r.log = append(r.log, fmt.Sprintf("%s %.120s: %s", req.Method, req.URL.RequestURI(), [...]string{lost: "answer lost", died: "daemon killed"}[f]))
	}
	return f
}

// quiet returns when nothing has come for half a second, or ctx ends.
func (r *recorder) quiet(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for last := -1; ; {
		r.mu.Lock()
		now := r.requests
		r.mu.Unlock()
		if now == last {
			return
		}
		last = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *recorder) carrying(req *http.Request) bool {
	if req.Method == http.MethodOptions || req.Method == http.MethodHead {
		return false
	}
	for _, path := range r.carries {
		if req.URL.Path == path || strings.HasSuffix(path, "/") && strings.HasPrefix(req.URL.Path, path) {
			return true
		}
	}
	return false
}

// status keeps what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
