package delivery

import (
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	// fewestSaid is how many tokens a push connector has to have judged before its
	// judgement can be in doubt: fewer are ended by mistake at the worst, if it was
	// wrong from the beginning.
	fewestSaid = 20
	// mostRemembered bounds what it said before a batch against what it says in it,
	// so that one that was right for long is doubted within 200 tokens.
	mostRemembered = 50
	// doubtful is the share of tokens that are no more, of those judged, from which
	// on it is likelier that the connector is set up wrongly than that so many
	// people removed the app.
	doubtful = 0.8
	// believed is how long a connector that is resumed a second time within as
	// long is not doubted.
	believed = 24 * time.Hour
)

// doubt is whether what a push connector says of tokens can be right. One that is
// set to another environment, or has another app's key, is told of every token
// that it is worth nothing, and believing that would end all of them.
type doubt struct {
	said, gone float64 // tokens it judged lately, and those of them that are no more
	why        string  // it is paused for; "" = it is not in doubt
	resumed    time.Time
	until      time.Time // not doubted before
}

// judge adds a batch's answers and says whether they are to be believed.
func (q *doubt) judge(outs []result, now time.Time) bool {
	if q.why != "" {
		return false
	}
	if now.Before(q.until) {
		return true
	}
	if q.said > mostRemembered {
		q.gone *= mostRemembered / q.said
		q.said = mostRemembered
	}
	for i := range outs {
		switch {
		case ended(&outs[i]):
			q.gone++
			q.said++
		case outs[i].out.Result == connector.Accepted:
			q.said++
		}
	}
	if q.said < fewestSaid || q.gone < doubtful*q.said {
		return true
	}
	q.why = fmt.Sprintf("says of %.0f of the last %.0f tokens that they are no more: is it set to the right environment, and is the key this app's?", q.gone, q.said)
	return false
}

// ended says whether a connector refused a message since its token is no more.
func ended(r *result) bool {
	return r.out.Result == connector.Refused && r.out.Class == connector.ClassAddress
}

// resume notes that somebody looked: what it says counts anew, and the second time
// within a day it is believed.
func (q *doubt) resume(now time.Time) {
	if q.why == "" {
		return
	}
	next := doubt{resumed: now}
	if !q.resumed.IsZero() && now.Sub(q.resumed) < believed {
		next.until = now.Add(believed)
	}
	*q = next
}

// keep has messages wait instead of ending tokens that are in doubt.
func keep(outs []result) {
	for i := range outs {
		if ended(&outs[i]) {
			id := outs[i].out.ID
			outs[i].out = connector.Outcome{ID: id, Result: connector.Again, Class: connector.ClassConfig, Reason: "too many tokens are said to be no more"}
		}
	}
}
