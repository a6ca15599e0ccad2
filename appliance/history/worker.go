package history

import (
	"context"
	"errors"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// maxWaiting is how many heads may wait to be frozen before Committed waits.
const maxWaiting = 2

// Codes of the problems on the Board.
const (
	problemFreeze  = "history.freeze"
	problemCompact = "history.compact"
	problemDamaged = "history.damaged"
)

// due says whether a head should be frozen.
func (h *History) due(hd *head) bool {
	if hd.rows >= h.o.FreezeRows || hd.bytes >= h.o.FreezeBytes || hd.packs >= h.maxPacks {
		return true
	}
	return hd.rows >= blockRows && h.o.Now().Sub(hd.since) >= h.o.FreezeAge
}

// work freezes heads, and cleans up when there are none, until the history is
// closed.
func (h *History) work(ctx context.Context) {
	pause := time.Second
	for {
		hd, urged, moves := h.next()
		if moves == 0 {
			return
		}
		if urged {
			h.begin()
			continue
		}
		var err error
		if hd != nil {
			h.busy.Lock()
			err = h.breathe(ctx) // which freezes it, unless somebody else did
			h.busy.Unlock()
		} else {
			var did bool
			if did, err = h.tidy(ctx, false); err != nil || !did {
				h.mu.Lock()
				h.tidied = moves
				h.changed.Broadcast()
				h.mu.Unlock()
			}
		}
		if err == nil {
			pause = time.Second
			h.o.Board.Clear(problemFreeze, h.o.Subject)
			if hd == nil {
				h.o.Board.Clear(problemCompact, h.o.Subject)
			}
			continue
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return
		}
		h.failed(hd != nil, err)
		if errors.Is(err, kv.ErrStopped) || errors.Is(err, kv.ErrClosed) {
			// Only opening it again helps. Committed waits, so that memory
			// does not fill, until Close.
			return
		}
		if hd == nil {
			// Freezing must not wait for it.
			time.AfterFunc(pause, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.untidy()
			})
		} else {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		pause = min(2*pause, time.Minute)
	}
}

// failed tells of an error of the worker.
func (h *History) failed(freezing bool, err error) {
	p := health.Problem{
		Code: problemFreeze, Subject: h.o.Subject, Severity: health.Degraded,
		Summary: "Events cannot be moved from memory to disk: " + err.Error(),
		Hint:    "Free disk space if it is full; otherwise restart the daemon and see its log.",
	}
	if !freezing {
		p.Code, p.Severity = problemCompact, health.Warning
		p.Summary = "Blocks cannot be merged, so questions get slower and the disk fuller: " + err.Error()
	}
	h.o.Logger.Error(p.Summary)
	h.o.Board.Raise(p)
}

// next waits for something to do: a head to freeze, the newest to be ended, or
// something to clean up. moves is 0 when the history is closed.
func (h *History) next() (hd *head, urged bool, moves uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed {
		if len(h.heads) > 1 {
			return h.heads[0], false, h.moves
		}
		if h.urged {
			h.urged = false
			return nil, true, h.moves
		}
		if h.moves != h.tidied {
			return nil, false, h.moves
		}
		h.changed.Wait()
	}
	return nil, false, 0
}

// noticed puts damage on the board.
func (h *History) noticed(err error) {
	if !errors.Is(err, ErrDamaged) {
		return
	}
	h.o.Logger.Error("damaged history", "error", err)
	h.o.Board.Raise(health.Problem{
		Code: problemDamaged, Subject: h.o.Subject, Severity: health.Degraded, Summary: err.Error(),
		Hint: "Restore the publisher from its last checkpoint; questions that need what is damaged fail until then.",
	})
}
