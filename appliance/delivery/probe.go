package delivery

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	probeBatch   = 200            // devices asked at once, about
	probeExpires = 4 * time.Hour  // a device that is away does not hear of it later
	probeYoung   = 24 * time.Hour // who registered since is there
)

// probed are the platforms that can be asked without anything being shown.
var probed = []string{"fcm", "apns"}

// Probed is what came of a probe.
type Probed struct {
	Asked   int // devices
	Gone    int // of them no more, told as App Uninstalled
	Skipped int // not asked: no connector takes them now, or its rate is used up
}

// Probe asks devices whether the app is still there, by a silent push that shows
// nothing: those of who, each once in so many days, a part of them every day by a
// hash of the token. A device that is no more is told as App Uninstalled with its
// reason, as if a message had come back. It is no message: there is no record of
// it, no consent, cap or report; it goes by the connectors and rates of marketing.
// An unclear answer means nothing. Called again on the same day, also by another
// process, it goes on where it was. One at a time; ctx ends it.
func (d *Delivery) Probe(ctx context.Context, who *roaring.Bitmap, days int) (out Probed, err error) {
	i := slices.IndexFunc(d.channels, func(c *channel) bool { return c.name == "push" })
	now := d.o.Now().In(d.o.Location)
	today := uint32(time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400)
	from, over, err := d.probedTo(today)
	if err != nil || over || i < 0 {
		return out, err
	}
	// What was acknowledged holds here too: who was erased, which token went.
	if err := d.o.Barrier.CaughtUp(ctx); err != nil {
		return out, fmt.Errorf("probing devices: %w", err)
	}
	var batch []*entry
	all := who.Iterator()
	all.AdvanceIfNeeded(from)
	for all.HasNext() {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		person := all.Next()
		devices, err := d.devices(person, today, days)
		if err != nil {
			return out, err
		}
		batch = append(batch, devices...)
		if len(batch) < probeBatch && all.HasNext() {
			continue
		}
		if err := d.probe(ctx, d.channels[i], batch, &out); err != nil {
			return out, err
		}
		batch = batch[:0]
		if err := d.probedUpTo(today, uint64(person)+1); err != nil {
			return out, err
		}
	}
	return out, d.probedUpTo(today, wholeBase)
}

// wholeBase stands behind every person.
const wholeBase = 1 << 32

func (d *Delivery) probedTo(today uint32) (from uint32, over bool, err error) {
	err = d.db.View(func(t *kv.Txn) error {
		v, err := t.Get(kv.Delivery, []byte{probeKey})
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(v) != 12 || binary.BigEndian.Uint32(v) != today {
			return nil // another day's
		}
		next := binary.BigEndian.Uint64(v[4:])
		from, over = uint32(next), next >= wholeBase
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("reading how far devices were probed: %w", err)
	}
	return from, over, nil
}

func (d *Delivery) probedUpTo(today uint32, next uint64) error {
	v := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, today), next)
	// Not d.write: on a full disk there is nothing to wait for, it is tried again later.
	if err := d.db.Update(func(t *kv.Txn) error { return t.Set(kv.Delivery, []byte{probeKey}, v) }); err != nil {
		return fmt.Errorf("writing down how far devices were probed: %w", err)
	}
	return nil
}

// devices are those of a person whose turn it is today.
func (d *Delivery) devices(person, today uint32, days int) (out []*entry, err error) {
	to, err := d.o.People.Recipient(person)
	if errors.Is(err, ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("probing devices: %w", err)
	}
	now := d.o.Now()
	for i, a := range to.Addresses {
		if a.Channel != "push" || !slices.Contains(probed, a.Platform) || a.Removed || a.Value == "" || hasControl(a.Value) || hasControl(a.Extra) ||
			i < len(to.Since) && now.Sub(time.UnixMicro(to.Since[i])) < probeYoung || d.o.People.Suppressed("push", a.Value) {
			continue
		}
		h := d.o.Keys.Hash("delivery probe", []byte(a.Platform), []byte(a.Value))
		if binary.BigEndian.Uint64(h[:])%uint64(max(days, 1)) != uint64(today)%uint64(max(days, 1)) {
			continue
		}
		id := d.o.Keys.Hash("delivery probe", number(today), h[:])
		e := &entry{to: to, address: a, rec: &record{Decision: Decision{Message: hex.EncodeToString(id[:16]), Person: to.Person, Channel: "push", Class: Marketing}}}
		e.msg = connector.Message{ID: e.rec.Message, Channel: "push", Expires: now.Add(probeExpires), Push: &connector.Push{Silent: true}}
		e.addressTo(&e.msg)
		out = append(out, e)
	}
	return out, nil
}

// probe asks these devices, each by its connector, and tells which are no more.
func (d *Delivery) probe(ctx context.Context, c *channel, devices []*entry, out *Probed) error {
	began := d.o.Now()
	by, stuck := map[hop][]*entry{}, map[string]bool{} // platforms that nobody takes now
	for _, e := range devices {
		if stuck[e.address.Platform] {
			out.Skipped++
			continue
		}
		route := d.routes.choose(e, d.o.Now())
		if wait := route.until.Sub(d.o.Now()); route.route == "" && wait > 0 && wait < longestWait {
			d.pause(wait, ctx.Done()) // its rate, or it is tried just now
			e.rec.Turn, e.rec.Due = route.turn, route.until
			route = d.routes.choose(e, d.o.Now())
		}
		if route.route == "" {
			stuck[e.address.Platform] = true
			out.Skipped++
			continue
		}
		to := hop{route.route, e.address.Platform}
		by[to] = append(by[to], e)
	}
	var facts []event.Fact
	for to, some := range by {
		out.Asked += len(some)
		for i, res := range d.send(c, to, some) {
			if !ended(&res) {
				continue
			}
			out.Gone++
			f := d.uninstalled(res.rec, began, res.out.Gone)[0]
			f.Ref, f.Addresses = "", []event.Address{some[i].address}
			f.Props = slices.DeleteFunc(f.Props, func(p event.Prop) bool { return p.Key != event.PropChannel && p.Key != event.PropReason })
			facts = append(facts, f)
		}
	}
	if len(facts) == 0 {
		return nil
	}
	if err := d.o.Journal.Append(d.hard, facts); err != nil {
		return fmt.Errorf("telling of devices that are no more: %w", err)
	}
	return nil
}
