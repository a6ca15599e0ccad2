package clevertap

import (
	"net/http"
	"sync"
)

// flights counts calls in work, by account and API: the vendor bounds them so,
// and by no rate.
type flights struct {
	mu sync.Mutex
	by map[string]int
}

// enter takes one of most places; leave gives it back.
func (f *flights) enter(key string, most int) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[key] >= most {
		return nil, false
	}
	if f.by == nil {
		f.by = make(map[string]int)
	}
	f.by[key]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.by[key]--; f.by[key] == 0 {
			delete(f.by, key)
		}
	}, true
}

// making lets one call at a time read a publisher's campaigns and change them by
// what it read.
type making struct {
	mu sync.Mutex
	by map[string]*sync.Mutex // by publisher
}

func (m *making) lock(publisher string) (unlock func()) {
	m.mu.Lock()
	one := m.by[publisher]
	if one == nil {
		if m.by == nil {
			m.by = make(map[string]*sync.Mutex)
		}
		one = new(sync.Mutex)
		m.by[publisher] = one
	}
	m.mu.Unlock()
	one.Lock()
	return one.Unlock
}

// Upload bounds the uploads of an account around the door that takes them.
// Who is not let in is for that door to say.
func (d *Door) Upload(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key, ok := d.o.Key(r.Header.Get("X-CleverTap-Account-Id"), r.Header.Get("X-CleverTap-Passcode")); ok {
			leave, ok := d.flights.enter(key.ID+" upload", maxUploads)
			if !ok {
				d.fail(w, &route{path: "upload"}, &call{Request: r}, crowded)
				return
			}
			defer leave()
		}
		next.ServeHTTP(w, r)
	})
}
