package appliance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/health"
)

const (
	tidyEvery   = time.Minute
	problemHeld = "ingest.held"

	problemPaused = "connector.paused"
	// longPause is how long a connector may be paused before somebody is reminded.
	longPause = time.Hour

	problemDoubted = "connector.doubted"

	problemLeftOut = "connector.left_out"
	// longLeave is how long a connector may take no messages before somebody is
	// told. One that nothing was tried with for as long is not known to fail still.
	longLeave = 5 * time.Minute

	problemWebPushKey = "connector.web_push_key"
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
	o.toldOfPauses()
	o.toldOfDoubts()
	o.toldOfLeftOut()
	o.toldOfWebPushKeys()
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

// toldOfPauses raises a problem where connectors were paused and left so.
func (o *house) toldOfPauses() {
	p := o.rooms.now.Load()
	if p == nil {
		return
	}
	var names []string
	for _, s := range o.senders.statuses() {
		if r := p.Delivery().Route(s.Name); r.Doubt == "" && !r.Paused.IsZero() && time.Since(r.Paused) >= longPause {
			names = append(names, fmt.Sprintf("%s since %s", s.Name, r.Paused.UTC().Format(time.RFC3339)))
		}
	}
	if len(names) == 0 {
		o.a.board.Clear(problemPaused, o.cfg.Name)
		return
	}
	o.a.board.Raise(health.Problem{Code: problemPaused, Subject: o.cfg.Name, Severity: health.Warning,
		Summary: "Connectors are paused: " + strings.Join(names, ", ") + ". Their messages go to others of the channel, or wait until they expire.",
		Hint:    "cloister connector resume, or the button on the console's page Connectors."})
}

// toldOfDoubts raises a problem where delivery paused connectors by itself.
func (o *house) toldOfDoubts() {
	p := o.rooms.now.Load()
	if p == nil {
		return
	}
	var said []string
	for _, s := range o.senders.statuses() {
		if r := p.Delivery().Route(s.Name); r.Doubt != "" {
			said = append(said, fmt.Sprintf("%s since %s: it %s", s.Name, r.Paused.UTC().Format(time.RFC3339), r.Doubt))
		}
	}
	if len(said) == 0 {
		o.a.board.Clear(problemDoubted, o.cfg.Name)
		return
	}
	o.a.board.Raise(health.Problem{Code: problemDoubted, Subject: o.cfg.Name, Severity: health.Degraded,
		Summary: "Push connectors paused themselves instead of ending tokens: " + strings.Join(said, "; ") + " Their messages wait until they expire.",
		Hint: "Compare the connector's environment, app (topic, project) and key with those of the app that people have. Then cloister connector resume: it is looked at anew. " +
			"If the tokens are no more indeed, as after a move to another app, resume it once more when it paused again: for a day it is believed then."})
}

// toldOfLeftOut raises a problem where connectors take no messages.
func (o *house) toldOfLeftOut() {
	p := o.rooms.now.Load()
	if p == nil {
		return
	}
	var names []string
	for _, s := range o.senders.statuses() {
		if route := p.Delivery().Route(s.Name); failing(route, time.Now()) {
			names = append(names, fmt.Sprintf("%s since %s (%s)", s.Name, route.Failing.UTC().Format(time.RFC3339), route.Why))
		}
	}
	if len(names) == 0 {
		o.a.board.Clear(problemLeftOut, o.cfg.Name)
		return
	}
	o.a.board.Raise(health.Problem{Code: problemLeftOut, Subject: o.cfg.Name, Severity: health.Warning,
		Summary: "Connectors take no messages: " + strings.Join(names, ", ") + ". Their messages go to others of the channel, or wait until they expire.",
		Hint:    "Each is tried with ten messages about once a minute. cloister connector check says whether it reaches its provider."})
}

// failing says whether a connector took no messages for long, and still does not.
func failing(r delivery.RouteState, now time.Time) bool {
	return r.LeftOut != nil && now.Sub(r.Failing) >= longLeave && now.Sub(*r.LeftOut) < longLeave
}

// toldOfWebPushKeys raises a problem where browsers subscribe with another key than
// a connector pushes with.
func (o *house) toldOfWebPushKeys() {
	names := strangers(o.webPush(), o.senders.webPushKeys())
	if len(names) == 0 {
		o.a.board.Clear(problemWebPushKey, o.cfg.Name)
		return
	}
	o.a.board.Raise(health.Problem{Code: problemWebPushKey, Subject: o.cfg.Name, Severity: health.Warning,
		Summary: "Browsers subscribe with another key than these connectors push with, so that push services refuse what they send: " + strings.Join(names, ", ") + ".",
		Hint:    "Give all of them one VAPID key, and remove web_push_key from the publisher unless something else sends with that. Browsers that subscribed with another key are lost until they come again."})
}

// strangers names the connectors that push with another key than browsers
// subscribe with.
func strangers(subscribing string, pushing map[string]string) (names []string) {
	for name, key := range pushing {
		if key != subscribing {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
