package appliance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/ingest"
)

const (
	pressureEvery   = 10 * time.Second
	pressureLooks   = 3 // so often in a row before it is a problem, and before it is none any more
	problemPressure = "ingest.limited"
)

// pressure makes a problem of apps that are told to come back for half a minute
// on end. A burst that passes is what the limits are for.
type pressure struct {
	limited func() []ingest.Limited
	board   *health.Board

	last  map[ingest.Limited]uint64 // counts at the last look, by what they are of
	looks map[string]int            // by publisher: in a row limited, or negative, in a row not

	stop chan struct{}
	wg   sync.WaitGroup
}

func newPressure(limited func() []ingest.Limited, board *health.Board) *pressure {
	p := &pressure{limited: limited, board: board, last: map[ingest.Limited]uint64{}, looks: map[string]int{}, stop: make(chan struct{})}
	p.wg.Go(func() {
		t := time.NewTicker(pressureEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.look()
			case <-p.stop:
				return
			}
		}
	})
	return p
}

func (p *pressure) look() {
	now := map[string][]string{} // publisher -> its limits that were met
	for _, l := range p.limited() {
		of := ingest.Limited{Publisher: l.Publisher, Limit: l.Limit}
		if l.Count > p.last[of] {
			now[l.Publisher] = append(now[l.Publisher], l.Limit)
		}
		p.last[of] = l.Count
	}
	for publisher := range now {
		p.looks[publisher] = max(p.looks[publisher], 0) + 1
	}
	for _, publisher := range slices.Collect(maps.Keys(p.looks)) {
		if now[publisher] == nil {
			p.looks[publisher] = min(p.looks[publisher], 0) - 1
		}
		switch n := p.looks[publisher]; {
		case n >= pressureLooks:
			p.board.Raise(health.Problem{Code: problemPressure, Subject: publisher, Severity: health.Warning,
				Summary: fmt.Sprintf("Apps send more than is taken and are told to come back (%s).", strings.Join(now[publisher], ", ")),
				Hint:    "Look at cloister_requests_limited_total: share and journal mean that the disk does not keep up, address_ and key_ the limits of the configuration."})
		case n <= -pressureLooks:
			p.board.Clear(problemPressure, publisher)
			delete(p.looks, publisher)
		}
	}
}

func (p *pressure) close() error {
	close(p.stop)
	p.wg.Wait()
	return nil
}
