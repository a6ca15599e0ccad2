package links

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Actions of the page's forms, and how a decision came about, for the ledger of
// consent.
const (
	actionStop = "unsubscribe" // this purpose on this channel
	actionAll  = "stop"        // everything that takes consent
	actionSave = "save"        // as ticked

	sourceLink   = "unsubscribe link"
	sourceClick  = "unsubscribe one-click"
	sourceChoice = "preference page"
)

// choose shows the page. It changes nothing. A script saves what it was told but
// for a box or two: it must not bring back what was withdrawn just now.
func (d *Door) choose(w http.ResponseWriter, r *http.Request, p Publisher, m delivery.Message) {
	if _, ok := w.(data); ok {
		ctx, cancel := context.WithTimeout(r.Context(), tellTimeout)
		defer cancel()
		if p.CaughtUp(ctx) != nil {
			d.busy(w)
			return
		}
	}
	d.show(w, http.StatusOK, d.preferences(p, m, nil, ""))
}

// decide takes a decision about consent: the one-click POST of RFC 8058, or one
// of the page's forms.
func (d *Door) decide(w http.ResponseWriter, r *http.Request, p Publisher, m delivery.Message) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	// Mail programs send either encoding; a body of maxBody fits in memory.
	err := r.ParseForm()
	if multi := r.ParseMultipartForm(maxBody); err == nil && !errors.Is(multi, http.ErrNotMultipart) {
		err = multi
	}
	if err != nil {
		status := http.StatusBadRequest
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		d.show(w, status, plain("This cannot be understood."))
		return
	}
	var consents []event.Consent
	var done string
	purposes := p.Purposes()
	switch {
	case r.PostForm.Get("List-Unsubscribe") == "One-Click":
		consents, done = stop(m, sourceClick), "You will not get these messages any more."
	case r.PostForm.Get("action") == actionStop:
		consents, done = stop(m, sourceLink), "You will not get these messages any more."
	case r.PostForm.Get("action") == actionAll:
		for _, u := range purposes {
			if !u.Contract {
				consents = append(consents, event.Consent{Purpose: u.Name, Source: sourceLink})
			}
		}
		done = "You will not get any of these messages any more."
	case r.PostForm.Get("action") == actionSave:
		consents, done = d.chosen(r.Context(), p, m, r.PostForm["allow"]), "Your choice is saved."
	default:
		d.show(w, http.StatusBadRequest, plain("This cannot be understood."))
		return
	}
	if err := d.keep(r.Context(), p, m, consents); err != nil {
		d.counts.refused.Add(1)
		d.o.Logger.Error("a decision about consent could not be kept", "publisher", p.Name(), "message", m.ID, "error", err)
		w.Header().Set("Retry-After", "30")
		d.show(w, http.StatusServiceUnavailable, plain("Your choice could not be saved just now. Please try again in a minute."))
		return
	}
	if i := slices.IndexFunc(purposes, func(u Purpose) bool { return u.Name == m.Purpose }); i >= 0 && purposes[i].Contract && r.PostForm.Get("action") != actionSave {
		done = "Your wish is noted. Messages that belong to your contract will still reach you."
	}
	d.show(w, http.StatusOK, d.preferences(p, m, consents, done))
}

// stop withdraws what a message stood on.
func stop(m delivery.Message, source string) []event.Consent {
	return []event.Consent{{Purpose: m.Purpose, Channel: m.Channel, Source: source}}
}

// chosen are the decisions that differ from those in force, so that a consent
// that stays keeps its own record. If what is in force cannot be known in time,
// all are taken anew.
func (d *Door) chosen(ctx context.Context, p Publisher, m delivery.Message, allow []string) []event.Consent {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	known := p.CaughtUp(ctx) == nil
	var out []event.Consent
	for _, u := range p.Purposes() {
		if u.Contract {
			continue
		}
		for _, channel := range u.Channels {
			granted := slices.Contains(allow, field(u.Name, channel))
			if !known || p.Allowed(m.Person, u.Name, channel) != granted {
				out = append(out, event.Consent{Purpose: u.Name, Channel: channel, Granted: granted, Source: sourceChoice})
			}
		}
	}
	return out
}

// field is the value of a checkbox.
func field(purpose, channel string) string { return channel + " " + purpose }

// keep appends decisions, and tries again while the journal is overloaded. The
// fact has no id: taking a decision back and forth within a week must count
// each time, and one that changes nothing changes nothing.
func (d *Door) keep(ctx context.Context, p Publisher, m delivery.Message, consents []event.Consent) error {
	if len(consents) == 0 {
		return nil
	}
	// Whoever hung up has decided all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Patience)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		us := d.o.Now().UnixMicro()
		err := p.Append(ctx, []event.Fact{{
			Kind: event.Identify, Time: us, Received: us, Person: m.Person, Ref: m.ID, Props: About(m), Consents: consents,
		}})
		if err == nil {
			d.counts.withdrawn.Add(1)
			return nil
		}
		tick, stop := d.o.Timer(wait)
		select {
		case <-tick:
			stop()
		case <-ctx.Done():
			stop()
			return err
		}
	}
}
