package campaign

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// instance names one timer of a person: of one campaign, for one combination of
// what is held constant. It is the person's number and a hash.
type instance [20]byte

func (c *Campaigns) instanceOf(campaign string, person uint32, held []byte) instance {
	var in instance
	h := c.o.Keys.Hash("campaign instance", []byte(campaign), held)
	copy(in[:4], number(person))
	copy(in[4:], h[:16])
	return in
}

func (in instance) person() uint32         { return binary.BigEndian.Uint32(in[:4]) }
func (in instance) key(kind byte) []byte   { return append([]byte{kind}, in[:]...) }
func (in instance) timer(due int64) []byte { return append(at(timerKey, due), in[:]...) }
func at(kind byte, us int64) []byte        { return binary.BigEndian.AppendUint64([]byte{kind}, uint64(us)) }
func microsOf(b []byte) int64              { return int64(binary.BigEndian.Uint64(b)) }
func parseTimer(k []byte) (due int64, in instance, ok bool) {
	if len(k) != 1+8+len(in) || k[0] != timerKey {
		return 0, in, false
	}
	copy(in[:], k[9:])
	return microsOf(k[1:]), in, true
}

// timer is what waits under a timer's key.
type timer struct {
	Campaign string `json:"campaign"`
	Cause    string `json:"cause"`
	Props    []byte `json:"props,omitempty"` // sealed under the person's key
}

