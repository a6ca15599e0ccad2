package receipts

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloisterhq/cloister/appliance/health"
)

// Bounds of collecting. A connector answers as soon as it has something, which
// under load is always: what comes meanwhile is taken together.
const (
	collectRate   = 20 // times a second
	collectBurst  = 5
	collectIdle   = time.Second // from one answer with nothing in it to the next
	firstCollect  = time.Second // before trying again, doubled up to
	lastCollect   = 15 * time.Second
	failuresInRow = 5 // before they are a problem
)

const problemCollect = "receipts.collect"

// Collect fetches what a connector hears by its own connection, again and again,
// until ctx ends or the connector says that it does not collect (ErrUnsupported).
// Receipts are acknowledged to it, with the next call, once the facts are in the
// journal: what was not comes again. find gives the connector as it is now, and
// is not called concurrently; one that does not run is asked again in a while.
func (d *Door) Collect(ctx context.Context, find func() Source) {
	subject := find().subject()
	pace := rate.NewLimiter(collectRate, collectBurst)
	ack, row, wait := "", 0, firstCollect
	calm := func() {
		if row >= failuresInRow {
			d.o.Board.Clear(problemCollect, subject)
		}
		row, wait = 0, firstCollect
	}
	defer calm()
	for pace.Wait(ctx) == nil {
		begun := d.o.Now()
		n, next, err := d.collectOnce(ctx, find(), ack)
		ack = next
		idle := collectIdle - d.o.Now().Sub(begun)
		switch {
		case ctx.Err() != nil || errors.Is(err, ErrUnsupported):
			return
		case err == nil && (n > 0 || idle <= 0):
			calm()
			continue
		case err == nil:
			calm()
		case errors.Is(err, ErrAway): // which others say
			idle, wait = wait, min(2*wait, lastCollect)
		default:
			row++
			if row == 1 || row == failuresInRow {
				d.o.Logger.Warn("receipts could not be collected; they are asked for again", "connector", subject, "in", wait, "error", err)
			}
			if row == failuresInRow {
				d.o.Board.Raise(health.Problem{Code: problemCollect, Subject: subject, Severity: health.Warning,
					Summary: "What became of messages cannot be collected from the connector: " + err.Error() + ".",
					Hint:    "Nothing is lost while the provider keeps its receipts. The log of the connector says more."})
			}
			idle, wait = wait, min(2*wait, lastCollect)
		}
		if !pause(ctx, idle) {
			return
		}
	}
}

var errNoToken = errors.New("the connector gives receipts without a token to acknowledge them by")

// collectOnce acknowledges what was collected before, and keeps what there is
// now. next is what to acknowledge then.
func (d *Door) collectOnce(ctx context.Context, s Source, ack string) (n int, next string, err error) {
	if s.Tell == nil {
		return 0, ack, errAway // to ask would be in vain
	}
	rs, token, err := s.Connector.Collect(ctx, ack)
	switch {
	case err != nil:
		return 0, ack, err // perhaps it was not heard
	case len(rs) > 0 && token == "":
		return 0, "", errNoToken
	}
	if err := d.tell(ctx, s, d.traffic(s), rs); err != nil {
		return 0, "", err
	}
	return len(rs), token, nil
}

// pause waits; false means that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
