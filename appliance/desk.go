package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/console"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/flow"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/receipts"
)

// desk is a publisher as the console knows it: its rooms as they are at the
// time of a request, nil while they are being opened again.
type desk struct {
	*house
	rooms *publisher.Publisher
}

func (o *house) desk() desk { return desk{o, o.rooms.now.Load()} }

// stopped marks as passing what fails because the rooms are about to be opened
// again.
func stopped(err error) error {
	if errors.Is(err, publisher.ErrStopped) || errors.Is(err, flow.ErrStopped) || errors.Is(err, errAway) || errors.Is(err, ingest.ErrNoSpace) {
		return fmt.Errorf("%w: %w", console.ErrUnavailable, err)
	}
	return err
}

var errRoomsAway = fmt.Errorf("%w: %w", console.ErrUnavailable, errAway)

func (d desk) Name() string             { return d.cfg.Name }
func (d desk) Title() string            { return d.cfg.Title }
func (d desk) Location() *time.Location { return d.cfg.Location }

func (d desk) Schema() console.Schema {
	var out console.Schema
	for _, u := range d.cfg.Purposes {
		out.Purposes = append(out.Purposes, console.Purpose{Name: u.Name, Title: u.Title, Basis: u.Basis, Channels: u.Channels})
	}
	seen := map[string]bool{}
	for _, c := range d.cfg.Connectors {
		if !seen[c.Channel] {
			seen[c.Channel] = true
			out.Channels = append(out.Channels, c.Channel)
		}
	}
	if d.rooms == nil {
		return out
	}
	s := d.rooms.Schema()
	out.Profile = s.Profile
	for _, e := range s.Events {
		out.Events = append(out.Events, console.EventInfo{Name: e.Name, Rows: e.Rows, First: e.First, Last: e.Last, Keys: e.Keys})
	}
	return out
}

func (d desk) Size() (persons, rows int64) {
	if d.rooms == nil {
		return 0, 0
	}
	return d.rooms.Size()
}

func (d desk) Rate() float64 {
	if d.rooms == nil {
		return 0
	}
	return d.rooms.Rate()
}

func (d desk) Ask(ctx context.Context, body []byte) (*query.Answer, error) {
	if d.rooms == nil {
		return nil, errRoomsAway
	}
	return d.rooms.Ask(ctx, body)
}

func (d desk) Person(identity string) (*people.Person, error) {
	if d.rooms == nil {
		return nil, errRoomsAway
	}
	return d.rooms.Person(identity)
}

func (d desk) Suppressed(channel, address string) bool {
	return d.rooms != nil && d.rooms.Suppressed(channel, address)
}

func (d desk) Timeline(ctx context.Context, identity string, before int64, limit int, asc bool) ([]history.Row, error) {
	if d.rooms == nil {
		return nil, errRoomsAway
	}
	return d.rooms.Timeline(ctx, identity, before, limit, asc)
}

func (d desk) Erase(ctx context.Context, identity string) (string, error) {
	if d.rooms == nil {
		return "", errRoomsAway
	}
	request, err := d.rooms.Erase(ctx, identity)
	return request, stopped(err)
}

func (d desk) Demerge(ctx context.Context, identity string) (int, error) {
	if d.rooms == nil {
		return 0, errRoomsAway
	}
	parted, err := d.rooms.Demerge(ctx, identity)
	return parted, stopped(err)
}

