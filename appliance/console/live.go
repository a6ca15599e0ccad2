package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Bounds of the live view.
const (
	maxStreams     = 64 // in all
	streamsEach    = 8  // of one caller
	streamLasts    = time.Hour
	pulseEvery     = 2 * time.Second
	heartbeatEvery = 15 * time.Second // a comment, so that what lies between keeps the connection
	streamWrite    = 10 * time.Second // for one write; who takes longer is gone
	hitsPerSecond  = 50
	recentHits     = 50
	sentSamples    = int(time.Minute / pulseEvery)
)

// liveCount counts the streams that are open.
type liveCount struct {
	mu     sync.Mutex
	all    int
	by     map[string]int
	closed bool
	gone   sync.WaitGroup
}

func (l *liveCount) enter(who string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrUnavailable
	}
	if l.all >= maxStreams || l.by[who] >= streamsEach {
		return &problem{status: http.StatusTooManyRequests, Code: "busy", Message: "too many live views are open", after: 10 * time.Second}
	}
	if l.by == nil {
		l.by = make(map[string]int)
	}
	l.all++
	l.by[who]++
	l.gone.Add(1)
	return nil
}

func (l *liveCount) leave(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.by[who]--; l.by[who] == 0 {
		delete(l.by, who)
	}
	l.gone.Done()
}

// close lets nobody in any more and waits for those who are told to go.
func (l *liveCount) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.gone.Wait()
}

// stream sends what happens at a publisher as it is applied, until the caller
// goes, may no longer see it, or the console closes.
func (c *Console) stream(r *request) error {
	who := r.caller.actor()
	if err := c.live.enter(who); err != nil {
		return err
	}
	defer c.live.leave(who)

	full := mayReadValues(r.role)
	if full {
		if err := c.record(r, "live.watch", "", ""); err != nil {
			return err
		}
	}
	ctx := r.Context()
	hits := r.publisher.Live(ctx)
	s := openStream(r)

	recent := r.publisher.Recent()
	for _, e := range recent[max(0, len(recent)-recentHits):] {
		s.event("hit", hitOf(e, full))
	}
	pulse := newPulse(c, r)
	s.event("pulse", pulse.take())

	ticks, stop := c.ticker(pulseEvery)
	defer stop()
	room := hitsPerSecond * int(pulseEvery/time.Second)
	allowed, quiet, age := room, time.Duration(0), time.Duration(0)
	for s.err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-c.stopping.Done():
			return nil
		case e, open := <-hits:
			if !open {
				return nil // the publisher closed
			}
			if allowed > 0 {
				allowed--
				s.event("hit", hitOf(e, full))
			}
		case <-ticks:
			if age += pulseEvery; age >= streamLasts || !c.lasts(r.caller, r.publisher.Name(), r.role) {
				return nil
			}
			allowed = room
			s.event("pulse", pulse.take())
			if quiet += pulseEvery; quiet >= heartbeatEvery {
				quiet = 0
				s.comment()
			}
		}
	}
	// Whoever cannot be written to is gone: that is how streams end.
	c.log.Debug("a live view ended", "error", s.err)
	return nil
}

// mayReadValues says whether a role sees values that identify somebody.
func mayReadValues(role access.Role) bool { return role == access.Marketer || role == access.Admin }

// sse writes server-sent events; after the first error it writes no more.
type sse struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

func openStream(r *request) *sse {
	s := &sse{w: r.w, rc: http.NewResponseController(r.w)}
	h := r.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // a proxy in between must not wait for more
	r.w.WriteHeader(http.StatusOK)
	s.start()
	return s
}

func (s *sse) start() { s.flush(": hello\n\n") }

func (s *sse) comment() { s.flush(": .\n\n") }

func (s *sse) event(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.err = fmt.Errorf("encoding a live event: %w", err)
		return
	}
	s.flush("event: " + name + "\ndata: " + string(b) + "\n\n")
}

func (s *sse) flush(text string) {
	if s.err != nil {
		return
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(streamWrite)) // the network's clock
	if _, s.err = s.w.Write([]byte(text)); s.err == nil {
		s.err = s.rc.Flush()
	}
}

type hit struct {
	Time     *time.Time `json:"ts"`
	Event    string     `json:"event"`
	Person   uint32     `json:"person"`
	Identity string     `json:"identity,omitempty"`
	Props    props      `json:"props,omitempty"`
}

func hitOf(e LiveEvent, full bool) hit {
	h := hit{Time: stamp(e.Time), Event: e.Event, Person: e.Person}
	if full {
		h.Identity, h.Props = e.Identity, props(e.Props)
	}
	return h
}

// props are properties as JSON has them, in their order.
type props []event.Prop

func (p props) MarshalJSON() ([]byte, error) { return event.AppendJSONProps(nil, p), nil }

// pulse measures a publisher for one stream.
type pulse struct {
	c         *Console
	publisher Publisher
	caller    caller
	sent      []uint64 // the counter at the latest pulses, oldest first
}

func newPulse(c *Console, r *request) *pulse {
	return &pulse{c: c, publisher: r.publisher, caller: r.caller}
}

type pulseJSON struct {
	PerSecond  float64 `json:"per_second"`
	People     int64   `json:"people"`
	Rows       int64   `json:"rows"`
	Waiting    int     `json:"waiting"`
	SentMinute uint64  `json:"sent_minute"`
	Problems   int     `json:"problems"`
}

func (p *pulse) take() pulseJSON {
	st := p.publisher.Messages().Stats()
	p.sent = append(p.sent, st.Sent)
	if len(p.sent) > sentSamples+1 {
		p.sent = p.sent[1:]
	}
	out := pulseJSON{PerSecond: p.publisher.Rate(), SentMinute: st.Sent - p.sent[0]}
	out.People, out.Rows = p.publisher.Size()
	for _, n := range st.Waiting {
		out.Waiting += n
	}
	for _, problem := range p.c.appliance.Problems() {
		if p.c.concerns(p.caller, problem.Subject) {
			out.Problems++
		}
	}
	return out
}
