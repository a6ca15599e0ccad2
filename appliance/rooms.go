package appliance

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/publisher"
)

const (
	firstReopen    = time.Second
	lastReopen     = 5 * time.Minute
	problemStopped = "publisher.stopped"
)

// errAway: the publisher is being opened again.
var errAway = errors.New("the publisher is being opened again; come back shortly")

// opening opens a publisher's rooms and starts them. failed is to be told why
// their applier stopped.
type opening func(failed func(error)) (*publisher.Publisher, error)

// rooms are one publisher's, kept open: they are opened again when their
// applier stopped, and when a new configuration asks for it.
type rooms struct {
	name  string
	board *health.Board
	log   *slog.Logger

	now    atomic.Pointer[publisher.Publisher] // nil while they are opened again
	change chan opening
	cancel context.CancelFunc
	ended  chan struct{}
}

// openRooms opens them, and keeps them open until close.
func openRooms(name string, board *health.Board, log *slog.Logger, open opening) (*rooms, error) {
	r := &rooms{name: name, board: board, log: log, change: make(chan opening), ended: make(chan struct{})}
	wrong, err := r.open(open)
	if err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(r.ended)
		r.keep(ctx, open, wrong)
	}()
	return r, nil
}

// open opens them once and gives the channel on which their failure comes.
func (r *rooms) open(open opening) (wrong <-chan error, err error) {
	ch := make(chan error, 1)
	p, err := open(func(err error) { ch <- err })
	if err != nil {
		return nil, err
	}
	r.now.Store(p)
	return ch, nil
}

func (r *rooms) keep(ctx context.Context, open opening, wrong <-chan error) {
	for {
		select {
		case <-ctx.Done():
			r.shut()
			return
		case open = <-r.change:
			r.log.Info("the publisher is opened again with its new configuration")
		case err := <-wrong:
			r.stopped(err)
		}
		r.shut()
		if wrong = r.again(ctx, &open); wrong == nil {
			return
		}
	}
}

func (r *rooms) stopped(err error) {
	r.board.Raise(health.Problem{Code: problemStopped, Subject: r.name, Severity: health.Down,
		Summary: "The publisher stopped after a failure and is being opened again: " + err.Error() + ".",
		Hint:    "If it does not come back by itself, the log says what is damaged or full."})
}

// again opens them, however often that takes; nil means that ctx has ended.
func (r *rooms) again(ctx context.Context, open *opening) (wrong <-chan error) {
	for wait := firstReopen; ; wait = min(2*wait, lastReopen) {
		wrong, err := r.open(*open)
		if err == nil {
			r.board.Clear(problemStopped, r.name)
			return wrong
		}
		r.stopped(err)
		r.log.Error("the publisher cannot be opened; trying again", "in", wait, "error", err)
		select {
		case <-time.After(wait):
		case *open = <-r.change:
		case <-ctx.Done():
			return nil
		}
	}
}

// reopen has them closed and opened in another way, as soon as their keeper
// looks; it waits only for that, and for nothing once they are closed for good.
func (r *rooms) reopen(open opening) {
	select {
	case r.change <- open:
	case <-r.ended:
	}
}

func (r *rooms) shut() {
	p := r.now.Swap(nil)
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		r.log.Error("closing the publisher", "error", err)
	}
}

// close closes them for good and waits for it.
func (r *rooms) close() {
	r.cancel()
	<-r.ended
	r.board.Clear(problemStopped, r.name)
}
