package publisher

import (
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/health"
)

const (
	probeFrom    = 3 // o'clock, where the publisher is
	probeRetry   = 10 * time.Minute
	problemProbe = "publisher.probe"
)

// keepProbing asks devices every day whether the app is still there.
func (p *Publisher) keepProbing() {
	var next time.Time
	for {
		if now := p.o.Now().In(p.o.Location); probeDue(now, next) {
			err := p.probe()
			if err != nil && p.ctx.Err() == nil {
				p.o.Logger.Error("asking devices whether the app is there failed", "error", err)
				p.raise(health.Problem{
					Code: problemProbe, Severity: health.Warning, Summary: "Devices could not be asked whether the app is still there: " + err.Error(),
					Hint: "It is tried again every ten minutes; uninstalls are known by the next campaign at the latest.",
				})
			}
			next = probeAfter(now, err != nil)
		}
		select {
		case <-time.After(lookEvery):
		case <-p.ctx.Done():
			return
		}
	}
}

// probeDue says whether devices are asked now: from three o'clock on, also by a
// daemon that was not there at three. What was asked that day is not asked again
// (delivery.Probe).
func probeDue(now, next time.Time) bool { return now.Hour() >= probeFrom && !now.Before(next) }

// probeAfter is when devices are asked after a run that began then.
func probeAfter(began time.Time, failed bool) time.Time {
	if failed {
		return began.Add(probeRetry)
	}
	return time.Date(began.Year(), began.Month(), began.Day()+1, probeFrom, 0, 0, 0, began.Location())
}

func (p *Publisher) probe() error {
	who := roaring.Or(p.ReachableOn("fcm"), p.ReachableOn("apns"))
	out, err := p.delivery.Probe(p.ctx, who, p.o.Probe)
	if out.Asked+out.Skipped > 0 {
		p.o.Logger.Info("asked devices whether the app is still there", "asked", out.Asked, "gone", out.Gone, "skipped", out.Skipped)
	}
	if err != nil {
		return err
	}
	p.clear(problemProbe)
	return nil
}
