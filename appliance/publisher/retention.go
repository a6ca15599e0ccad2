package publisher

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

const (
	retentionEvery   = 24 * time.Hour
	retentionRetry   = time.Hour
	lookEvery        = 10 * time.Second // at the clock, which may be set, or not be the machine's
	problemRetention = "publisher.retention"
)

// keepRetention removes what is past the retention, events and the decisions of
// messages, at the start and once a day, and makes a checkpoint that does not hold
// it.
func (p *Publisher) keepRetention() {
	for {
		wait := retentionEvery
		began := p.o.Now()
		if err := p.expire(); err != nil && p.ctx.Err() == nil {
			p.o.Logger.Error("removing what is past the retention failed", "error", err)
			p.raise(health.Problem{
				Code: problemRetention, Severity: health.Warning, Summary: "What is past the retention could not be removed: " + err.Error(),
				Hint: "It is tried again every hour; the log says what is damaged or full.",
			})
			wait = retentionRetry
		} else if err == nil {
			p.clear(problemRetention)
		}
		for p.o.Now().Sub(began) < wait {
			select {
			case <-time.After(lookEvery):
			case <-p.ctx.Done():
				return
			}
		}
	}
}

func (p *Publisher) expire() error {
	messages, err := p.delivery.Expire(p.ctx, p.o.Retention.Events)
	if messages > 0 {
		p.o.Logger.Info("removed decisions past the retention", "messages", messages)
	}
	return errors.Join(err, p.expireEvents())
}

func (p *Publisher) expireEvents() error {
	removed, err := p.history.Expire(p.ctx, p.o.Retention)
	for _, name := range slices.Sorted(maps.Keys(removed.Rows)) {
		p.o.Logger.Info("removed events past the retention", "event", name, "events", removed.Rows[name])
	}
	if err != nil {
		return err
	}
	if removed.Total() == 0 {
		return nil
	}
	return p.Checkpoint(p.ctx)
}
