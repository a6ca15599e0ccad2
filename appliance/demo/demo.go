// Package demo is an invented shop's app for `cloister server --demo`: its
// people arrive, look around, buy, leave carts, and read their messages. It
// reaches the appliance only by the doors that real apps and real recipients
// use, so it shows nothing that the appliance cannot do.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Defaults and bounds of Options.
const (
	DefaultPeople = 2000
	MaxPeople     = 1_000_000
	DefaultRate   = 20
	MaxRate       = 10_000
)

// Options of a demo. Collect, Key and Mail are needed.
type Options struct {
	Collect string  // address of the door for apps: "http://127.0.0.1:8480"
	Key     string  // the write key
	People  int     // who may ever come
	Rate    float64 // events per second, about
	// Past is how many days before now the shop is already open. The first
	// thing that Run does is to send what happened in them; 0 = nothing.
	Past int
	// Mail gives what was sent to the demo's people since the last call.
	Mail   func() ([]Mail, error)
	Seed   uint64
	Now    func() time.Time
	Client *http.Client
	Logger *slog.Logger
}

// Mail is one message as its recipient got it.
type Mail struct {
	ID          string
	Channel     string
	HTML, Text  string
	Link        string // push: what a tap opens
	Unsubscribe string // one-click address, "" = none
}

func (o Options) withDefaults() Options {
	o.People = min(cmp.Or(o.People, DefaultPeople), MaxPeople)
	o.Rate = min(cmp.Or(o.Rate, DefaultRate), MaxRate)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Run plays the shop until ctx ends. What the door refuses for a moment is
// sent again; anything else it refuses is an error.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	s := &shop{o: o, rand: rand.New(rand.NewPCG(o.Seed, 1)), client: o.Client}
	if err := s.past(ctx); err != nil {
		return ended(ctx, fmt.Errorf("sending the demo's past: %w", err))
	}
	readers := &readers{o: o, rand: rand.New(rand.NewPCG(o.Seed, 2)), noFollow: &http.Client{
		Timeout: 10 * time.Second, Transport: o.Client.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	// Whichever fails ends the other.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, play := range []func(context.Context) error{readers.run, s.open} {
		wg.Go(func() {
			if err := play(ctx); err != nil && ctx.Err() == nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// ended hides the error that is only the demo's own end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

const (
	batchEvents = 400
	tick        = 250 * time.Millisecond
)

// open plays the present: what is due at each tick goes out in one batch.
func (s *shop) open(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	last := s.o.Now()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		now := s.o.Now()
		// After a pause of the machine the shop does not catch up.
		if now.Sub(last) > 10*time.Second {
			last = now.Add(-tick)
		}
		s.visitors(last, now)
		last = now
		if err := s.send(ctx, s.due(now)); err != nil {
			return err
		}
	}
}

// past plays the days before now, as fast as the door takes them.
func (s *shop) past(ctx context.Context) error {
	now := s.o.Now()
	for day := s.o.Past; day > 0; day-- {
		start := now.AddDate(0, 0, -day)
		// A fortnight of a shop that grows, quieter at weekends.
		visits := 90 + 12*(s.o.Past-day)
		if wd := start.Weekday(); wd == time.Saturday || wd == time.Sunday {
			visits = visits * 2 / 3
		}
		for range min(visits, s.o.People) {
			s.visit(start.Add(time.Duration(s.rand.Float64() * float64(24*time.Hour))))
		}
		if err := s.send(ctx, s.due(start.Add(24*time.Hour))); err != nil {
			return err
		}
	}
	return nil
}

// send posts what happened in Segment's format.
func (s *shop) send(ctx context.Context, batch []call) error {
	for len(batch) > 0 {
		n := min(len(batch), batchEvents)
		body, err := json.Marshal(map[string]any{"batch": batch[:n], "writeKey": s.o.Key})
		if err != nil {
			return err
		}
		if err := s.post(ctx, body); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

func (s *shop) post(ctx context.Context, body []byte) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		status, answer, err := s.try(ctx, body)
		switch {
		case err == nil && status == http.StatusOK:
			return nil
		case err == nil && status != http.StatusTooManyRequests && status < 500:
			return fmt.Errorf("the door answered %d: %s", status, answer)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *shop) try(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.Collect+"/v1/batch", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(s.o.Key, "")
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, answer, err
}
