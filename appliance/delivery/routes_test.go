package delivery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// through is which connectors a message went to.
func (h *house) via(message string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.through[message])
}

func (h *house) use(routes ...Route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.routes = routes
}

func (h *house) answers(name string, s sender) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[name] = s
}

// with answers each message alike.
func with(o connector.Outcome) sender {
	return func(batch []connector.Message) (outs []connector.Outcome, err error) {
		for _, m := range batch {
			o.ID = m.ID
			outs = append(outs, o)
		}
		return outs, nil
	}
}

// run makes a message each to n people and enqueues them.
func (h *house) run(n int, domain string, change ...func(in *Intention)) (ins []Intention) {
	h.t.Helper()
	for i := range n {
		user := fmt.Sprintf("u%d-%s", i, domain)
		h.identify(user, event.Fact{
			Consents:  []event.Consent{{Purpose: "offers", Channel: "email", Granted: true, Source: "form"}},
			Addresses: []event.Address{{Channel: "email", Value: user + "@" + domain}},
		})
		who, _ := h.people.Find(user)
		ins = append(ins, h.want(who, "run", change...))
	}
	h.enqueue(ins...)
	return ins
}

func TestShares(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "a", Weight: 3}, Route{Name: "b"}, Route{Name: "c", Standby: true}, Route{Name: "receipts", Classes: []string{Transactional}})
	ins := h.run(400, "example.com")
	h.d.Start()
	share := map[string]int{}
	for _, in := range ins {
		d := h.settles(in.Message)
		share[d.Attempts[0].Connector]++
		if via := h.via(in.Message); len(via) != 1 || via[0] != d.Attempts[0].Connector {
			t.Fatalf("%v, and the decision says %+v", via, d.Attempts)
		}
	}
	if share["a"] < 260 || share["b"] < 60 || share["a"]+share["b"] != 400 {
		t.Errorf("3 to 1 is %v", share)
	}
}

// TestFailover: what a connector certainly did not send goes to another at once,
// and one that fails is left out; what is unknown goes nowhere.
func TestFailover(t *testing.T) {
	down := func([]connector.Message) ([]connector.Outcome, error) { return nil, &Unsent{errors.New("down")} }
	silent := func([]connector.Message) ([]connector.Outcome, error) { return nil, errors.New("no answer") }
	for _, c := range []struct {
		name  string
		a     sender
		state string
		via   []string // of each message; the last may be left out
	}{
		{"down", down, Sent, []string{"a", "b"}},
		{"busy", with(connector.Outcome{Result: connector.Again, Reason: "busy", RetryAfter: time.Hour}), Sent, []string{"a", "b"}},
		{"misconfigured", with(connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}), Sent, []string{"a", "b"}},
		{"greylisted", with(connector.Outcome{Result: connector.Again, Class: connector.ClassPolicy}), Waiting, []string{"a"}},
		{"full", with(connector.Outcome{Result: connector.Again, Class: connector.ClassFull}), Waiting, []string{"a"}},
		{"silent", silent, Lost, []string{"a"}},
		{"refused", with(connector.Outcome{Result: connector.Refused}), Failed, []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, func(o *Options) { o.Workers = 1 })
			h.use(Route{Name: "a"}, Route{Name: "b", Standby: true})
			h.answers("a", c.a)
			in := h.run(1, "example.com")[0]
			h.d.Start()
			h.until("it is tried", func() bool {
				d := h.explain(in.Message)
				return d.State == c.state && len(d.Attempts) == len(c.via)
			})
			if via := h.via(in.Message); !slices.Equal(via, c.via) {
				t.Errorf("went to %v", via)
			}
		})
	}
}

// TestLeftOut: one that is down gets no batch but now and then a few messages,
// and all of them when it works again.
func TestLeftOut(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers, o.Batch = 1, 50 })
	h.use(Route{Name: "a"})
	var sizes []int
	h.answers("a", func(batch []connector.Message) ([]connector.Outcome, error) {
		h.mu.Lock()
		sizes = append(sizes, len(batch))
		h.mu.Unlock()
		return nil, &Unsent{errors.New("down")}
	})
	ins := h.run(200, "example.com")
	h.d.Start()
	tried := func() int { h.mu.Lock(); defer h.mu.Unlock(); return len(sizes) }
	for n := 1; n <= 8; n++ {
		h.until(fmt.Sprint(n, " batches"), func() bool { return tried() == n })
		h.until("it is left out", func() bool { return h.d.Route("a").LeftOut != nil && h.d.Route("a").LeftOut.After(h.clock()) })
		if r := h.d.Route("a"); r.Failing.After(begin.Add(longestLeave)) || r.Why != "not handed over: down" {
			t.Errorf("failing since %v: %q", r.Failing, r.Why)
		}
		h.advance(longestLeave)
	}
	h.mu.Lock()
	if sizes[0] != firstBatch || slices.Max(sizes[1:8]) > probe {
		t.Errorf("batches of %v", sizes)
	}
	h.mu.Unlock()
	h.answers("a", nil)
	h.until("all are sent", func() bool { h.advance(time.Minute); return h.d.Stats().Sent == uint64(len(ins)) })
	if r := h.d.Route("a"); r.LeftOut != nil || !r.Failing.IsZero() || r.Why != "" {
		t.Errorf("it is left out still: %+v", r)
	}
}