// Certificate is a request's status and, once every holder has reported, its
// signed certificate.
func (d desk) Certificate(request string) (json.RawMessage, error) {
	if d.rooms == nil {
		return nil, errRoomsAway
	}
	status, err := d.rooms.Erasure(request)
	if errors.Is(err, erasure.ErrUnknown) {
		return nil, fmt.Errorf("%w: %w", console.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	out := struct {
		erasure.Status
		Certificate *erasure.Certificate `json:"certificate,omitempty"`
	}{Status: status}
	switch c, err := d.rooms.Certificate(request); {
	case err == nil:
		out.Certificate = &c
	case !errors.Is(err, erasure.ErrPending):
		return nil, err
	}
	return json.Marshal(out)
}

func (d desk) Arrivals(f console.ArrivalFilter) ([]console.Arrival, uint64) {
	all, last := d.arrivals.List(ingest.ArrivalFilter{After: f.After, Dialect: f.Dialect, Key: f.Key}, f.Limit)
	out := make([]console.Arrival, len(all))
	for i, a := range all {
		out[i] = console.Arrival(a)
	}
	return out, last
}

// Apps tells where apps find the appliance, and by which keys. Those that apps
// can carry come first.
func (d desk) Apps() console.Apps {
	out := console.Apps{URL: strings.TrimSuffix(publicURL(d.a.cfg.Load()), "/")}
	for _, k := range d.cfg.Keys {
		out.Keys = append(out.Keys, console.AppKey{Name: k.Name, ID: k.ID, Secret: k.Secret != ""})
	}
	slices.SortStableFunc(out.Keys, func(x, y console.AppKey) int {
		switch {
		case x.Secret == y.Secret:
			return 0
		case y.Secret:
			return -1
		}
		return 1
	})
	return out
}

func (d desk) Refusals(f console.RefusalFilter) console.Refusals {
	var out console.Refusals
	all, last := d.refusals.List(ingest.RefusalFilter{After: f.After, Code: f.Code, Dialect: f.Dialect, Key: f.Key}, f.Limit)
	out.Last = last
	for _, r := range all {
		out.List = append(out.List, console.Refusal(r))
	}
	for _, c := range d.refusals.Counts() {
		out.Counts = append(out.Counts, console.RefusalCount(c))
	}
	out.Held = d.hold.Count()
	if d.rooms != nil {
		out.Applied = d.rooms.Flow().Refused
	}
	return out
}

func (d desk) Held(after uint64, limit int) ([]console.HeldRecord, int, error) {
	all, err := d.hold.List(after, limit)
	if err != nil {
		return nil, 0, err
	}
	out := make([]console.HeldRecord, len(all))
	for i, h := range all {
		h = d.door.Rules.ShowHeld(h)
		out[i] = console.HeldRecord{Number: h.Number, At: h.At, Expires: h.At.Add(ingest.HoldLasts), Dialect: h.Dialect, Key: h.Key, Kinds: h.Kinds.Names(), Facts: h.Facts}
	}
	return out, d.hold.Count(), nil
}

func (d desk) ReleaseHeld(ctx context.Context, number uint64, mask bool) error {
	return d.decide(number, func(h ingest.Held) error { return d.Append(ctx, d.door.Rules.Release(h, mask)) })
}

func (d desk) DiscardHeld(number uint64) error { return d.decide(number, nil) }

func (d desk) decide(number uint64, release func(ingest.Held) error) error {
	err := d.hold.Take(number, release)
	if errors.Is(err, ingest.ErrNotHeld) {
		return fmt.Errorf("%w: %w", console.ErrNotFound, err)
	}
	return stopped(err)
}

func (d desk) Recent() []console.LiveEvent {
	if d.rooms == nil {
		return nil
	}
	var out []console.LiveEvent
	for _, e := range d.rooms.Recent() {
		out = append(out, console.LiveEvent(e))
	}
	return out
}

func (d desk) Live(ctx context.Context) <-chan console.LiveEvent {
	out := make(chan console.LiveEvent)
	if d.rooms == nil {
		close(out)
		return out
	}
	in := d.rooms.Live(ctx)
	go func() { // ends with the room's own channel, which ends with ctx
		defer close(out)
		for e := range in {
			select {
			case out <- console.LiveEvent(e):
			case <-ctx.Done():
			}
		}
	}()
	return out
}

func (d desk) Campaigns() console.Campaigns {
	if d.rooms == nil {
		return away{}
	}
	return d.rooms.Campaigns()
}

func (d desk) Messages() console.Messages {
	if d.rooms == nil {
		return awayMessages{}
	}
	return d.rooms.Delivery()
}

// away stands in for rooms that are being opened again.
type away struct{}

func (away) List() ([]campaign.Status, error)            { return nil, errRoomsAway }
func (away) Get(string) (campaign.Status, error)         { return campaign.Status{}, errRoomsAway }
func (away) Validate([]byte) (*campaign.Campaign, error) { return nil, errRoomsAway }

// awayMessages are those of rooms that are being opened again.
type awayMessages struct{}

func (awayMessages) Explain(string) (delivery.Decision, error) {
	return delivery.Decision{}, errRoomsAway
}
func (awayMessages) Stats() delivery.Stats { return delivery.Stats{} }
func (awayMessages) Replay([]string, bool) ([]delivery.Replayed, error) {
	return nil, errRoomsAway
}
func (awayMessages) List(context.Context, delivery.Listing) (delivery.Page, error) {
	return delivery.Page{}, errRoomsAway
}

func (d desk) SaveCampaign(ctx context.Context, c *campaign.Campaign) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(d.rooms.SaveCampaign(ctx, c))
}

func (d desk) DeleteCampaign(ctx context.Context, id string) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(d.rooms.DeleteCampaign(ctx, id))
}

func (d desk) Segments() []console.Segment {
	if d.rooms == nil {
		return nil
	}
	var out []console.Segment
	for _, s := range d.rooms.Segments() {
		out = append(out, console.Segment(s))
	}
	return out
}

func (d desk) SaveSegment(ctx context.Context, s console.Segment) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(d.rooms.SaveSegment(ctx, publisher.Segment(s)))
}

func (d desk) DeleteSegment(ctx context.Context, name string) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(missing(d.rooms.DeleteSegment(ctx, name)))
}

func (d desk) RFMs() []console.RFM {
	if d.rooms == nil {
		return nil
	}
	var out []console.RFM
	for _, r := range d.rooms.RFMs() {
		out = append(out, console.RFM(r))
	}
	return out
}