// setTimers lets an event start, or start anew, the timers it is meant for: of
// several such events the latest counts, however they arrive.
func (c *Campaigns) setTimers(t *kv.Txn, one *compiled, f *event.Fact, person uint32, left *allowance) error {
	due := f.Time + one.Trigger.Within.micros()
	instances := heldValues(f.Props, one.Trigger.Hold)
	have := 0
	if len(instances) > 0 {
		err := t.Scan(kv.Campaign, append([]byte{instanceKey}, number(person)...), nil, func(_, _ []byte) error {
			have++
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, held := range instances {
		in := c.instanceOf(one.ID, person, held)
		old, err := missing(t.Get(kv.Campaign, in.key(instanceKey)))
		if err != nil {
			return err
		}
		if old != nil {
			if microsOf(old) > due {
				continue
			}
			if err := t.Delete(kv.Campaign, in.timer(microsOf(old))); err != nil {
				return err
			}
			have--
		}
		if have++; have > maxTimers || !left.fire() {
			c.o.Logger.Warn("a person has too many timers, one was left out", "campaign", one.ID, "person", person)
			if old != nil {
				err = t.Delete(kv.Campaign, in.key(instanceKey))
			}
			return err
		}
		tm := timer{Campaign: one.ID, Cause: c.causeOf(f)}
		if props := left.keep(f.Props, one.wanted); len(props) > 0 {
			tm.Props, err = c.o.Keys.SealPerson(person, timerAAD(in), event.AppendProps(nil, props))
			if err != nil {
				if c.o.Keys.Destroyed(person) {
					return nil
				}
				return fmt.Errorf("sealing a timer: %w", err)
			}
		}
		if err := putTimer(t, in, due, f.Time, tm); err != nil {
			return err
		}
	}
	return nil
}

func putTimer(t *kv.Txn, in instance, due, since int64, tm timer) error {
	b, err := json.Marshal(tm)
	if err != nil {
		return err
	}
	if err := t.Set(kv.Campaign, in.timer(due), b); err != nil {
		return err
	}
	val := binary.BigEndian.AppendUint64(nil, uint64(due))
	return t.Set(kv.Campaign, in.key(instanceKey), binary.BigEndian.AppendUint64(val, uint64(since)))
}

// cancelTimers takes away the timers whose awaited event this is, and marks the
// messages that came of such timers and may still wait in the outbox: the gate
// asks Wanted. An event from before the timer's own cancels nothing.
func (c *Campaigns) cancelTimers(t *kv.Txn, one *compiled, f *event.Fact, person uint32) error {
	for _, held := range heldValues(f.Props, one.Trigger.Hold) {
		in := c.instanceOf(one.ID, person, held)
		b, err := missing(t.Get(kv.Campaign, in.key(instanceKey)))
		if err != nil {
			return err
		}
		if b != nil && f.Time >= microsOf(b[8:]) {
			if err := dropTimer(t, in, microsOf(b)); err != nil {
				return err
			}
		}
		fired, err := missing(t.Get(kv.Campaign, in.key(firedKey)))
		if err != nil {
			return err
		}
		if fired != nil && f.Time >= microsOf(fired[8:]) {
			if err := t.Set(kv.Campaign, append([]byte{cancelledKey}, fired[16:]...), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func dropTimer(t *kv.Txn, in instance, due int64) error {
	if err := t.Delete(kv.Campaign, in.timer(due)); err != nil {
		return err
	}
	return t.Delete(kv.Campaign, in.key(instanceKey))
}

// applyDue turns a timer whose time has come into an intention, if it is still
// there: it may have moved, or gone, or been told twice.
func (c *Campaigns) applyDue(t *kv.Txn, f *event.Fact) ([]Intention, error) {
	due, in, ok := parseTimer(f.Body)
	if !ok || f.Received < due || in.person() == 0 {
		return nil, nil
	}
	b, err := missing(t.Get(kv.Campaign, f.Body))
	if b == nil || err != nil {
		return nil, err
	}
	var tm timer
	if err := json.Unmarshal(b, &tm); err != nil {
		return nil, fmt.Errorf("a timer is damaged: %w", err)
	}
	since, err := t.Get(kv.Campaign, in.key(instanceKey))
	if err != nil {
		return nil, fmt.Errorf("a timer without its instance: %w", err)
	}
	if err := dropTimer(t, in, due); err != nil {
		return nil, err
	}
	if err := c.sweep(t, f.Received); err != nil {
		return nil, err
	}
	one := c.find(tm.Campaign)
	if one == nil || one.State != Running && one.State != Paused {
		return nil, nil
	}
	var props []event.Prop
	if tm.Props != nil {
		plain, err := c.o.Keys.OpenPerson(in.person(), timerAAD(in), tm.Props)
		if err != nil {
			if c.o.Keys.Destroyed(in.person()) {
				return nil, nil
			}
			return nil, fmt.Errorf("opening a timer: %w", err)
		}
		if props, _, err = event.ReadProps(plain); err != nil {
			return nil, fmt.Errorf("a timer is damaged: %w", err)
		}
	}
	want := c.intend(one, in.person(), tm.Cause, due, props)
	return []Intention{want}, c.noteFired(t, in, since[8:], want)
}

// noteFired remembers, until the message expires, which instance it came of.
func (c *Campaigns) noteFired(t *kv.Txn, in instance, since []byte, want Intention) error {
	message, err := hex.DecodeString(want.Message)
	if err != nil {
		return err
	}
	val := append(binary.BigEndian.AppendUint64(nil, uint64(want.Expires)), since...)
	if err := t.Set(kv.Campaign, in.key(firedKey), append(val, message...)); err != nil {
		return err
	}
	expiry := append(at(expiryKey, want.Expires), in[:]...)
	return t.Set(kv.Campaign, append(expiry, message...), nil)
}

// sweepPage is how many expired notes each due timer takes away: more than the
// one it adds, so that they cannot pile up.
const sweepPage = 4

func (c *Campaigns) sweep(t *kv.Txn, now int64) error {
	var keys [][]byte
	err := t.Scan(kv.Campaign, []byte{expiryKey}, nil, func(key, _ []byte) error {
		if microsOf(key[1:]) >= now || len(keys) == sweepPage {
			return kv.ErrStop
		}
		keys = append(keys, bytes.Clone(key))
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		in, message := instance(k[9:29]), k[29:]
		fired, err := missing(t.Get(kv.Campaign, in.key(firedKey)))
		if err != nil {
			return err
		}
		if fired != nil && bytes.Equal(fired[16:], message) {
			if err := t.Delete(kv.Campaign, in.key(firedKey)); err != nil {
				return err
			}
		}
		if err := t.Delete(kv.Campaign, append([]byte{cancelledKey}, message...)); err != nil {
			return err
		}
		if err := t.Delete(kv.Campaign, k); err != nil {
			return err
		}
	}
	return nil
}

// Forget drops the person's timers, in the applier's transaction.
func (c *Campaigns) Forget(t *kv.Txn, person uint32) error {
	timers, fired, err := instancesOf(t, person)
	if err != nil {
		return fmt.Errorf("campaigns: forgetting a person: %w", err)
	}
	for in, val := range timers {
		if err := dropTimer(t, in, microsOf(val)); err != nil {
			return fmt.Errorf("campaigns: forgetting a person: %w", err)
		}
	}
	for in := range fired {
		if err := t.Delete(kv.Campaign, in.key(firedKey)); err != nil {
			return fmt.Errorf("campaigns: forgetting a person: %w", err)
		}
	}
	return nil
}

// Merge gives the loser's timers to the winner, in the applier's transaction:
// from now on the events that cancel them come as the winner's. Where both
// have one for the same, the later stays.
func (c *Campaigns) Merge(t *kv.Txn, winner, loser uint32) error {
	if err := c.merge(t, winner, loser); err != nil {
		return fmt.Errorf("campaigns: merging two persons: %w", err)
	}
	return nil
}

func (c *Campaigns) merge(t *kv.Txn, winner, loser uint32) error {
	timers, fired, err := instancesOf(t, loser)
	if err != nil {
		return err
	}
	for in, val := range timers {
		to := in
		copy(to[:4], number(winner))
		due, since := microsOf(val), microsOf(val[8:])
		b, err := t.Get(kv.Campaign, in.timer(due))
		if err != nil {
			return err
		}
		if err := dropTimer(t, in, due); err != nil {
			return err
		}
		have, err := missing(t.Get(kv.Campaign, to.key(instanceKey)))
		if err != nil {
			return err
		}
		if have != nil {
			if microsOf(have) >= due {
				continue
			}
			if err := dropTimer(t, to, microsOf(have)); err != nil {
				return err
			}
		}
		var tm timer
		if err := json.Unmarshal(b, &tm); err != nil {
			return fmt.Errorf("a timer is damaged: %w", err)
		}
		if tm.Props != nil {
			plain, err := c.o.Keys.OpenPerson(loser, timerAAD(in), tm.Props)
			if err != nil {
				return err
			}
			if tm.Props, err = c.o.Keys.SealPerson(winner, timerAAD(to), plain); err != nil {
				return err
			}
		}
		if err := putTimer(t, to, due, since, tm); err != nil {
			return err
		}
	}
	for in, val := range fired {
		to := in
		copy(to[:4], number(winner))
		if err := t.Set(kv.Campaign, to.key(firedKey), val); err != nil {
			return err
		}
		expiry := append(append(at(expiryKey, microsOf(val)), to[:]...), val[16:]...)
		if err := t.Set(kv.Campaign, expiry, nil); err != nil {
			return err
		}
		if err := t.Delete(kv.Campaign, in.key(firedKey)); err != nil {
			return err
		}
	}
	return nil
}

// instancesOf reads what a person has waiting, and what fired of late.
func instancesOf(t *kv.Txn, person uint32) (timers, fired map[instance][]byte, err error) {
	read := func(kind byte) (map[instance][]byte, error) {
		m := map[instance][]byte{}
		prefix := append([]byte{kind}, number(person)...)
		err := t.Scan(kv.Campaign, prefix, nil, func(key, val []byte) error {
			m[instance(key[1:])] = bytes.Clone(val)
			return nil
		})
		return m, err
	}
	if timers, err = read(instanceKey); err != nil {
		return nil, nil, err
	}
	fired, err = read(firedKey)
	return timers, fired, err
}

func timerAAD(in instance) []byte { return append([]byte("campaign timer\x00"), in[:]...) }

// heldValues gives one encoding for each combination of the values of hold: one
// empty one where nothing is held, none where a value is missing. A list
// counts under each of its elements, and where the event itself lacks the
// property its items are looked at, so that a purchase of three things answers
// for each of three carts.
func heldValues(props []event.Prop, hold []string) [][]byte {
	out := [][]byte{nil}
	for _, key := range hold {
		values := valuesOf(props, key)
		var next [][]byte
		for _, head := range out {
			for _, v := range values {
				if len(next) < MaxInstances {
					next = append(next, event.AppendValue(bytes.Clone(head), v))
				}
			}
		}
		out = next
	}
	return out
}

// itemKeys are the properties that hold the items of an order or a cart, in the
// dialects there are.
var itemKeys = []string{"Items", "items", "products"}

func valuesOf(props []event.Prop, key string) []event.Value {
	v := event.Lookup(props, key)
	if v.IsNull() {
		var out []event.Value
		for _, items := range itemKeys {
			for _, item := range event.Lookup(props, items).List() {
				if x := event.Lookup(item.Object(), key); !x.IsNull() {
					out = append(out, x)
				}
			}
		}
		return out
	}
	if v.Kind() == event.List {
		return v.List()
	}
	return []event.Value{v}
}