// TestProbingKeepsNobodyWaiting: who meets a connector that is being tried asks
// again soon, not only when the try would be given up.
func TestProbingKeepsNobodyWaiting(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "a"})
	e := &entry{rec: &record{Decision: Decision{Message: "m", Channel: "email", Class: Marketing}}}
	h.d.routes.of("a").until = begin.Add(-time.Second)
	for range probe {
		if c := h.d.routes.choose(e, begin); c.route != "a" {
			t.Fatalf("%+v", c)
		}
	}
	if c := h.d.routes.choose(e, begin); c.route != "" || c.until.Sub(begin) > 2*firstLeave {
		t.Errorf("%+v", c)
	}
	if n, next := h.d.routes.room("email", Marketing, false, 100, begin); n != 0 || next.Sub(begin) > firstLeave {
		t.Errorf("room for %d, look again after %v", n, next.Sub(begin))
	}
}

// rest waits until nothing is on its way and all that may go has gone. Whether
// any may go is asked before whether any is on its way: a worker takes its
// messages before it takes their places in the rates, and lets go of them after
// they were handed over, so that in the other order those between the two are
// overlooked.
func (h *house) rest() {
	h.t.Helper()
	h.until("it rests", func() bool {
		now := h.clock()
		room, _ := h.d.routes.room("email", Marketing, false, 1, now)
		due := func(turn bool) (is bool) {
			err := h.db.View(func(t *kv.Txn) error {
				return t.Scan(kv.Delivery, queuePrefix(0, laneMarketing, turn), nil, func(key, _ []byte) error {
					is = !micros(int64(binary.BigEndian.Uint64(key[3:]))).After(now)
					return kv.ErrStop
				})
			})
			if err != nil {
				h.t.Fatal(err)
			}
			return is
		}
		if room > 0 && due(false) || due(true) {
			return false
		}
		for _, c := range h.d.channels {
			c.mu.Lock()
			busy := len(c.taken) > 0
			c.mu.Unlock()
			if busy {
				return false
			}
		}
		return true
	})
}

// TestRates: no second sees more than the rate and its quarter of a second in
// advance, all are sent in the time that the rate needs, and what is under
// another rate does not wait for it.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		name  string
		route Route
		all   float64
		free  bool // messages to another domain go at once
	}{
		{"connector", Route{Name: "a", Rate: 20}, 0, false},
		{"domain", Route{Name: "a", Domains: []DomainRate{{Domains: []string{"gmail.com", "googlemail.com"}, Rate: 20}}}, 0, true},
		{"each other domain", Route{Name: "a", Domains: []DomainRate{{Domains: []string{"*"}, Rate: 20}, {Domains: []string{"fast.example"}, Rate: 1e6}}}, 0, true},
		{"publisher", Route{Name: "a"}, 20, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, func(o *Options) { o.Rate = c.all })
			h.use(c.route)
			const n = 150
			slow := append(h.run(n/2, "gmail.com"), h.run(n/2, "googlemail.com")...)
			if c.name == "each other domain" {
				slow = h.run(n, "one.example")
			}
			fast := h.run(30, "fast.example")
			h.d.Start()
			gone := func(ins []Intention) (k int) {
				for _, in := range ins {
					if h.via(in.Message) != nil {
						k++
					}
				}
				return k
			}
			h.rest()
			if c.free && gone(fast) != len(fast) {
				t.Errorf("%d of %d of another domain went at once", gone(fast), len(fast))
			}
			began := h.clock()
			for k := gone(slow); k < n; {
				if h.advance(100 * time.Millisecond); h.clock().Sub(began) > 20*time.Second {
					t.Fatalf("%d of %d after %v", k, n, h.clock().Sub(began))
				}
				h.rest()
				now := gone(slow)
				if now-k > 2+5 {
					t.Errorf("%d in a tenth of a second", now-k)
				}
				k = now
			}
			// At 20 a second all but what the rate lets go in advance.
			most := time.Duration(n-5) * time.Second / 20
			if !c.free {
				most += time.Duration(len(fast)) * time.Second / 20
			}
			if took := h.clock().Sub(began); took < 6*time.Second || took > most+200*time.Millisecond {
				t.Errorf("it took %v, and could %v", took, most)
			}
		})
	}
}

