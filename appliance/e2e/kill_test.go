//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// The short form runs with every `make test`; `make faults` runs 30 and more.
var rounds = flag.Int("rounds", 4, "rounds of kill -9")

const witnessHCL = `
publisher "shop" {
  key "app" { id = "SHOP-APP" }
}
`

const (
	writers  = 8
	maxBatch = 20
	perUser  = 9000 // so that a timeline shows all of one user at once
)

// witness is what stands outside: it sends, and knows what was acknowledged.
type witness struct {
	mu    sync.Mutex
	acked map[string]map[int]bool // by user: the numbers that were answered 200
}

func (w *witness) note(user string, numbers []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.acked[user]
	if m == nil {
		m = map[int]bool{}
		w.acked[user] = m
	}
	for _, n := range numbers {
		m[n] = true
	}
}

// write sends batches as a client library does: what was not answered is sent
// again, with the same ids, until the round's end.
func (w *witness) write(d *daemon, name string, stop <-chan struct{}) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ; {
		var batch []map[string]any
		var numbers []int
		user := fmt.Sprintf("%s-%d", name, n/perUser)
		for range 1 + rand.IntN(maxBatch) {
			numbers = append(numbers, n)
			batch = append(batch, map[string]any{
				"type": "track", "userId": user, "event": "Tick", "messageId": fmt.Sprintf("%s-%d", user, n),
				"properties": map[string]any{"n": n}, "timestamp": time.Now().UTC().Format(time.RFC3339Nano),
			})
			n++
		}
		body, _ := json.Marshal(map[string]any{"batch": batch})
		for {
			select {
			case <-stop:
				return
			default:
			}
			req, _ := http.NewRequest("POST", d.collect+"/v1/batch", bytes.NewReader(body))
			req.SetBasicAuth("SHOP-APP", "")
			resp, err := client.Do(req)
			if err != nil {
				continue
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				w.note(user, numbers)
				break
			}
		}
	}
}

// TestKill kills the daemon with -9 at random moments under load and compares
// what is found with what was acknowledged.
func TestKill(t *testing.T) {
	d := newDaemon(t, false, witnessHCL)
	w := &witness{acked: map[string]map[int]bool{}}
	d.start()
	for round := range *rounds {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() { w.write(d, fmt.Sprintf("r%d-w%d", round, i), stop) })
		}
		time.Sleep(200*time.Millisecond + time.Duration(rand.Int64N(int64(2800*time.Millisecond)))) // the random moment
		d.kill()
		d.start()
		// What was not answered before the kill is sent again now.
		time.Sleep(300 * time.Millisecond) // time for the retries, under load again; whoever gets none is only not counted
		close(stop)
		wg.Wait()
	}
	acked, found, lost, twice := w.compare(t, d)
	t.Logf("%d rounds of kill -9: %d acknowledged, %d found, %d lost, %d duplicated", *rounds, acked, found, lost, twice)
	if lost > 0 || twice > 0 || acked == 0 {
		t.Error("an acknowledged event was lost, or one counts twice")
	}
	if total := d.total("shop", "Tick"); int(total) != found {
		t.Errorf("the trend counts %v, the timelines hold %d", total, found)
	}
}

func (w *witness) compare(t *testing.T, d *daemon) (acked, found, lost, twice int) {
	for user, numbers := range w.acked {
		var page struct {
			Events []struct{ Props struct{ N int } }
		}
		if code := d.call("GET", "/publishers/shop/people/"+user+"/timeline?limit=10000", nil, &page); code != 200 {
			t.Fatalf("the timeline of %s answers %d", user, code)
		}
		if len(page.Events) == 10000 {
			t.Fatalf("the timeline of %s does not show all", user)
		}
		got := map[int]int{}
		for _, e := range page.Events {
			got[e.Props.N]++
		}
		acked += len(numbers)
		for n := range numbers {
			if got[n] == 0 {
				lost++
			}
		}
		for _, times := range got {
			found += times
			twice += times - 1
		}
	}
	return acked, found, lost, twice
}
