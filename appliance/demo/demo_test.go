package demo

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door takes what the demo sends, as the appliance's doors would.
type door struct {
	mu    sync.Mutex
	calls []call
	paths map[string]int
	busy  int // so many batches are refused first
	fail  int // status of every batch, 0 = 200
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paths[r.Method+" "+r.URL.Path]++
	if r.URL.Path != "/v1/batch" {
		return
	}
	if d.busy > 0 {
		d.busy--
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if d.fail != 0 {
		w.WriteHeader(d.fail)
		return
	}
	var body struct{ Batch []call }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.calls = append(d.calls, body.Batch...)
}

func (d *door) seen(event string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c.Event == event {
			n++
		}
	}
	return n
}

func (d *door) path(p string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paths[p]
}

// play runs a demo until ok, and gives what Run returned.
func play(t *testing.T, d *door, o Options, ok func() bool) error {
	t.Helper()
	d.paths = map[string]int{}
	server := httptest.NewServer(d)
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	o.Collect, o.Key, o.Client = server.URL, "KEY", &http.Client{Transport: transport}
	if o.Mail == nil {
		o.Mail = func() ([]Mail, error) { return nil, nil }
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the demo did not do it in 30 s")
		}
	}
	cancel()
	return <-ended
}

func TestTheShopHasAPastAndAPresent(t *testing.T) {
	d := &door{busy: 2}
	began := time.Now()
	present := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.calls) > 0 && d.calls[len(d.calls)-1].Timestamp.After(began)
	}
	if err := play(t, d, Options{Past: 3, Rate: 200, Seed: 1}, present); err != nil {
		t.Fatal(err)
	}
	for _, e := range []string{"App Launched", "Signed Up", "Product Viewed", "Added To Cart", "Checkout Started", "Charged"} {
		if d.seen(e) == 0 {
			t.Errorf("no %q", e)
		}
	}
	ids := map[string]bool{}
	for _, c := range d.calls {
		if ids[c.MessageID] || c.AnonymousID == "" || c.Timestamp.IsZero() {
			t.Fatalf("a call without an id of its own, a device or a time: %+v", c)
		}
		ids[c.MessageID] = true
	}
}

func TestRecipientsReadClickAndLeave(t *testing.T) {
	d := &door{}
	var once sync.Once
	var o Options
	server := httptest.NewServer(d)
	defer server.Close()
	o.Mail = func() (mails []Mail, err error) {
		once.Do(func() {
			for range 400 {
				mails = append(mails, Mail{
					HTML:        `<a href="` + server.URL + `/c/x">x</a><img src="` + server.URL + `/o/x" width="1" height="1">`,
					Unsubscribe: server.URL + "/u/x",
				})
			}
		})
		return mails, nil
	}
	err := play(t, d, o, func() bool { return d.path("GET /o/x") > 0 && d.path("GET /c/x") > 0 && d.path("POST /u/x") > 0 })
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsRefusedForGoodEndsTheDemo(t *testing.T) {
	d := &door{fail: http.StatusUnauthorized}
	if err := play(t, d, Options{Past: 1}, func() bool { return false }); err == nil {
		t.Error("no error")
	}
	broken := errors.New("broken")
	err := play(t, &door{}, Options{Rate: 1, Mail: func() ([]Mail, error) { return nil, broken }}, func() bool { return false })
	if !errors.Is(err, broken) {
		t.Errorf("a mailbox that cannot be read: %v", err)
	}
}
