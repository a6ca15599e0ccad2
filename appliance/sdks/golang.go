package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	rudder "github.com/rudderlabs/analytics-go"
	segment "github.com/segmentio/analytics-go/v3"
)

// delivered waits for as many calls as were made: the libraries have no flush.
type delivered struct {
	calls   int
	pending sync.WaitGroup
	mu      sync.Mutex
	failed  error
}

func (d *delivered) made(err error) {
	d.calls++
	if err != nil {
		d.fail(err)
		return
	}
	d.pending.Add(1)
}

func (d *delivered) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = fmt.Errorf("a call: %w", err)
}

type segmentDone struct{ *delivered }

func (d segmentDone) Success(segment.Message) { d.pending.Done() }
func (d segmentDone) Failure(_ segment.Message, err error) {
	d.fail(err)
	d.pending.Done()
}

type rudderDone struct{ *delivered }

func (d rudderDone) Success(rudder.Message) { d.pending.Done() }
func (d rudderDone) Failure(_ rudder.Message, err error) {
	d.fail(err)
	d.pending.Done()
}

// quiet keeps what the libraries log of each retry out of the table.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// segmentGo makes the calls with Segment's library for Go.
func segmentGo(_ context.Context, t *trial) (int, error) {
	d := &delivered{}
	c, err := segment.NewWithConfig(key, segment.Config{
		Endpoint: t.url, Interval: 100 * time.Millisecond, Callback: segmentDone{d}, Logger: segment.StdLogger(quiet()),
	})
	if err != nil {
		return 0, err
	}
	consent := &segment.Context{Timezone: "Asia/Kolkata", Extra: map[string]any{"consent": map[string]any{"categoryPreferences": map[string]bool{"news": true}}}}
	d.made(c.Enqueue(segment.Identify{UserId: "u-1", AnonymousId: "anon-1", Context: consent,
		Traits: segment.NewTraits().SetName("Asha Rao").SetEmail("asha@shop.example").Set("plan", "gold")}))
	d.made(c.Enqueue(segment.Page{UserId: "u-1", Name: "Home", Properties: segment.NewProperties().SetURL("https://shop.example/")}))
	d.made(c.Enqueue(segment.Screen{AnonymousId: "anon-1", Name: "Cart"}))
	d.made(c.Enqueue(segment.Group{UserId: "u-1", GroupId: "g-1", Traits: segment.NewTraits().Set("employees", 420)}))
	d.pending.Wait()
	for round := range 4 {
		for i := range 5 {
			d.made(c.Enqueue(segment.Track{UserId: "u-1", Event: "Order Completed",
				Properties: segment.NewProperties().SetOrderId(fmt.Sprint(round, "-", i)).SetRevenue(25.5).SetCurrency("INR")}))
		}
		d.pending.Wait()
	}
	d.made(c.Enqueue(segment.Alias{UserId: "u-1", PreviousId: "anon-2"}))
	d.pending.Wait()
	if err := c.Close(); err != nil {
		return d.calls, err
	}
	return d.calls, d.failed
}

// rudderGo makes them with RudderStack's.
func rudderGo(_ context.Context, t *trial) (int, error) {
	d := &delivered{}
	c, err := rudder.NewWithConfig(key, t.url, rudder.Config{
		Interval: 250 * time.Millisecond, Callback: rudderDone{d}, Logger: rudder.StdLogger(quiet()),
	})
	if err != nil {
		return 0, err
	}
	d.made(c.Enqueue(rudder.Identify{UserId: "u-1", Context: &rudder.Context{Timezone: "Asia/Kolkata"},
		Traits: rudder.NewTraits().SetName("Asha Rao").SetEmail("asha@shop.example").Set("plan", "gold")}))
	d.made(c.Enqueue(rudder.Page{UserId: "u-1", Name: "Home", Properties: rudder.NewProperties().SetURL("https://shop.example/")}))
	d.made(c.Enqueue(rudder.Screen{UserId: "u-1", Name: "Cart"}))
	d.made(c.Enqueue(rudder.Group{UserId: "u-1", GroupId: "g-1", Traits: rudder.NewTraits().Set("employees", 420)}))
	d.pending.Wait()
	for round := range 4 {
		for i := range 5 {
			d.made(c.Enqueue(rudder.Track{UserId: "u-1", Event: "Order Completed",
				Properties: rudder.NewProperties().SetOrderId(fmt.Sprint(round, "-", i)).SetRevenue(25.5).SetCurrency("INR")}))
		}
		d.pending.Wait()
	}
	d.made(c.Enqueue(rudder.Alias{UserId: "u-1", PreviousId: "anon-2"}))
	d.pending.Wait()
	if err := c.Close(); err != nil {
		return d.calls, err
	}
	return d.calls, d.failed
}
