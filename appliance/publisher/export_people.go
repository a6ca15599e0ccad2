package publisher

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/export"
	"github.com/cloisterhq/cloister/appliance/people"
)

// ExportProfiles takes out who there is, by number: From, To and Events of o
// must be zero. What is told of a person is as of when they are reached.
// Addresses, which are personal, are those that may be written to.
func (p *Publisher) ExportProfiles(ctx context.Context, o ExportOptions) (*Export, error) {
	var after uint32
	switch len(o.After) {
	case 0:
	case 4:
		after = binary.BigEndian.Uint32(o.After)
	default:
		return nil, ErrPosition
	}
	e, err := p.begin(ctx, o)
	if err != nil {
		return nil, err
	}
	e.table = export.Table{Columns: []export.Column{
		{Name: "user", Kind: event.Text}, {Name: "anonymous", Kind: event.Text}, {Name: "created", Kind: event.Time},
		{Name: "identities", Kind: event.List}, {Name: "devices", Kind: event.List},
		{Name: "consent", Kind: event.List}, {Name: "channels", Kind: event.Object},
	}, Group: "profile", Always: true, Keys: e.w.Keys()}
	e.each = func(ctx context.Context, fn func(*export.Record) error, mark func([]byte) error) error {
		return e.profiles(ctx, after, fn, mark)
	}
	return e, nil
}

func (e *Export) profiles(ctx context.Context, after uint32, fn func(*export.Record) error, mark func([]byte) error) error {
	all := e.w.Exists()
	if e.only != nil {
		all = roaring.And(all, e.only)
	}
	it := all.Iterator()
	it.AdvanceIfNeeded(after + 1)
	record := export.Record{Cells: make([]event.Value, len(e.table.Columns))}
	var position []byte
	for it.HasNext() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := it.Next()
		who, err := e.p.people.Person(n)
		if errors.Is(err, people.ErrErased) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a person to be exported: %w", err)
		}
		if who.Number != n {
			continue // merged meanwhile: the winner's turn comes, or came
		}
		e.profile(&record, who)
		if err := fn(&record); err != nil {
			return err
		}
		position = binary.BigEndian.AppendUint32(position[:0], n)
		if err := mark(position); err != nil {
			return err
		}
	}
	return nil
}

// profile fills in a record.
func (e *Export) profile(r *export.Record, who *people.Person) {
	clear(r.Cells)
	var identities, devices, consents []event.Value
	for _, i := range who.Identities {
		identities = append(identities, event.OfText(i.Value))
	}
	for _, d := range who.Devices {
		devices = append(devices, event.OfText(d.ID))
	}
	for _, c := range who.Consents {
		consents = append(consents, consentValue(c))
	}
	switch {
	case len(identities) > 0:
		r.Cells[0] = identities[0]
	case len(devices) > 0:
		r.Cells[1] = devices[0]
	}
	r.Cells[2] = event.OfMicros(who.Created)
	r.Cells[3], r.Cells[4], r.Cells[5] = listOrNull(identities), listOrNull(devices), listOrNull(consents)
	r.Group = r.Group[:0]
	for _, p := range who.Profile {
		if !p.Personal {
			r.Group = append(r.Group, p)
		}
	}
	if !e.o.Personal {
		return
	}
	for _, p := range who.Profile {
		if p.Personal {
			r.Group = append(r.Group, p)
		}
	}
	r.Cells[6] = e.channels(who.Addresses)
}

func listOrNull(vs []event.Value) event.Value {
	if len(vs) == 0 {
		return event.Value{}
	}
	return event.OfList(vs)
}

func consentValue(c people.ConsentState) event.Value {
	ps := []event.Prop{{Key: "purpose", Value: event.OfText(c.Purpose)}}
	add := func(key, text string) {
		if text != "" {
			ps = append(ps, event.Prop{Key: key, Value: event.OfText(text)})
		}
	}
	add("channel", c.Channel)
	ps = append(ps, event.Prop{Key: "granted", Value: event.OfBool(c.Granted)})
	add("source", c.Source)
	add("version", c.Version)
	return event.OfObject(append(ps, event.Prop{Key: "since", Value: event.OfMicros(c.Since)}))
}

// channels are addresses by channel, as an import takes them: the oldest first,
// so that the newest comes last there too.
func (e *Export) channels(all []event.Address) event.Value {
	var out []event.Prop
	for _, channel := range event.Channels {
		var list []event.Value
		for _, a := range slices.Backward(all) {
			if a.Channel == channel && !e.p.people.Suppressed(a.Channel, a.Value) {
				list = append(list, addressValue(a))
			}
		}
		if len(list) > 0 {
			out = append(out, event.Prop{Key: channel, Value: event.OfList(list)})
		}
	}
	if len(out) == 0 {
		return event.Value{}
	}
	return event.OfObject(out)
}

