package delivery

import (
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// longestAsked bounds the wait that a provider may ask for.
const longestAsked = 24 * time.Hour

// retry is how a message that was certainly not sent is tried again: after a
// random part of first, doubled with each try up to most, and not before the
// provider said. With elsewhere the fault lies with the connector or its
// provider, so that another connector may have it at once; without, it lies with
// the recipient's side, where who asks does not matter.
type retry struct {
	first, most time.Duration
	elsewhere   bool
}

// retries are by what a connector says is the matter; the class without a line
// is that of an outcome without one (DESIGN.md has the table).
var (
	retries = map[connector.Class]retry{
		connector.ClassFull:   {15 * time.Minute, 4 * time.Hour, false}, // the mailbox
		connector.ClassPolicy: {5 * time.Minute, 2 * time.Hour, false},  // greylisted, or blocked for now
		connector.ClassConfig: {time.Minute, 15 * time.Minute, true},    // until somebody sets it right
	}
	retryOther   = retry{30 * time.Second, time.Hour, true} // the provider is busy, or cannot be reached
	retryUnsent  = retry{5 * time.Second, time.Minute, true}
	retryUnknown = retry{30 * time.Second, time.Hour, false} // transactional only: never elsewhere at once
)

func retryOf(res result) retry {
	if res.unsent {
		return retryUnsent
	}
	if res.out.Result == connector.Unknown {
		return retryUnknown
	}
	if r, ok := retries[res.out.Class]; ok {
		return r
	}
	return retryOther
}

// after is how long to wait after so many tries. What was asked for is waited
// for in full, and a little more, so that what failed together does not return
// together.
func (d *Delivery) after(r retry, tries int, asked time.Duration) time.Duration {
	wait := r.first
	for i := 1; i < tries && wait < r.most; i++ {
		wait *= 2
	}
	wait = time.Duration(float64(min(wait, r.most)) * d.o.Rand())
	if asked = min(asked, longestAsked); asked > 0 {
		wait = max(wait, asked+time.Duration(float64(asked)*d.o.Rand()/5))
	}
	return wait
}
