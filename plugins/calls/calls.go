// Package calls is for connectors whose provider takes one message a request,
// over HTTP: it works a batch off within bounds, tells what can have left from
// what cannot, reads how long the provider asks to be left alone, and keeps few
// HTTP/2 connections busy (Lines). A connector need not use it.
package calls

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Slots bound the messages on their way at once, over all batches together.
type Slots chan struct{}

// NewSlots makes n of them, at least one.
func NewSlots(n int) Slots { return make(Slots, max(n, 1)) }

// notBegun is when what was not begun comes again.
const notBegun = 5 * time.Second

// Each works a batch off: one is called for each message, in any order, for as
// many at once as there are slots, and gives its outcome; the message's ID is
// added to it. takes is how long one may take at the most: with less than that
// left of ctx, or less than half of what there was, no message is begun, so that
// the batch's end leaves none unknown; what is not begun comes again. With all,
// the outcome is that of every message which was not begun (nobody is let in,
// nothing connects), and none is begun any more. It returns when no call of one
// runs any more. It may be called concurrently.
func (s Slots) Each(ctx context.Context, takes time.Duration, messages []connector.Message, one func(context.Context, *connector.Message) (out connector.Outcome, all bool)) []connector.Outcome {
	outs := make([]connector.Outcome, len(messages))
	for i := range outs {
		outs[i] = connector.Outcome{Result: connector.Again, Reason: "out of time", RetryAfter: notBegun}
	}
	var (
		next atomic.Int64
		why  atomic.Pointer[connector.Outcome]
		wg   sync.WaitGroup
	)
	end, bounded := ctx.Deadline()
	least := min(takes, time.Until(end)/2)
	take := func() (more bool) {
		select {
		case s <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		defer func() { <-s }()
		i := int(next.Add(1)) - 1
		if i >= len(messages) {
			return false
		}
		if o := why.Load(); o != nil {
			outs[i] = *o
			return true
		}
		if ctx.Err() == nil && (!bounded || time.Until(end) > least) {
			o, all := one(ctx, &messages[i])
			if outs[i] = o; all {
				why.Store(&o)
			}
		}
		return true
	}
	for range min(cap(s), len(messages)) {
		wg.Go(func() {
			for take() {
			}
		})
	}
	wg.Wait()
	for i := range outs {
		outs[i].ID = messages[i].ID
	}
	return outs
}

// Left says whether a request can have left: from the moment there is a
// connection for it, unless writing it failed. The zero value is ready, for one
// request.
type Left struct{ perhaps atomic.Bool }

// Watch gives the context with which the request is to be made.
func (l *Left) Watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { l.perhaps.Store(false) }, // the transport tries once more what did not leave
		GotConn:      func(httptrace.GotConnInfo) { l.perhaps.Store(true) },
		WroteRequest: func(i httptrace.WroteRequestInfo) { l.perhaps.Store(i.Err == nil) },
	})
}

// Perhaps says that it can have; without an answer the message is then unknown.
func (l *Left) Perhaps() bool { return l.perhaps.Load() }

// longest is how long a provider may ask to be left alone.
const longest = 24 * time.Hour

// RetryAfter is the wait that an answer asks for in its header Retry-After, as
// seconds or as a date (RFC 9110, 10.2.3), a day at most; 0 = none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(min(n, int(longest/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return min(at.Sub(now), longest)
	}
	return 0
}
