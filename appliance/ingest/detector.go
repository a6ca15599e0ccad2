package ingest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"unsafe"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
	"github.com/cloisterhq/cloister/appliance/people"
)

// Action is what becomes of something that the detectors find.
type Action uint8

// The actions.
const (
	Keep     Action = iota // it is not looked for
	MaskIt                 // what may be shown of it stays: detect.Mask
	HashIt                 // a keyed hash stands for it, the same for the same number
	DropIt                 // the property goes
	HoldIt                 // the record waits until an operator has looked at it
	nActions               // how many there are
)

var actionNames = [nActions]string{"keep", "mask", "hash", "drop", "hold"}

func (a Action) String() string { return actionNames[a] }

// Detector applies actions to what is found in the values of properties and
// of attributes of profiles that are not personal: what is marked personal is
// there on purpose. It is read-only once made.
type Detector struct {
	Actions [detect.Kinds]Action
	Except  []string // names of properties and attributes that are not looked at
	// Hash is the publisher's keyed hash; needed where an action is HashIt.
	Hash func(domain string, parts ...[]byte) [32]byte
	Seen *Detected // counts; may be nil

	scan  detect.Scanner
	least float64 // the least number that may be something
}

// Detected counts what was found, by kind and action. It is safe for
// concurrent use, and outlives a reload.
type Detected struct {
	n [detect.Kinds][nActions]atomic.Int64
}

// Each gives the counts that are not zero.
func (d *Detected) Each(fn func(kind, action string, n int64)) {
	for k := range d.n {
		for a := range d.n[k] {
			if n := d.n[k][a].Load(); n > 0 {
				fn(detect.Kind(k).String(), Action(a).String(), n)
			}
		}
	}
}

// NewDetector makes one; nil if there is nothing to look for.
func NewDetector(actions [detect.Kinds]Action, except []string) *Detector {
	var want detect.Set
	for k, a := range actions {
		if a != Keep {
			want |= detect.Of(detect.Kind(k))
		}
	}
	if want == 0 {
		return nil
	}
	d := &Detector{Actions: actions, Except: except, scan: detect.New(want), least: 1e7}
	if want == detect.Of(detect.Card) {
		d.least = 1e13
	}
	return d
}

// without is the same detector with another action for some kinds, and
// wherever it holds. d may be nil.
func (d *Detector) without(kinds detect.Set, a Action) *Detector {
	var from Detector
	if d != nil {
		from = *d
	}
	for k := range from.Actions {
		if kinds.Has(detect.Kind(k)) || from.Actions[k] == HoldIt {
			from.Actions[k] = a
		}
	}
	out := NewDetector(from.Actions, from.Except)
	if out != nil {
		out.Hash, out.Seen = from.Hash, from.Seen
	}
	return out
}

// finding is what was found in a value.
type finding struct {
	kinds detect.Set
	hold  detect.Set // of them, for which the record has to wait
	drop  bool
}

func (f *finding) add(g finding) {
	f.kinds |= g.kinds
	f.drop = f.drop || g.drop
	f.hold |= g.hold
}

// fact applies the actions to f. hold are the kinds for which it has to wait;
// their values are in it as they came.
func (d *Detector) fact(f *event.Fact, personal []string) (hold detect.Set) {
	if d == nil {
		return 0
	}
	own := false
	for i := 0; i < len(f.Props); i++ {
		p := &f.Props[i]
		if p.Personal || d.clean(&p.Value) || slices.Contains(d.Except, p.Key) {
			continue
		}
		v, found := d.value(p.Value, p.Key)
		if found.kinds == 0 {
			continue
		}
		if !own { // they may be the record's, which may yet be shown
			f.Props, own = slices.Clone(f.Props), true
		}
		f.Props[i].Value = v
		hold |= found.hold
		if found.drop {
			f.Props = slices.Delete(f.Props, i, i+1)
			i--
		}
	}
	for i := 0; i < len(f.Changes); i++ {
		c := &f.Changes[i]
		if c.Personal || d.clean(&c.Value) || slices.Contains(d.Except, c.Key) || slices.Contains(personal, c.Key) || people.PersonalKey(c.Key) {
			continue
		}
		v, found := d.value(c.Value, c.Key)
		c.Value = v
		hold |= found.hold
		if found.drop {
			f.Changes = slices.Delete(f.Changes, i, i+1)
			i--
		}
	}
	return hold
}

// clean says that there is nothing in a value, as nearly always, and says it fast.
func (d *Detector) clean(v *event.Value) bool {
	switch v.Kind() {
	case event.Text:
		return !d.scan.Suspects(v.Text())
	case event.Int, event.Float:
		n, _ := v.Number()
		return n < d.least
	case event.List:
		list := v.List()
		for i := range list {
			if !d.clean(&list[i]) {
				return false
			}
		}
		return true
	case event.Object:
		return false
	}
	return true
}

// value gives what may stay of a value. Nothing is allocated where nothing is
// found.
func (d *Detector) value(v event.Value, key string) (event.Value, finding) {
	switch v.Kind() {
	case event.Text:
		if !d.scan.Suspects(v.Text()) {
			return v, finding{}
		}
		if s, found := d.text(v.Text(), key); found.kinds != 0 {
			return event.OfText(s), found
		}
	case event.Int, event.Float:
		return d.number(v, key)
	case event.List:
		return d.list(v, key)
	case event.Object:
		return d.object(v)
	}
	return v, finding{}
}

func (d *Detector) text(s, key string) (string, finding) {
	var buf [8]detect.Hit
	hits := d.scan.Find(buf[:0], s, key)
	if len(hits) == 0 {
		return s, finding{}
	}
	var f finding
	for _, h := range hits {
		f.add(d.found(h.Kind))
	}
	if f.hold != 0 || f.drop {
		return s, f
	}
	s, kinds := d.scan.Replace(s, key, d.replace)
	f.kinds |= kinds
	return s, f
}

