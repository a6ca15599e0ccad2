package receipts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// centre is a connector with a connection of its own to the provider: what it
// heard it gives until that is acknowledged.
type centre struct {
	mu      sync.Mutex
	heard   []connector.Receipt // not acknowledged
	given   int                 // of them, under token
	token   string
	gives   int
	calls   []time.Time
	acked   int
	failing error
}

func (c *centre) hear(rs ...connector.Receipt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, rs...)
}

func (c *centre) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = err
}

func (c *centre) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.heard)
}

func (c *centre) collect(_ context.Context, ack string) ([]connector.Receipt, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, time.Now())
	if c.failing != nil {
		return nil, "", c.failing
	}
	if ack != "" && ack == c.token {
		c.heard = c.heard[c.given:]
		c.acked += c.given
		c.given, c.token = 0, ""
	}
	if len(c.heard) == 0 {
		return nil, "", nil
	}
	if c.token == "" {
		c.gives++
		c.given, c.token = min(len(c.heard), 3), fmt.Sprint("t", c.gives)
	}
	return slices.Clone(c.heard[:c.given]), c.token, nil
}

// codes are the problems' on the door's board.
func codes(d *Door) (out []string) {
	for _, p := range d.o.Board.(*health.Board).Problems() {
		out = append(out, p.Code)
	}
	return out
}

func numbered(from, to int) (rs []connector.Receipt) {
	for i := from; i < to; i++ {
		rs = append(rs, connector.Receipt{MessageID: fmt.Sprint(i), Kind: connector.Delivered})
	}
	return rs
}

// collecting runs the loop over a centre while f looks.
func collecting(t *testing.T, p *provider, f func(d *Door)) {
	t.Helper()
	d, _ := door(p)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Collect(ctx, p.source)
	}()
	f(d)
	cancel()
	<-ended
}

// TestCollect: all is told once and in order, then acknowledged, and where there
// is nothing the connector is asked once a second.
func TestCollect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := &centre{}, &provider{}
		p.collect = c.collect
		c.hear(numbered(0, 10)...)
		collecting(t, p, func(d *Door) {
			time.Sleep(10 * time.Second)
			if told := p.heard(); !slices.Equal(told, numbered(0, 10)) || c.left() != 0 {
				t.Errorf("told %v, %d not acknowledged", told, c.left())
			}
			if s := d.Stats("acme", "sms", "gate"); s.Receipts != 10 {
				t.Errorf("stats %+v", s)
			}
			c.hear(numbered(10, 11)...)
			time.Sleep(10 * time.Second)
			if told := p.heard(); !slices.Equal(told, numbered(0, 11)) || c.left() != 0 {
				t.Errorf("told %v, %d not acknowledged", told, c.left())
			}
			if n := len(c.calls); n < 20 || n > 27 {
				t.Errorf("asked %d times in 20 seconds", n)
			}
		})
	})
}

// TestCollectedIsKeptFirst: what the journal did not take is not acknowledged,
// and comes again.
func TestCollectedIsKeptFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := &centre{}, &provider{broken: errors.New("no space")}
		p.collect = c.collect
		c.hear(numbered(0, 5)...)
		collecting(t, p, func(d *Door) {
			time.Sleep(2 * time.Minute)
			if c.acked != 0 || c.left() != 5 || len(p.heard()) != 0 {
				t.Errorf("%d acknowledged, %d left, told %v", c.acked, c.left(), p.heard())
			}
			if n := len(c.calls); n > 20 {
				t.Errorf("asked %d times while the journal was full", n)
			}
			if ps := codes(d); !slices.Equal(ps, []string{problemCollect}) {
				t.Errorf("problems %v", ps)
			}
			p.fail(nil)
			time.Sleep(time.Minute)
			if told := p.heard(); !slices.Equal(told, numbered(0, 5)) || c.left() != 0 {
				t.Errorf("told %v, %d not acknowledged", told, c.left())
			}
			if ps := codes(d); len(ps) != 0 {
				t.Errorf("problems %v", ps)
			}
		})
	})
}

// TestCollectFails: a connector that fails is a problem, one that is away is not,
// since others say so; both are asked again, ever more rarely, and one that
// collects nothing is not.
func TestCollectFails(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		calls    int
		problems int
	}{
		{"broken", errors.New("inside"), 8, 1},
		{"away", fmt.Errorf("not running: %w", ErrAway), 8, 0},
		{"unsupported", fmt.Errorf("no: %w", ErrUnsupported), 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := &centre{failing: c.err}, &provider{}
				p.collect = m.collect
				collecting(t, p, func(d *Door) {
					time.Sleep(65 * time.Second)
					if len(m.calls) != c.calls {
						t.Errorf("asked %d times, want %d", len(m.calls), c.calls)
					}
					if ps := codes(d); len(ps) != c.problems {
						t.Errorf("problems %v", ps)
					}
					m.fail(nil)
					m.hear(numbered(0, 1)...)
					time.Sleep(time.Minute)
					if n := len(p.heard()); c.calls > 1 && n != 1 {
						t.Errorf("%d told afterwards", n)
					}
				})
			})
		})
	}
}

// TestCollectPublisherAway: the connector is not asked while nobody could keep
// what it says.
func TestCollectPublisherAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := &centre{}, &provider{}
		p.collect = c.collect
		c.hear(numbered(0, 1)...)
		d, _ := door(p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		var mu sync.Mutex
		away := true
		go func() {
			defer close(ended)
			d.Collect(ctx, func() Source {
				mu.Lock()
				defer mu.Unlock()
				s := p.source()
				if away {
					s.Tell = nil
				}
				return s
			})
		}()
		time.Sleep(time.Minute)
		if len(c.calls) != 0 {
			t.Errorf("asked %d times", len(c.calls))
		}
		mu.Lock()
		away = false
		mu.Unlock()
		time.Sleep(time.Minute)
		if len(p.heard()) != 1 || c.left() != 0 {
			t.Errorf("told %v", p.heard())
		}
		cancel()
		<-ended
	})
}

// TestCollectFlood: a connector that never has enough, that gives the same for
// ever or no token, costs its own calls and no more.
func TestCollectFlood(t *testing.T) {
	for _, token := range []string{"", "same"} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			p := &provider{collect: func(context.Context, string) ([]connector.Receipt, string, error) {
				calls++
				return numbered(0, 1), token, nil
			}}
			collecting(t, p, func(d *Door) {
				time.Sleep(10 * time.Second)
				if calls > 10*collectRate+collectBurst+1 {
					t.Errorf("asked %d times in 10 s", calls)
				}
				if n := len(p.heard()); token == "" && n != 0 {
					t.Errorf("%d told that cannot be acknowledged", n)
				}
			})
		})
	}
}
