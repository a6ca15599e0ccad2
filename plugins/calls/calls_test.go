package calls

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func messages(n int) []connector.Message {
	out := make([]connector.Message, n)
	for i := range out {
		out[i].ID = fmt.Sprint("m", i)
	}
	return out
}

// Every message is begun once and answered in its place, and no more than the
// slots at once, over all batches.
func TestEach(t *testing.T) {
	const slots, batches, size = 3, 4, 50
	s := NewSlots(slots)
	var now, most atomic.Int64
	var begun sync.Map
	one := func(_ context.Context, m *connector.Message) (connector.Outcome, bool) {
		n := now.Add(1)
		defer now.Add(-1)
		for had := most.Load(); n > had && !most.CompareAndSwap(had, n); had = most.Load() {
		}
		if _, twice := begun.LoadOrStore(m, true); twice {
			t.Errorf("%s is begun twice", m.ID)
		}
		return connector.Outcome{Result: connector.Accepted, ProviderID: "p" + m.ID}, false
	}
	var wg sync.WaitGroup
	for range batches {
		wg.Go(func() {
			for i, o := range s.Each(t.Context(), time.Minute, messages(size), one) {
				if id := fmt.Sprint("m", i); o.ID != id || o.ProviderID != "p"+id || o.Result != connector.Accepted {
					t.Errorf("%d: %+v", i, o)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > slots || len(s) != 0 {
		t.Errorf("%d at once, %d slots are held at the end", most.Load(), len(s))
	}
	if got := s.Each(t.Context(), time.Minute, nil, one); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// What holds for all is said of what was not begun, and nothing is begun after it.
func TestEachStops(t *testing.T) {
	s := NewSlots(1)
	var begun []string
	outs := s.Each(t.Context(), time.Minute, messages(5), func(_ context.Context, m *connector.Message) (connector.Outcome, bool) {
		begun = append(begun, m.ID)
		if len(begun) == 2 {
			return connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, Reason: "nobody is let in"}, true
		}
		return connector.Outcome{Result: connector.Accepted}, false
	})
	for i, o := range outs {
		want := connector.Outcome{ID: fmt.Sprint("m", i), Result: connector.Again, Class: connector.ClassConfig, Reason: "nobody is let in"}
		if i == 0 {
			want = connector.Outcome{ID: "m0", Result: connector.Accepted}
		}
		if o != want {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if !slices.Equal(begun, []string{"m0", "m1"}) {
		t.Errorf("begun: %v", begun)
	}
}

// What there is no time for comes again, and is not begun: once the time is over,
// with less of it left than a message takes, and while others hold the slots.
func TestEachOutOfTime(t *testing.T) {
	begun := 0
	half := func(ctx context.Context, m *connector.Message) (connector.Outcome, bool) {
		begun++
		end, _ := ctx.Deadline()
		<-time.After(time.Until(end) * 3 / 5)
		return connector.Outcome{Result: connector.Accepted}, false
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	taken := NewSlots(1)
	taken <- struct{}{}
	for _, c := range []struct {
		name     string
		got      []connector.Outcome
		accepted int
	}{
		{"a short batch, with time for one", NewSlots(1).Each(short, time.Minute, messages(2), half), 1},
		{"taken", taken.Each(short, time.Minute, messages(2), half), 0},
		{"ended", NewSlots(2).Each(ended, time.Minute, messages(2), half), 0},
	} {
		for i, o := range c.got {
			want := connector.Outcome{ID: fmt.Sprint("m", i), Result: connector.Again, Reason: "out of time", RetryAfter: notBegun}
			if i < c.accepted {
				want = connector.Outcome{ID: want.ID, Result: connector.Accepted}
			}
			if o != want {
				t.Errorf("%s: %+v", c.name, o)
			}
		}
	}
	if begun != 1 {
		t.Errorf("%d begun", begun)
	}
}

func TestLeft(t *testing.T) {
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangsUp.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for url, want := range map[string]bool{hangsUp.URL: true, "http://" + l.Addr().String(): false} {
		var left Left
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(left.Watch(t.Context()), http.MethodPost, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			t.Errorf("%s answers", url)
		}
		if left.Perhaps() != want {
			t.Errorf("%s: perhaps %v", url, left.Perhaps())
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "0": 0, "-5": 0, "99999999999": longest, "12x": 0, "99999999999999999999999": 0,
		"Thu, 26 Nov 2026 12:01:30 GMT": 90 * time.Second, "Thu, 26 Nov 2026 11:00:00 GMT": 0, "Fri, 26 Nov 2027 12:00:00 GMT": longest, "tomorrow": 0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, wanted %v", v, got, want)
		}
	}
}