// TestTurnsAmidABacklog: a domain whose messages wait for their turns goes on at
// its rate while the connector is busy with all that comes after. It takes 8
// seconds; if they waited behind the others and then took turns anew, 15.
func TestTurnsAmidABacklog(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "a", Rate: 20, Domains: []DomainRate{{Domains: []string{"slow.example"}, Rate: 5}}})
	at := begin.Add(-time.Minute).UnixMicro()
	inOrder := func(in *Intention) { at++; in.At = at } // else their ids would say which is first
	all := append(h.run(40, "slow.example", inOrder), h.run(100, "example.com", inOrder)...)
	h.d.Start()
	h.rest()
	began := h.clock()
	for h.d.Stats().Sent < uint64(len(all)) {
		if h.advance(100 * time.Millisecond); h.clock().Sub(began) > 10*time.Second {
			t.Fatalf("after %v: %+v", h.clock().Sub(began), h.d.Stats())
		}
		h.rest()
	}
}

// TestRateOfOneRoute: a platform whose connector is slow keeps no other waiting.
func TestRateOfOneRoute(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers, o.Batch = 1, 10 })
	h.use(Route{Name: "f", Platforms: []string{"fcm"}, Rate: 1}, Route{Name: "any"})
	h.campaigns["news"] = Content{Title: "hi"}
	var google, apple []Intention
	for i := range 60 {
		user := fmt.Sprint("u", i)
		platform, to := "fcm", &google
		if i >= 40 {
			platform, to = "apns", &apple
		}
		h.identify(user, event.Fact{
			Consents:  []event.Consent{{Purpose: "offers", Granted: true}},
			Addresses: []event.Address{{Channel: "push", Platform: platform, Value: "token" + user}},
		})
		who, _ := h.people.Find(user)
		*to = append(*to, h.want(who, "x", func(in *Intention) { in.Channel = "push" }))
	}
	h.enqueue(append(google, apple...)...)
	h.d.Start()
	for _, in := range apple {
		if d := h.settles(in.Message); d.State != Sent || d.Attempts[0].Connector != "any" {
			t.Errorf("%+v", d)
		}
	}
	h.until("the others come", func() bool { h.advance(time.Second); return h.d.Stats().Sent == 60 })
}

// TestTransactionalFirst: however many broadcast messages wait, are under a
// rate, or hang in calls.
func TestTransactionalFirst(t *testing.T) {
	h := newHouse(t, nil)
	h.use(Route{Name: "a", Rate: 1000})
	h.run(300, "example.com")
	hang := make(chan struct{})
	hung := make(chan struct{}, 16)
	h.answers("a", func(batch []connector.Message) ([]connector.Outcome, error) {
		if batch[0].Marketing {
			hung <- struct{}{}
			<-hang
		}
		return with(connector.Outcome{Result: connector.Accepted})(batch)
	})
	defer close(hang)
	h.d.Start()
	<-hung
	h.advance(10 * time.Second) // the rate would let more go
	<-hung                      // both workers hang
	for i := range 20 {
		in := h.want(1, fmt.Sprint("order", i), func(in *Intention) { in.Class, in.Purpose = Transactional, "service" })
		h.enqueue(in)
		if d := h.settles(in.Message); d.State != Sent {
			t.Errorf("%+v", d)
		}
	}
}

func TestDomainsAreBounded(t *testing.T) {
	all, now := domains{}, begin
	held := all.of("held.example", now)
	held.take(now.Add(time.Hour), 1, laneMarketing)
	for i := range 3 * maxDomains {
		all.of(fmt.Sprint(i), now)
	}
	if len(all) > maxDomains || all["held.example"] != held {
		t.Errorf("%d domains, or one that holds something back was forgotten", len(all))
	}
	for i := range 3 * maxDomains {
		all.of(fmt.Sprint("busy", i), now).take(now.Add(time.Hour), 1, laneMarketing)
	}
	if len(all) > maxDomains {
		t.Errorf("%d domains", len(all))
	}
}