// found counts a hit.
func (d *Detector) found(k detect.Kind) finding {
	a := d.Actions[k]
	if d.Seen != nil {
		d.Seen.n[k][a].Add(1)
	}
	f := finding{kinds: detect.Of(k), drop: a == DropIt}
	if a == HoldIt {
		f.hold = f.kinds
	}
	return f
}

func (d *Detector) replace(k detect.Kind, s string) string {
	if d.Actions[k] == HashIt {
		return d.token(k, s)
	}
	return detect.Mask(k, s)
}

// token stands for a number by its keyed hash: 64 bits, in letters, so that no
// detector takes it for a number.
func (d *Detector) token(k detect.Kind, s string) string {
	sum := d.Hash("ingest detect", []byte(k.String()), []byte(detect.Normal(k, s)))
	b := append(make([]byte, 0, 32), k.String()...)
	b = append(b, '_')
	for _, c := range sum[:8] {
		b = append(b, 'a'+c>>4, 'a'+c&15)
	}
	return string(b)
}

// number looks at a number as at its digits. If it is something it becomes a text.
func (d *Detector) number(v event.Value, key string) (event.Value, finding) {
	n, ok := v.Number()
	if !ok || n < d.least || n >= 1<<63 || n != math.Trunc(n) {
		return v, finding{}
	}
	whole := int64(n)
	if v.Kind() == event.Int {
		whole = v.Int()
	}
	var buf [24]byte
	b := strconv.AppendInt(buf[:0], whole, 10)
	var hits [2]detect.Hit
	// The text is looked at here and nowhere else.
	if len(d.scan.Find(hits[:0], unsafe.String(&b[0], len(b)), key)) == 0 {
		return v, finding{}
	}
	s, found := d.text(string(b), key)
	if found.hold != 0 || found.drop {
		return v, found
	}
	return event.OfText(s), found
}

func (d *Detector) list(v event.Value, key string) (event.Value, finding) {
	var all finding
	var out []event.Value
	for i, e := range v.List() {
		r, found := d.value(e, key)
		if found.kinds != 0 && out == nil {
			out = slices.Clone(v.List()) // the list is part of the record, which may yet be shown
		}
		if out != nil {
			out[i] = r
		}
		all.add(found)
	}
	if out == nil {
		return v, all
	}
	return event.OfList(out), all
}

// object looks at names as well: of a member whose name is something only the
// whole can be kept, or nothing.
func (d *Detector) object(v event.Value) (event.Value, finding) {
	var all finding
	var out []event.Prop
	for i, p := range v.Object() {
		r, found := d.value(p.Value, p.Key)
		gone := false
		if d.scan.Suspects(p.Key) {
			if _, named := d.text(p.Key, ""); named.kinds != 0 {
				named.drop, gone = false, named.hold == 0
				found.add(named)
			}
		}
		if found.kinds != 0 && out == nil {
			out = append(make([]event.Prop, 0, len(v.Object())), v.Object()[:i]...)
		}
		if out != nil && !gone {
			out = append(out, event.Prop{Key: p.Key, Value: r})
		}
		all.add(found)
	}
	if out == nil {
		return v, all
	}
	return event.OfObject(out), all
}

// names looks at the names in f, which is needed for new ones only. A property
// whose name is something goes, whatever the action; an event with such a name
// is refused, since it cannot be kept under another.
func (d *Detector) names(f *event.Fact) error {
	if d == nil {
		return nil
	}
	is := func(name string) detect.Set {
		if !d.scan.Suspects(name) {
			return 0
		}
		var all detect.Set
		for _, h := range d.scan.Find(nil, name, "") {
			all |= detect.Of(h.Kind)
		}
		return all
	}
	if f.Kind == event.Track {
		if kinds := is(f.Name); kinds != 0 {
			return &event.Refusal{Code: RefusedPersonal, Field: "event", Message: fmt.Sprintf("the name identifies somebody (%s); give it a name that is the same for all, and the rest as a property", kinds)}
		}
		if named := func(p event.Prop) bool { return is(p.Key) != 0 }; slices.ContainsFunc(f.Props, named) {
			f.Props = slices.DeleteFunc(slices.Clone(f.Props), named)
		}
	}
	f.Changes = slices.DeleteFunc(f.Changes, func(c event.Change) bool { return is(c.Key) != 0 })
	return nil
}

// RefusedPersonal is the code of a refusal: a name identifies somebody.
const RefusedPersonal = "personal"

// shown is a value as it may be shown to whoever looks after the apps: all that
// is looked for is masked, also where it is there on purpose.
func (d *Detector) shown(v event.Value) event.Value {
	if d == nil {
		return v
	}
	v, _ = d.masking().value(v, "")
	return v
}

// shownErr is a reason as it may be shown: it quotes names, which may be
// something.
func (d *Detector) shownErr(err error) error {
	if d == nil || err == nil || !d.scan.Suspects(err.Error()) {
		return err
	}
	code, field, message := reasonOf(err)
	field, inField := d.scan.Replace(field, "", detect.Mask)
	message, inMessage := d.scan.Replace(message, "", detect.Mask)
	if inField|inMessage == 0 {
		return err
	}
	return &event.Refusal{Code: code, Field: field, Message: message}
}

// masking is the same detector, masking all.
func (d *Detector) masking() *Detector {
	if d == nil {
		return nil
	}
	out := &Detector{scan: d.scan, least: d.least, Except: d.Except}
	for k := range out.Actions {
		out.Actions[k] = MaskIt
	}
	return out
}
