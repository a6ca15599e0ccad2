package appliance

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

const (
	tidyEvery   = time.Minute
	problemHeld = "ingest.held"
)

// tidy lets go in time of what doors keep for a while, also where nothing comes
// in and nobody looks.
type tidy struct {
	houses *houses
	stop   chan struct{}
	wg     sync.WaitGroup
}

func newTidy(h *houses) *tidy {
	t := &tidy{houses: h, stop: make(chan struct{})}
	t.wg.Go(func() {
		every := time.NewTicker(tidyEvery)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				for _, one := range t.houses.list() {
					one.tidy()
				}
			case <-t.stop:
				return
			}
		}
	})
	return t
}

func (t *tidy) close() error {
	close(t.stop)
	t.wg.Wait()
	return nil
}

// tidy lets go of what this house's doors kept long enough.
func (o *house) tidy() {
	o.refusals.Expire()
	o.arrivals.Expire()
	o.toldOfHeld(o.hold.Expire())
}

// toldOfHeld raises a problem where held records cannot be read or removed.
func (o *house) toldOfHeld(err error) {
	files := o.hold.Unreadable()
	if err == nil && len(files) == 0 {
		o.a.board.Clear(problemHeld, o.cfg.Name)
		return
	}
	summary := "Records that were held too long cannot be removed: " + fmt.Sprint(err) + "."
	if len(files) > 0 {
		summary = "Files of held records cannot be read, so neither an erasure nor time reaches them: " + strings.Join(files, ", ") + "."
	}
	o.a.board.Raise(health.Problem{Code: problemHeld, Subject: o.cfg.Name, Severity: health.Warning, Summary: summary,
		Hint: "Look at the publisher's folder held and its disk. A file that is damaged is lost: remove it and restart."})
}
