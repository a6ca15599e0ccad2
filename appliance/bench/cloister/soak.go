package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/publisher"
)

// In a soak a minute is a day, so that retention, checkpoints and the week of
// repeats come and go within it.
const (
	soakDay     = time.Minute
	soakKept    = 5 * 24 * time.Hour
	soakPeople  = 300_000
	soakSamples = 40
)

// soak sends bodies of Segment's dialect at a rate through the door to a whole
// publisher, and looks again and again at what that takes.
func soak(r *engine.Request) (reply engine.Reply, err error) {
	start := time.Now()
	now := func() time.Time { return start.Add(time.Since(start) * time.Duration(24*time.Hour/soakDay)) }
	h, err := openHouse(r.Dir, publisher.Options{Now: now, Retention: history.Retention{Events: soakKept}})
	if err != nil {
		return reply, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	pub := &ingest.Publisher{Name: name, Journal: h, Rules: &ingest.Rules{Names: ingest.NewNames(nil, nil, nil), Retention: soakKept}}
	door := ingest.New(ingest.Options{Now: now, Key: func(string) (ingest.Key, bool) { return ingest.Key{ID: "KEY", Publisher: pub}, true }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return reply, err
	}
	srv := &http.Server{Handler: door}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Close())
		if e := <-served; e != http.ErrServerClosed {
			err = errors.Join(err, e)
		}
	}()
	clients := make([]*soaker, r.Callers)
	for c := range clients {
		if clients[c], err = newSoaker(l.Addr().String(), r.Batch, c); err != nil {
			return reply, err
		}
		defer clients[c].conn.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	var s samples
	looking.Go(func() { s.err = s.look(ctx, h, r.Dir, r.Time/soakSamples) })
	every := time.Duration(float64(r.Callers*r.Batch) / r.Rate * 1e9)
	reply, err = drive(r.Callers, r.Time, every, func(c, _ int) (int, error) { return r.Batch, clients[c].send() })
	cancel()
	looking.Wait()
	if err = errors.Join(err, s.err); err != nil {
		return reply, err
	}
	s.tell(reply.Figures)
	return reply, nil
}

// soaker is a client whose events are different each time.
type soaker struct {
	*client
	ids, users []int // where they stand in the request
	next       uint64
	random     *rand.Rand
}

const idDigits, userDigits = 16, 7

func newSoaker(address string, events, seed int) (*soaker, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &soaker{client: newConn(conn, soakBody(events)), next: uint64(seed) << 40, random: rand.New(rand.NewPCG(uint64(seed), 1))}
	for at := 0; ; {
		i := bytes.Index(s.request[at:], []byte(`"userId":"u`))
		if i < 0 {
			return s, nil
		}
		at += i + len(`"userId":"u`)
		s.users = append(s.users, at)
		at += bytes.Index(s.request[at:], []byte(`"messageId":"`)) + len(`"messageId":"`)
		s.ids = append(s.ids, at)
	}
}

func (s *soaker) send() error {
	for i := range s.ids {
		s.next++
		digits(s.request[s.ids[i]:][:idDigits], s.next)
		// A few do much, and many little.
		digits(s.request[s.users[i]:][:userDigits], uint64(float64(soakPeople)*s.random.Float64()*s.random.Float64()*s.random.Float64()))
	}
	return s.client.send()
}

func digits(to []byte, n uint64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = '0' + byte(n%10)
		n /= 10
	}
}

func soakBody(events int) []byte {
	names := []string{"App Launched", "Product Viewed", "Searched", "Added To Cart", "Charged", "Page Viewed", "Shared", "Reviewed"}
	var b bytes.Buffer
	b.WriteString(`{"batch":[`)
	for i := range events {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"event":%q,"type":"track","properties":{"amount":%d.5,"country":"C%d","platform":"android","plan":"gold"},"context":{"locale":"en-IN","app":{"name":"Shop","version":"1.2"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.8078.79 Safari/537.36","library":{"name":"@segment/analytics-node","version":"3.1.0"}},"userId":"u%0*d","messageId":"%0*d"}`,
			names[i%len(names)], i%1000, i%50, userDigits, 0, idDigits, 0)
	}
	b.WriteString(`],"writeKey":"KEY"}`)
	return b.Bytes()
}

// samples are what was seen, the oldest first.
type samples struct {
	resident, disk, rows, journal []float64
	err                           error
}

func (s *samples) look(ctx context.Context, h *house, dir string, every time.Duration) error {
	began := time.Now()
	for {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
		resident, err := engine.Status(os.Getpid(), "VmRSS")
		if err != nil {
			return err
		}
		disk, err := taken(dir)
		if err != nil {
			return err
		}
		journal, err := taken(filepath.Join(dir, "journal"))
		if err != nil {
			return err
		}
		_, rows := h.Size()
		s.resident, s.disk = append(s.resident, float64(resident)), append(s.disk, float64(disk))
		s.rows, s.journal = append(s.rows, float64(rows)), append(s.journal, float64(journal))
		fmt.Fprintf(os.Stderr, "soak: %4.0f s, %4.0f MB resident, %5.0f MB on disk of which %5.0f journal, %5.1f million rows\n",
			time.Since(began).Seconds(), float64(resident)/1e6, float64(disk)/1e6, float64(journal)/1e6, float64(rows)/1e6)
	}
}

// tell sums them up: the most of the second quarter, by whose end what goes is
// as much as what comes, and the most of the last.
func (s *samples) tell(to map[string]float64) {
	for what, all := range map[string][]float64{"resident": s.resident, "disk": s.disk, "rows": s.rows, "journal": s.journal} {
		most := func(list []float64) (m float64) {
			for _, x := range list {
				m = max(m, x)
			}
			return m
		}
		n := len(all)
		to[what+"_then"], to[what+"_end"], to[what+"_most"] = most(all[n/4:n/2]), most(all[n*3/4:]), most(all)
	}
}

// taken are the bytes that a directory really takes.
func taken(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += st.Blocks * 512
		}
		return nil
	})
	return bytes, err
}
