package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/bench/mix"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// house is a whole publisher: journal, applier, rooms.
type house struct {
	ring    *keyring.Keyring
	journal *journal.Server
	*publisher.Publisher

	appended atomic.Int64 // facts of a file
	stop     context.CancelFunc
	feeding  sync.WaitGroup
	failed   error // of feeding
	began    time.Time
}

// nobody takes no messages: nothing is sent here.
type nobody struct{}

func (nobody) Routes(string) []delivery.Route { return nil }
func (nobody) Send(context.Context, string, string, []connector.Message) ([]connector.Outcome, error) {
	return nil, errors.New("nothing is sent")
}
func (nobody) Forget(context.Context, []event.Address) error { return nil }

// openHouse opens one over a directory; of options only what it does not know
// by itself counts.
func openHouse(dir string, options publisher.Options) (h *house, err error) {
	h = new(house)
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	ring, keys, err := openKeys(dir)
	if err != nil {
		return nil, err
	}
	h.ring = ring
	if h.journal, err = journal.Open(journal.Options{Dir: filepath.Join(dir, "journal")}); err != nil {
		return nil, err
	}
	addresses, err := links.NewAddresses("http://127.0.0.1:1", name, keys)
	if err != nil {
		return nil, err
	}
	options.Name, options.Title, options.Dir, options.Journal, options.Keys = name, name, roomsOf(dir), h.journal, keys
	options.Shelves, options.Columns, options.Budget = kv.NewShelfCache(16), columns, budget
	options.Sender, options.Forgetter, options.Links = nobody{}, nobody{}, addresses
	h.Publisher, err = publisher.Open(options)
	if err == nil {
		h.Start()
	}
	return h, err
}

// close closes what is open; a nil house is closed.
func (h *house) close() error {
	if h == nil {
		return nil
	}
	var errs []error
	if h.stop != nil {
		h.stop()
		h.feeding.Wait()
	}
	if h.Publisher != nil {
		errs = append(errs, h.Publisher.Close(context.Background()))
	}
	if h.journal != nil {
		errs = append(errs, h.journal.Close())
	}
	if h.ring != nil {
		errs = append(errs, h.ring.Close())
	}
	return errors.Join(errs...)
}

const (
	feeders   = 8
	feedFacts = 500     // of one Append
	maxLag    = 200_000 // facts that are acknowledged and not applied yet
)

var errEnough = errors.New("enough")

// feed begins to append the events of a file, as fast as they are applied, or
// at a rate. At a rate they happen on the last day of the mix, so that every
// question has to do with them, and from the beginning again when the file ends.
func (h *house) feed(file string, rate float64) {
	ctx, stop := context.WithCancel(context.Background())
	h.stop, h.failed = stop, nil
	h.appended.Store(0)
	before := h.Flow().Facts
	h.began = time.Now()
	batches := make(chan []event.Fact)
	h.feeding.Go(func() {
		defer close(batches)
		taken, at := 0, mix.Start.AddDate(0, 0, mix.Days-1).UnixMicro()
		give := func(list []mix.Event) error {
			facts := make([]event.Fact, len(list))
			for i := range list {
				facts[i] = factOf(&list[i])
				taken++
				facts[i].ID = fmt.Sprintf("%d-%d", before, taken)
				facts[i].Received = time.Now().UnixMicro()
				if rate > 0 {
					facts[i].Time = at + int64(taken)
				}
			}
			for ctx.Err() == nil && int64(taken)-int64(h.Flow().Facts-before) > maxLag {
				time.Sleep(time.Millisecond)
			}
			if rate > 0 {
				time.Sleep(time.Until(h.began.Add(time.Duration(float64(taken) / rate * 1e9))))
			}
			select {
			case batches <- facts:
				return nil
			case <-ctx.Done():
				return errEnough
			}
		}
		err := mix.Read(file, feedFacts, give)
		for err == nil && rate > 0 {
			err = mix.Read(file, feedFacts, give)
		}
		if err != nil && err != errEnough {
			h.failed = err
		}
	})
	var once sync.Once
	for range feeders {
		h.feeding.Go(func() {
			for facts := range batches {
				if err := h.Append(context.Background(), facts); err != nil {
					once.Do(func() { h.failed = err })
					stop()
					return
				}
				h.appended.Add(int64(len(facts)))
			}
		})
	}
}

// fed ends a feed, waits until all of it is visible, and tells the rate.
func (h *house) fed() (rate float64, err error) {
	h.stop()
	h.feeding.Wait()
	h.stop = nil
	if h.failed != nil {
		return 0, h.failed
	}
	if err := h.CaughtUp(context.Background()); err != nil {
		return 0, err
	}
	return float64(h.appended.Load()) / time.Since(h.began).Seconds(), nil
}

// fill brings in a file, or so much of it as fits into a time.
func (h *house) fill(r *engine.Request) (engine.Reply, error) {
	h.feed(r.File, 0)
	ended := make(chan struct{})
	go func() { h.feeding.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(r.Time):
	}
	rate, err := h.fed()
	return engine.Reply{Figures: map[string]float64{"rate": rate, "events": float64(h.appended.Load())}}, err
}

// visible appends single events for a while and asks for each until it is in
// the answer.
func (h *house) visible(r *engine.Request) (engine.Reply, error) {
	ctx := context.Background()
	var took []float64
	for began, n := time.Now(), 0; time.Since(began) < r.Time; {
		at := time.Now().UnixMicro()
		f := event.Fact{Kind: event.Track, User: mix.User(0), Name: "Marked", Time: at, Received: at, ID: fmt.Sprint("marked-", at)}
		if err := h.Append(ctx, []event.Fact{f}); err != nil {
			return engine.Reply{}, err
		}
		n++
		acknowledged := time.Now()
		for {
			a, err := h.Ask(ctx, []byte(`{"kind":"trend","interval":"all","series":[{"event":"Marked"}]}`))
			if err != nil {
				return engine.Reply{}, err
			}
			if s := a.Result.(*query.TrendResult).Series; len(s) == 1 && int(s[0].Total) >= n {
				break
			}
			if time.Since(acknowledged) > time.Minute {
				return engine.Reply{}, errors.New("an event is not visible after a minute")
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(acknowledged).Seconds())
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(took)
	return engine.Reply{Figures: map[string]float64{
		"p50_s": took[len(took)/2], "p99_s": took[len(took)*99/100], "max_s": took[len(took)-1], "rows": float64(h.Flow().Rows),
	}}, nil
}
