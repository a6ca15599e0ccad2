package delivery

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// maxDevices bounds the devices that one push goes to, the one known last first.
const maxDevices = 10

// A push goes to every device of its recipient. The message that was decided on
// goes to the one that became known last; in the transaction that records its
// first attempt, each further device gets a copy: a message of its own, with its
// own attempts, outcome and receipts, so that a crash can neither repeat nor skip
// one. From then on each keeps to its device.

// copied says whether the message is one of several to the devices of one person.
func (r *record) copied() bool { return len(r.Device) > 0 }

// counted says whether caps, duplicates and the control group were asked already:
// for the message that this is a copy of, or of which a replay.
func (r *record) counted() bool { return r.CopyOf != "" || r.ReplayOf != "" && r.copied() }

// copy makes the copies of a push that goes now, and binds it to its own device.
func (d *Delivery) copy(t *kv.Txn, e *entry) error {
	r := e.rec
	if r.Channel != "push" || r.copied() || r.Copies > 0 {
		return nil
	}
	own := d.device(&e.to, e.address)
	devices := d.furtherDevices(&e.to, r.Platforms, own)
	if len(devices) == 0 {
		return nil
	}
	props, err := d.causing(r)
	if err != nil {
		return fmt.Errorf("message %s: opening what caused it: %w", r.Message, err)
	}
	i := r.id()
	for _, device := range devices {
		h := d.o.Keys.Hash("delivery copy", i[:], device)
		in := Intention{
			Message: hex.EncodeToString(h[:idBytes]), Campaign: r.Campaign, Revision: r.Revision, Variant: r.Variant,
			Person: r.Asked, Cause: r.Cause, At: d.o.Now().UnixMicro(), Expires: r.Expires.UnixMicro(),
			Class: r.Class, Channel: r.Channel, Purpose: r.Purpose, Props: props, Platforms: r.Platforms,
		}
		err := d.enqueue(t, in, func(c *record) { c.CopyOf, c.Origin, c.Device = r.Message, r.origin(), device })
		if err != nil {
			return err
		}
	}
	r.Device, r.Copies = own, len(devices)
	c := d.channels[slices.Index(event.Channels, r.Channel)]
	t.OnCommit(c.wakeUp)
	return nil
}

// furtherDevices are those beside own that a push can go to.
func (d *Delivery) furtherDevices(to *Recipient, platforms []string, own []byte) (devices [][]byte) {
	all := [][]byte{own}
	for _, a := range to.Addresses {
		if !usable(a, "push", platforms) || len(all) == maxDevices || d.o.People.Suppressed("push", a.Value) {
			continue
		}
		if device := d.device(to, a); !slices.ContainsFunc(all, func(x []byte) bool { return slices.Equal(x, device) }) {
			all = append(all, device)
		}
	}
	return all[1:]
}

// device names the device that an address is on, by a keyed hash. Of one that has
// told several tokens, as after its library had it renewed, the latest counts.
// Where the device is unknown its token stands for it.
func (d *Delivery) device(to *Recipient, a event.Address) []byte {
	what, name := "token", a.Value
	if i := slices.Index(to.Addresses, a); i >= 0 && i < len(to.On) && to.On[i] != "" {
		what, name = "device", to.On[i]
	}
	h := d.o.Keys.Hash("delivery device", []byte(what), []byte(a.Platform), []byte(name))
	return h[:16]
}
