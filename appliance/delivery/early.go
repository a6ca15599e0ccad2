package delivery

import (
	"sync"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	// longestEarly is how long a receipt waits for its message's outcome: a batch
	// in flight is answered, or given up, before.
	longestEarly = 10 * time.Minute
	// maxEarly bounds the receipts that wait.
	maxEarly = 10_000
)

// early keeps receipts by a provider's id that nobody knows yet: a provider may
// tell that a message arrived before the batch that it was in is answered and
// that is written down. In memory only: a crash before the answer is written loses
// the provider's id too.
type early struct {
	mu   sync.Mutex
	wait map[string][]connector.Receipt // by connector and provider's id
	in   []arrival                      // the order in which they came
}

type arrival struct {
	key string
	at  time.Time
}

func earlyName(from, provider string) string { return from + "\x00" + provider }

// put keeps a receipt; where there are too many the oldest goes.
func (e *early) put(from string, rc connector.Receipt, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wait == nil {
		e.wait = map[string][]connector.Receipt{}
	}
	for len(e.in) > 0 && (len(e.in) >= maxEarly || now.Sub(e.in[0].at) > longestEarly) {
		// Those of one name came one after the other: its first is the oldest. None
		// is there when they were taken.
		if key := e.in[0].key; len(e.wait[key]) > 1 {
			e.wait[key] = e.wait[key][1:]
		} else {
			delete(e.wait, key)
		}
		e.in = e.in[1:]
	}
	key := earlyName(from, rc.ProviderID)
	e.wait[key] = append(e.wait[key], rc)
	e.in = append(e.in, arrival{key, now})
}

// take gives what waits for a message, once.
func (e *early) take(from, provider string) []connector.Receipt {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := earlyName(from, provider)
	rs := e.wait[key]
	delete(e.wait, key)
	return rs
}

// caught makes facts of the receipts that came before the outcomes that were
// just written.
func (d *Delivery) caught(results []result) {
	for _, res := range results {
		if res.rec.ProviderID == "" || res.rec.State != Sent {
			continue
		}
		rs := d.early.take(res.connector, res.rec.ProviderID)
		if len(rs) == 0 {
			continue
		}
		if err := d.Receipts(d.hard, res.rec.Channel, res.connector, rs); err != nil {
			d.o.Logger.Error("receipts that came before their message's outcome are lost", "message", res.rec.Message, "receipts", len(rs), "error", err)
		}
	}
}
