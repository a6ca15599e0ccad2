//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// witness stands outside of the daemon: it sends as apps do, and what was
// acknowledged it writes down, on another disk, before it sends more. Events
// of one of its rounds have a name of their own.
type witness struct {
	file  *os.File
	event string
	acked map[string]bool // by the mark that every event carries
	mu    sync.Mutex
	n     atomic.Int64 // acknowledged
	cut   atomic.Int64 // when power went, in nanoseconds: what was acknowledged later does not count; 0 = it did not
	tries atomic.Int64
	codes sync.Map // status -> *atomic.Int64
}

const (
	writers  = 8
	maxBatch = 40
	padding  = 300 // bytes that do not compress, of an event
)

func (h *harness) newWitness(event string) (*witness, error) {
	f, err := os.Create(filepath.Join(h.dir, "acknowledged"))
	return &witness{file: f, event: event, acked: make(map[string]bool)}, err
}

func (w *witness) close() error { return w.file.Close() }

// note writes down what was acknowledged.
func (w *witness) note(marks []string) error {
	now := time.Now().UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	// A sync that is under way when a file system is shut down may return as
	// if it had been done, which a machine without power cannot.
	if cut := w.cut.Load(); cut != 0 && now >= cut {
		return nil
	}
	var line bytes.Buffer
	for _, m := range marks {
		w.acked[m] = true
		line.WriteString(w.event + " " + m + "\n")
	}
	if _, err := w.file.Write(line.Bytes()); err != nil {
		return err
	}
	w.n.Add(int64(len(marks)))
	return nil
}

// load sends until stop is called, which waits for the last answers. What was
// not answered is sent again, with the same ids, as libraries do: by Segment's
// doors, whose messages have ids. CleverTap's have none, so what was not
// answered there is forgotten.
func (w *witness) load(ctx context.Context, d *daemon) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for i := range writers {
		wg.Go(func() {
			client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			send := w.segment
			if i%4 == 3 {
				send = w.clevertap
			}
			for n := 0; ctx.Err() == nil; n++ {
				if err := send(ctx, client, d.collect, fmt.Sprintf("%d-%d", i, n)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	return func() error {
		cancel()
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
}

type object = map[string]any

func (w *witness) marks(batch string) (marks []string) {
	for i := range 1 + rand.IntN(maxBatch) {
		marks = append(marks, fmt.Sprintf("%s-%d", batch, i))
	}
	return marks
}

func noise() string {
	b := make([]byte, padding)
	for i := range b {
		b[i] = byte('!' + rand.IntN(90))
	}
	return string(b)
}

func (w *witness) segment(ctx context.Context, client *http.Client, collect, batch string) error {
	marks := w.marks(batch)
	var list []object
	for _, m := range marks {
		list = append(list, object{"type": "track", "userId": "u" + m[:3], "event": w.event, "messageId": w.event + m,
			"properties": object{"mark": m, "pad": noise()}, "timestamp": time.Now().UTC().Format(time.RFC3339Nano)})
	}
	body, err := json.Marshal(object{"batch": list})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if w.post(ctx, client, collect+"/v1/batch", body, func(r *http.Request) { r.SetBasicAuth(appKey, "") }) {
			return w.note(marks)
		}
	}
	return nil
}

func (w *witness) clevertap(ctx context.Context, client *http.Client, collect, batch string) error {
	marks := w.marks(batch)
	var list []object
	for _, m := range marks {
		list = append(list, object{"type": "event", "identity": "u" + m[:3], "evtName": w.event, "evtData": object{"mark": m, "pad": noise()}})
	}
	body, err := json.Marshal(object{"d": list})
	if err != nil {
		return err
	}
	if w.post(ctx, client, collect+"/1/upload", body, func(r *http.Request) {
		r.Header.Set("X-CleverTap-Account-Id", serverKey)
		r.Header.Set("X-CleverTap-Passcode", serverSecret)
	}) {
		return w.note(marks)
	}
	return nil
}

// post says whether a request was answered 200, whole.
func (w *witness) post(ctx context.Context, client *http.Client, url string, body []byte, sign func(*http.Request)) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	sign(req)
	w.tries.Add(1)
	resp, err := client.Do(req)
	if err != nil {
		select { // nobody is there
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	count, _ := w.codes.LoadOrStore(resp.StatusCode, new(atomic.Int64))
	count.(*atomic.Int64).Add(1)
	if resp.StatusCode != http.StatusOK {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return err == nil && resp.StatusCode == http.StatusOK
}

// answered is how often the door answered with a status.
func (w *witness) answered(status int) int64 {
	if c, ok := w.codes.Load(status); ok {
		return c.(*atomic.Int64).Load()
	}
	return 0
}

// compare asks the daemon for all events of the round.
func (w *witness) compare(ctx context.Context, d *daemon) (r result, err error) {
	got, err := d.marks(ctx, w.event)
	if err != nil {
		return r, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.acked = len(w.acked)
	for m := range w.acked {
		if got[m] == 0 {
			r.lost++
		}
	}
	for _, n := range got {
		r.duplicated += n - 1
	}
	return r, nil
}

// marks exports the events of a name: how often each is there.
func (d *daemon) marks(ctx context.Context, event string) (map[string]int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/v1/publishers/shop/export/events?format=ndjson&event="+event, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.admin.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return nil, &answerError{resp.StatusCode, fmt.Sprintf("the export of %s is answered %d: %s", event, resp.StatusCode, b)}
	}
	got := make(map[string]int)
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Props struct{ Mark string }
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("a line of the export of %s: %w", event, err)
		}
		got[row.Props.Mark]++
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("the export of %s ends early: %w", event, err)
	}
	return got, nil
}
