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
	problemDamaged = "history.damaged"
)

// due says whether a head should be frozen.
func (h *History) due(hd *head) bool {
	if hd.rows >= h.o.FreezeRows || hd.bytes >= h.o.FreezeBytes || hd.packs >= h.maxPacks {
		return true
	}
	return hd.rows >= blockRows && h.o.Now().Sub(hd.since) >= h.o.FreezeAge
}

// work freezes heads until the history is closed.
func (h *History) work(ctx context.Context) {
	pause := time.Second
	for {
		hd := h.await()
		if hd == nil {
			return
		}
		h.busy.Lock()
		err := h.freeze(ctx, hd)
		h.busy.Unlock()
		if err == nil {
			pause = time.Second
			h.o.Board.Clear(problemFreeze, h.o.Subject)
			h.mu.Lock()
			h.changed.Broadcast()
			h.mu.Unlock()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		h.o.Logger.Error("freezing", "error", err)
		p := health.Problem{
			Code: problemFreeze, Subject: h.o.Subject, Severity: health.Degraded,
			Summary: "Events cannot be moved from memory to disk: " + err.Error(),
			Hint:    "Free disk space if it is full; otherwise restart the daemon and see its log.",
		}
		h.o.Board.Raise(p)
		if errors.Is(err, kv.ErrStopped) || errors.Is(err, kv.ErrClosed) {
			// Only opening it again helps. Committed waits, so that memory
			// does not fill, until Close.
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Minute)
	}
}

// await waits for a head to freeze; nil when the history is closed.
func (h *History) await() *head {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed {
		if len(h.heads) > 1 {
			return h.heads[0]
		}
		h.changed.Wait()
	}
	return nil
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