func (d desk) SaveRFM(ctx context.Context, r console.RFM) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(d.rooms.SaveRFM(ctx, publisher.RFM(r)))
}

func (d desk) DeleteRFM(ctx context.Context, name string) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(missing(d.rooms.DeleteRFM(ctx, name)))
}

func (d desk) Lists() []people.ListInfo {
	if d.rooms == nil {
		return nil
	}
	return d.rooms.Lists()
}

func (d desk) UploadList(ctx context.Context, name string, in console.ListUpload) (people.ListInfo, console.Imported, error) {
	if d.rooms == nil {
		return people.ListInfo{}, console.Imported{}, errRoomsAway
	}
	ids, lines, refused := ingest.ListLines(in.Line, in.Body)
	out := console.Imported{Taken: int64(len(ids))}
	for _, r := range refused {
		out.Refused = append(out.Refused, console.RefusedLine{Line: r.Line, Error: r.Message})
	}
	l, err := d.rooms.UploadList(ctx, name, people.ListPart{Source: in.Source, Line: in.Line, Lines: lines, Add: in.Add, Last: in.Last, People: ids})
	if errors.Is(err, publisher.ErrUpload) {
		err = fmt.Errorf("%w: %w", console.ErrOutOfOrder, err)
	}
	return l, out, stopped(err)
}

func (d desk) DeleteList(ctx context.Context, name string) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	return stopped(missing(d.rooms.DeleteList(ctx, name)))
}

// missing is publisher's ErrUnknown as the console knows it.
func missing(err error) error {
	if errors.Is(err, publisher.ErrUnknown) {
		return fmt.Errorf("%w: %w", console.ErrNotFound, err)
	}
	return err
}

func (d desk) Connectors() []console.Connector {
	var out []console.Connector
	for _, c := range d.senders.all() {
		s := c.Status()
		webhook := ""
		if c.Receives() {
			webhook = receipts.Address(strings.TrimSuffix(publicURL(d.a.cfg.Load()), "/"), d.cfg.Name, s.Name)
		}
		one := console.Connector{
			Channel: s.Channel, Name: s.Name, Plugin: s.Plugin, Version: s.Version, State: string(s.State), Since: s.Since,
			Restarts: s.Restarts, Error: s.Error, Unreachable: s.Unreachable, Sent: s.Sent.Accepted, Sandbox: s.Sandbox, Grade: s.Grade, Missing: s.Missing, Description: s.Description, Webhook: webhook,
		}
		if d.rooms != nil {
			route := d.rooms.Delivery().Route(s.Name)
			one.InFlight, one.LeftOut, one.Why = route.InFlight, route.LeftOut, route.Why
			if route.Doubt != "" {
				one.Why = route.Doubt
			}
			if !route.Paused.IsZero() {
				one.Paused = &route.Paused
			}
			if !route.Failing.IsZero() {
				one.Failing = &route.Failing
			}
		}
		out = append(out, one)
	}
	return out
}

func (d desk) PauseConnector(name string) error {
	return d.changeConnector(name, (*delivery.Delivery).Pause)
}

func (d desk) ResumeConnector(name string) error {
	return d.changeConnector(name, (*delivery.Delivery).Resume)
}

func (d desk) changeConnector(name string, do func(*delivery.Delivery, string) error) error {
	if d.rooms == nil {
		return errRoomsAway
	}
	if d.senders.find("", name) == nil {
		return fmt.Errorf("connector %q: %w", name, console.ErrNotFound)
	}
	return do(d.rooms.Delivery(), name)
}

func (d desk) CheckConnector(ctx context.Context, name string) error {
	c := d.senders.find("", name)
	if c == nil {
		return fmt.Errorf("connector %q: %w", name, console.ErrNotFound)
	}
	return c.Check(ctx)
}

func (d desk) Export(ctx context.Context, kind string, o console.ExportOptions) (console.Export, error) {
	if d.rooms == nil {
		return nil, errRoomsAway
	}
	take := d.rooms.ExportEvents
	switch kind {
	case "profiles":
		take = d.rooms.ExportProfiles
	case "messages":
		take = d.rooms.ExportMessages
	}
	e, err := take(ctx, publisher.ExportOptions(o))
	if errors.Is(err, publisher.ErrPosition) {
		err = fmt.Errorf("%w: %w", console.ErrPosition, err)
	}
	if err != nil {
		return nil, stopped(err)
	}
	return e, nil
}

func (d desk) Import(ctx context.Context, kind string, in console.Import) (console.Imported, error) {
	if d.rooms == nil {
		return console.Imported{}, errRoomsAway
	}
	take := d.a.apps.ImportEvents
	if kind == "profiles" {
		take = d.a.apps.ImportProfiles
	}
	taken, refused, err := take(ctx, d.door, in.Source, in.Line, in.Body)
	out := console.Imported{Taken: int64(taken)}
	for _, r := range refused {
		out.Refused = append(out.Refused, console.RefusedLine{Line: r.Line, Error: r.Message})
	}
	return out, stopped(err)
}
