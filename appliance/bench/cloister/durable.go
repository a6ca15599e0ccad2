package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
)

// eventBytes is about what one event of the mix takes in the journal; it is what
// JetStream and the raw file are given too.
const eventBytes = 300

// rates are what several callers reached.
type rates struct {
	mu      sync.Mutex
	n       atomic.Int64
	took    []time.Duration
	started time.Time
}

// drive lets callers call until a time is over: each as soon as it can, or, if
// every is given, that often, taking turns. Waiting for its turn is not in the
// time that a call takes.
func drive(callers int, for_, every time.Duration, call func(caller, i int) (events int, err error)) (engine.Reply, error) {
	r := rates{started: time.Now()}
	var wg sync.WaitGroup
	var failed error
	for c := range callers {
		wg.Go(func() {
			var took []time.Duration
			for i := 0; time.Since(r.started) < for_; i++ {
				if every > 0 {
					time.Sleep(time.Until(r.started.Add(time.Duration(i)*every + time.Duration(c)*every/time.Duration(callers))))
				}
				began := time.Now()
				n, err := call(c, i)
				if err != nil {
					r.mu.Lock()
					failed = errors.Join(failed, err)
					r.mu.Unlock()
					return
				}
				took = append(took, time.Since(began))
				r.n.Add(int64(n))
			}
			r.mu.Lock()
			r.took = append(r.took, took...)
			r.mu.Unlock()
		})
	}
	wg.Wait()
	if failed != nil || len(r.took) == 0 {
		return engine.Reply{}, errors.Join(failed, errors.New("nothing was done"))
	}
	elapsed := time.Since(r.started).Seconds()
	slices.Sort(r.took)
	at := func(p int) float64 { return r.took[len(r.took)*p/1000].Seconds() * 1e3 }
	return engine.Reply{Figures: map[string]float64{"rate": float64(r.n.Load()) / elapsed, "p50_ms": at(500), "p99_ms": at(990), "p999_ms": at(999)}}, nil
}

// raw appends to a file and syncs, so many bytes at a time.
func raw(r *engine.Request) (_ engine.Reply, err error) {
	f, err := os.Create(filepath.Join(r.Dir, "raw"))
	if err != nil {
		return engine.Reply{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	b := make([]byte, r.Bytes)
	if _, err := rand.Read(b); err != nil {
		return engine.Reply{}, err
	}
	return drive(1, r.Time, 0, func(_, _ int) (int, error) {
		if _, err := f.Write(b); err != nil {
			return 0, err
		}
		return len(b), f.Sync()
	})
}

// publish publishes one event after another to JetStream, each synced.
func publish(r *engine.Request) (_ engine.Reply, err error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", JetStream: true, StoreDir: filepath.Join(r.Dir, "jetstream"), DontListen: true, NoSigs: true, NoLog: true,
		MaxPayload: 8 << 20, SyncAlways: true, JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 40 << 30,
	})
	if err != nil {
		return engine.Reply{}, err
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
		err = errors.Join(err, os.RemoveAll(filepath.Join(r.Dir, "jetstream")))
	}()
	if !s.ReadyForConnections(10 * time.Second) {
		return engine.Reply{}, errors.New("JetStream does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return engine.Reply{}, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return engine.Reply{}, err
	}
	ctx := context.Background()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "E", Subjects: []string{"e.>"}, Storage: jetstream.FileStorage}); err != nil {
		return engine.Reply{}, err
	}
	b := make([]byte, eventBytes)
	return drive(1, r.Time, 0, func(_, _ int) (int, error) {
		_, err := js.Publish(ctx, "e.a", b)
		return 1, err
	})
}

// ownJournal is a journal alone, over real keys.
type ownJournal struct {
	dir    string
	ring   *keyring.Keyring
	server *journal.Server
	*journal.Journal
}

func openJournal(parent string) (j *ownJournal, err error) {
	j = new(ownJournal)
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close())
		}
	}()
	if j.dir, err = os.MkdirTemp(parent, "journal-"); err != nil {
		return nil, err
	}
	ring, keys, err := openKeys(j.dir)
	if err != nil {
		return nil, err
	}
	j.ring = ring
	if j.server, err = journal.Open(journal.Options{Dir: filepath.Join(j.dir, "journal")}); err != nil {
		return nil, err
	}
	j.Journal, err = j.server.Journal(name, keys, journal.StreamOptions{QueueBytes: 256 << 20})
	return j, err
}

func (j *ownJournal) close() error {
	var errs []error
	if j.server != nil {
		errs = append(errs, j.server.Close()) // with its journals
	}
	if j.ring != nil {
		errs = append(errs, j.ring.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(j.dir))...)
}

// appendFacts lets callers append so many facts at a time, of so many bytes.
func appendFacts(r *engine.Request) (_ engine.Reply, err error) {
	j, err := openJournal(r.Dir)
	if err != nil {
		return engine.Reply{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	facts := make([][]event.Fact, r.Callers)
	for c := range facts {
		facts[c] = make([]event.Fact, r.Batch)
		for i := range facts[c] {
			f := &facts[c][i]
			*f = event.Fact{Kind: event.Track, User: fmt.Sprint("user-", c*7919%500_000), Name: "Product Viewed", ID: fmt.Sprintf("%08x-%04x-4e3f-a1b2-%012x", c, i, c*i)}
			text := make([]byte, max(r.Bytes-100, 1)/2)
			if _, err := rand.Read(text); err != nil {
				return engine.Reply{}, err
			}
			f.Props = []event.Prop{{Key: "detail", Value: event.OfText(fmt.Sprintf("%x", text))}}
		}
	}
	ctx := context.Background()
	began := time.Now()
	reply, err := drive(r.Callers, r.Time, 0, func(c, _ int) (int, error) {
		now := time.Now().UnixMicro()
		for i := range facts[c] {
			facts[c][i].Time, facts[c][i].Received = now, now
		}
		return len(facts[c]), j.Append(ctx, facts[c])
	})
	if err == nil {
		reply.Figures["sealed_bytes"] = float64(j.Stats().Sealed) / time.Since(began).Seconds()
		reply.Figures["records"] = float64(j.Stats().Records) / time.Since(began).Seconds()
	}
	return reply, err
}
