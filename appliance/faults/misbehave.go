//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	misbehavedTo = 20_000           // people of the campaign
	misbehaveFor = 15 * time.Second // of ingest beside it
	paced        = 4                // connections
	pace         = 25 * time.Millisecond
)

// misbehaving sends a campaign by a connector that crashes, hangs, leaks or floods
// its log, and collects meanwhile: at a set pace, as beside a connector that works.
// It tells how p99 of the answers compares, and that nothing is lost.
func misbehaving(ctx context.Context, h *harness, rounds int) (all result, err error) {
	took := map[string][]time.Duration{}
	acts := []string{"", "crash", "hang", "leak", "flood"}
	for round := range rounds {
		for i := range acts {
			act := acts[(i+round)%len(acts)] // in turn, so that none always comes after the same one
			r, each, err := beside(ctx, h, fmt.Sprintf("act%d%s", round, act), act)
			if err != nil {
				return all, fmt.Errorf("%q: %w", act, err)
			}
			took[act] = append(took[act], each...)
			all.add(r)
		}
	}
	works := p99(took[""])
	for _, act := range acts[1:] {
		x := p99(took[act])
		all.notes = append(all.notes, fmt.Sprintf("%s: p99 of ingest %.2f ms, %.2f ms beside one that works: %.2f", act, ms(x), ms(works), float64(x)/float64(works)))
	}
	return all, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// beside collects beside one campaign.
func beside(ctx context.Context, h *harness, name, act string) (r result, took []time.Duration, err error) {
	c := &campaigned{h: h, name: name, act: act, people: misbehavedTo}
	if err := c.setUp(ctx); err != nil {
		return r, nil, err
	}
	defer c.d.kill()
	w, err := h.newWitness(name)
	if err != nil {
		return r, nil, err
	}
	defer w.close()
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
	)
	end := time.Now().Add(misbehaveFor)
	for i := range paced {
		wg.Go(func() {
			client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for n := 0; time.Now().Before(end) && ctx.Err() == nil; n++ {
				<-tick.C
				began := time.Now()
				err := w.segment(ctx, client, c.d.collect, fmt.Sprintf("%d-%d", i, n))
				mu.Lock()
				took, errs = append(took, time.Since(began)), append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return r, nil, err
	}
	r, err = w.compare(ctx, c.d)
	r.rounds = 1
	h.tell("%s: %d requests, p99 %.2f ms", name, len(took), ms(p99(took)))
	return r, took, err
}