func addressValue(a event.Address) event.Value {
	if a.Channel != "push" {
		return event.OfText(a.Value)
	}
	ps := []event.Prop{{Key: "platform", Value: event.OfText(a.Platform)}, {Key: "token", Value: event.OfText(a.Value)}}
	if a.Extra != "" {
		keys, err := event.ParseJSON([]byte(a.Extra))
		if err != nil {
			keys = event.OfText(a.Extra) // as it is: it came from outside
		}
		ps = append(ps, event.Prop{Key: "keys", Value: keys})
	}
	return event.OfObject(ps)
}

// ExportMessages takes out what became of every message, by its id: those that
// were decided from From on and before To. Events of o must be zero.
func (p *Publisher) ExportMessages(ctx context.Context, o ExportOptions) (*Export, error) {
	if n := len(o.After); n != 0 && n != 32 {
		return nil, ErrPosition
	}
	e, err := p.begin(ctx, o)
	if err != nil {
		return nil, err
	}
	e.table = export.Table{Columns: []export.Column{
		{Name: "message", Kind: event.Text}, {Name: "campaign", Kind: event.Text}, {Name: "revision", Kind: event.Int}, {Name: "variant", Kind: event.Text},
		{Name: "user", Kind: event.Text}, {Name: "anonymous", Kind: event.Text},
		{Name: "channel", Kind: event.Text}, {Name: "purpose", Kind: event.Text}, {Name: "class", Kind: event.Text}, {Name: "cause", Kind: event.Text},
		{Name: "state", Kind: event.Text}, {Name: "reason", Kind: event.Text}, {Name: "basis", Kind: event.Text},
		{Name: "decided", Kind: event.Time}, {Name: "due", Kind: event.Time}, {Name: "expires", Kind: event.Time}, {Name: "settled", Kind: event.Time},
		{Name: "tries", Kind: event.Int}, {Name: "provider_id", Kind: event.Text},
		{Name: "consent", Kind: event.Object}, {Name: "detail", Kind: event.Text}, {Name: "attempts", Kind: event.List},
	}}
	e.each = e.messages
	return e, nil
}

func (e *Export) messages(ctx context.Context, fn func(*export.Record) error, mark func([]byte) error) error {
	record := export.Record{}
	return e.p.delivery.Decisions(ctx, string(e.o.After), func(d delivery.Decision) error {
		if at := d.Decided.UnixMicro(); at < e.o.From || at >= e.o.To {
			return nil
		}
		// Somebody may have come after the moment of the export.
		if d.Person == 0 || d.Person > e.w.Max() {
			return nil
		}
		n, ok := e.wanted(d.Person)
		if !ok || e.p.people.Snapshot().Hidden(n) {
			return nil
		}
		name, ok, err := e.named(n)
		if err != nil || !ok {
			return err
		}
		if err := e.message(&record, &d, name); err != nil {
			return err
		}
		if err := fn(&record); err != nil {
			return err
		}
		return mark([]byte(d.Message))
	})
}

func (e *Export) message(r *export.Record, d *delivery.Decision, name listed) error {
	text, instant := textOrNull, func(t time.Time) event.Value {
		if t.IsZero() {
			return event.Value{}
		}
		return event.OfTime(t)
	}
	settled := time.Time{}
	if d.Settled != nil {
		settled = *d.Settled
	}
	r.Cells = append(r.Cells[:0],
		text(d.Message), text(d.Campaign), event.OfInt(int64(d.Revision)), text(d.Variant), name.user, name.device,
		text(d.Channel), text(d.Purpose), text(d.Class), text(d.Cause), text(d.State), text(d.Reason), text(d.Basis),
		instant(d.Decided), instant(d.Due), instant(d.Expires), instant(settled), event.OfInt(int64(d.Tries)), text(d.ProviderID))
	var consent, attempts event.Value
	var err error
	if d.Consent != nil {
		if consent, err = valueOf(d.Consent); err != nil {
			return err
		}
	}
	if len(d.Attempts) > 0 {
		if attempts, err = valueOf(d.Attempts); err != nil {
			return err
		}
	}
	r.Cells = append(r.Cells, consent, text(d.Detail), attempts)
	return nil
}

// valueOf is v's JSON as a value.
func valueOf(v any) (event.Value, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return event.Value{}, fmt.Errorf("encoding a message's decision: %w", err)
	}
	return event.ParseJSON(b)
}
