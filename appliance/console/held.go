package console

import (
	"context"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// HeldRecord is a record that waits for an operator to look at it. What was
// found in it is masked.
type HeldRecord struct {
	Number  uint64
	At      time.Time
	Expires time.Time // then it is discarded
	Dialect string
	Key     string
	Kinds   []string // of what was found: "card", "email", ..
	Facts   []event.Fact
}

// Held are a publisher's records that wait; part of Publisher.
type Held interface {
	// Held gives the oldest records above a number, and how many wait in all.
	Held(after uint64, limit int) (all []HeldRecord, count int, err error)
	// ReleaseHeld has a record's facts in the journal, as they are or masked;
	// DiscardHeld throws it away. ErrNotFound if there is none of this number.
	ReleaseHeld(ctx context.Context, number uint64, mask bool) error
	DiscardHeld(number uint64) error
}

type heldJSON struct {
	Number  uint64     `json:"n"`
	At      *time.Time `json:"at"`
	Expires *time.Time `json:"expires"`
	Dialect string     `json:"dialect"`
	Key     string     `json:"key"`
	Kinds   []string   `json:"kinds"`
	Facts   []factJSON `json:"facts"`
}

type factJSON struct {
	Kind    string     `json:"kind"`
	Time    *time.Time `json:"ts"`
	User    string     `json:"user,omitempty"`
	Device  string     `json:"device,omitempty"`
	Event   string     `json:"event,omitempty"`
	Props   props      `json:"props,omitempty"`
	Profile props      `json:"profile,omitempty"`
}

func factOf(f *event.Fact) factJSON {
	out := factJSON{Kind: f.Kind.String(), Time: stamp(f.Time), User: f.User, Device: f.Device, Event: f.Name, Props: props(f.Props)}
	for _, c := range f.Changes {
		out.Profile = append(out.Profile, event.Prop{Key: c.Key, Value: c.Value})
	}
	return out
}

func (c *Console) held(r *request) error {
	if err := known(r, "after", "limit"); err != nil {
		return err
	}
	var after uint64
	if s := r.URL.Query().Get("after"); s != "" {
		var err error
		if after, err = strconv.ParseUint(s, 10, 64); err != nil {
			return badValue("after", "the number of a held record is needed")
		}
	}
	limit, err := number(r, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	if err := c.record(r, "held.read", "", ""); err != nil {
		return err
	}
	all, count, err := r.publisher.Held(after, int(limit))
	if err != nil {
		return err
	}
	out := make([]heldJSON, len(all))
	for i := range all {
		h := &all[i]
		out[i] = heldJSON{h.Number, stampOf(h.At), stampOf(h.Expires), h.Dialect, h.Key, list(h.Kinds), []factJSON{}}
		for j := range h.Facts {
			out[i].Facts = append(out[i].Facts, factOf(&h.Facts[j]))
		}
	}
	return ok(r, map[string]any{"held": out, "count": count})
}

// heldNumber is the record in the path.
func heldNumber(r *request) (uint64, error) {
	n, err := strconv.ParseUint(r.PathValue("n"), 10, 64)
	if err != nil {
		return 0, notFound()
	}
	return n, nil
}

func heldSubject(n uint64) string { return "held record " + strconv.FormatUint(n, 10) }

func (c *Console) releaseHeld(r *request) error {
	n, err := heldNumber(r)
	if err != nil {
		return err
	}
	var in struct {
		As string `json:"as"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	action := "held.release"
	switch in.As {
	case "is":
	case "masked":
		action = "held.release_masked"
	default:
		return badValue("as", `"is" or "masked"`)
	}
	if err := c.change(r, action, heldSubject(n), func() error {
		return r.publisher.ReleaseHeld(r.Context(), n, in.As == "masked")
	}); err != nil {
		return err
	}
	return nothing(r)
}

func (c *Console) discardHeld(r *request) error {
	n, err := heldNumber(r)
	if err != nil {
		return err
	}
	if err := c.change(r, "held.discard", heldSubject(n), func() error { return r.publisher.DiscardHeld(n) }); err != nil {
		return err
	}
	return nothing(r)
}
