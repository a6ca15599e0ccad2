package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
)

// masked stands for a value that a role must not see.
const masked = "•••"

func (c *Console) query(r *request) error {
	// A question that lists people is a read of personal data.
	if kind, lists := listsPeople(r.body); lists {
		if err := c.record(r, "people.list", "", kind); err != nil {
			return err
		}
	}
	a, err := r.publisher.Ask(r.Context(), r.body)
	if err != nil {
		return err
	}
	return ok(r, a)
}

// listsPeople says whether a question's answer names people. What is no
// question is for query to refuse.
func listsPeople(body []byte) (kind string, lists bool) {
	v, err := event.ParseJSON(body)
	if err != nil {
		return "", false
	}
	top := v.Object()
	kind = clip(event.Lookup(top, "kind").Text(), 32)
	if !event.Lookup(top, "list").IsNull() {
		return kind, true
	}
	breakdown := event.Lookup(top, "breakdown")
	for _, b := range append(breakdown.List(), breakdown) {
		if event.Lookup(b.Object(), "of").Text() == "person" {
			return kind, true
		}
	}
	return kind, false
}

// find gives a person by the identity in the path.
func (c *Console) find(r *request, identity string) (*people.Person, error) {
	if identity == "" || len(identity) > event.DefaultLimits().Identity {
		return nil, notFound()
	}
	return r.publisher.Person(identity)
}

func subject(p *people.Person) string { return fmt.Sprintf("person %d", p.Number) }

func (c *Console) person(r *request) error {
	p, err := c.find(r, r.PathValue("identity"))
	if err != nil {
		return err
	}
	if err := c.record(r, "person.read", subject(p), ""); err != nil {
		return err
	}
	decisions, err := c.latestMessages(r, r.PathValue("identity"), 20)
	if err != nil {
		return err
	}
	return ok(r, showPerson(p, r, decisions))
}

type personJSON struct {
	Person     uint32              `json:"person"`
	Identities []identityJSON      `json:"identities"`
	Devices    []deviceJSON        `json:"devices"`
	Profile    props               `json:"profile"`
	Personal   []string            `json:"personal"`
	Consent    []consentJSON       `json:"consent"`
	Channels   []channelJSON       `json:"channels"`
	Joined     []joinedJSON        `json:"joined"`
	Created    *time.Time          `json:"created"`
	Seen       *time.Time          `json:"seen"`
	Masked     bool                `json:"masked"`
	Messages   []delivery.Decision `json:"messages"`
}

type identityJSON struct {
	Value string     `json:"value"`
	Since *time.Time `json:"since"`
}

type deviceJSON struct {
	ID    string     `json:"id"`
	Since *time.Time `json:"since"`
	Seen  *time.Time `json:"seen"`
}

type consentJSON struct {
	Purpose string     `json:"purpose"`
	Channel string     `json:"channel"`
	Granted bool       `json:"granted"`
	Since   *time.Time `json:"since"`
	Source  string     `json:"source"`
	Version string     `json:"version"`
}

// joinedJSON is a number that became part of a person.
type joinedJSON struct {
	Person     uint32     `json:"person"`
	Into       uint32     `json:"into"`
	Since      *time.Time `json:"since"`
	Rule       string     `json:"rule"`
	Identities []string   `json:"identities"`
	Devices    []string   `json:"devices"`
}

type channelJSON struct {
	Channel    string `json:"channel"`
	Address    string `json:"address"`
	Platform   string `json:"platform"`
	Suppressed bool   `json:"suppressed"`
}

func showPerson(p *people.Person, r *request, decisions []delivery.Decision) personJSON {
	full := mayReadValues(r.role)
	out := personJSON{
		Person: p.Number, Identities: []identityJSON{}, Devices: []deviceJSON{}, Profile: props{}, Personal: []string{},
		Consent: []consentJSON{}, Channels: []channelJSON{}, Joined: []joinedJSON{},
		Created: stamp(p.Created), Seen: stamp(p.Seen), Masked: !full, Messages: list(decisions),
	}
	for _, i := range p.Identities {
		out.Identities = append(out.Identities, identityJSON{i.Value, stamp(i.Since)})
	}
	for _, d := range p.Devices {
		out.Devices = append(out.Devices, deviceJSON{d.ID, stamp(d.Since), stamp(d.Seen)})
	}
	for _, a := range p.Profile {
		if a.Personal {
			out.Personal = append(out.Personal, a.Key)
		}
	}
	out.Profile = mask(p.Profile, full)
	for _, s := range p.Consents {
		out.Consent = append(out.Consent, consentJSON{s.Purpose, s.Channel, s.Granted, stamp(s.Since), s.Source, s.Version})
	}
	for _, a := range p.Addresses {
		ch := channelJSON{a.Channel, a.Value, a.Platform, r.publisher.Suppressed(a.Channel, a.Value)}
		if !full {
			ch.Address = masked
		}
		out.Channels = append(out.Channels, ch)
	}
	for _, j := range p.Joined {
		out.Joined = append(out.Joined, joinedJSON{j.Number, j.Into, stamp(j.Since), j.Rule, list(j.Identities), list(j.Devices)})
	}
	return out
}

// mask hides personal values from a role that must not see them.
func mask(ps []event.Prop, full bool) props {
	out := make(props, len(ps))
	for i, p := range ps {
		if p.Personal && !full {
			p.Value = event.OfText(masked)
		}
		out[i] = p
	}
	return out
}

type rowJSON struct {
	Event string     `json:"event"`
	Time  *time.Time `json:"ts"`
	Props props      `json:"props"`
}

const maxTimeline = 10_000

func (c *Console) timeline(r *request) error {
	if err := known(r, "limit", "before", "order"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 100, 1, maxTimeline)
	if err != nil {
		return err
	}
	var before int64
	if s := r.URL.Query().Get("before"); s != "" {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return badValue("before", "a time is needed, as in 2026-01-31T12:00:00Z")
		}
		before = t.UnixMicro()
	}
	order := r.URL.Query().Get("order")
	if order != "" && order != "asc" && order != "desc" {
		return badValue("order", "asc or desc")
	}
	p, err := c.find(r, r.PathValue("identity"))
	if err != nil {
		return err
	}
	if err := c.record(r, "person.timeline", subject(p), ""); err != nil {
		return err
	}
	rows, err := r.publisher.Timeline(r.Context(), r.PathValue("identity"), before, int(limit), order == "asc")
	if err != nil {
		return err
	}
	out := make([]rowJSON, len(rows))
	for i, row := range rows {
		// The time is there even if it is 1970's first instant.
		t := time.UnixMicro(row.Time).UTC()
		out[i] = rowJSON{row.Name, &t, mask(row.Props, mayReadValues(r.role))}
	}
	return ok(r, map[string]any{"events": out})
}

// lately remembers who was written down as a reader of the people seen lately,
// for ten minutes.
type lately struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	latelyLasts = 10 * time.Minute
	maxLately   = 1000 // readers; beyond it everybody is written down anew
)

func (l *lately) due(now time.Time, key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := now.Sub(l.last[key]); since >= 0 && since < latelyLasts {
		return false
	}
	if l.last == nil || len(l.last) >= maxLately {
		l.last = make(map[string]time.Time)
	}
	l.last[key] = now
	return true
}

func (l *lately) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, key)
}

// recentPeople gives whom something was heard of lately: from what was applied
// last and, where that is little, whoever there is.
func (c *Console) recentPeople(r *request) error {
	if err := known(r, "limit"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 20, 1, 100)
	if err != nil {
		return err
	}
	// A page that shows this asks again and again: that is one read.
	if key := r.caller.actor() + " " + r.publisher.Name(); c.lately.due(c.now(), key) {
		if err := c.record(r, "people.list", "", "recent"); err != nil {
			c.lately.forget(key)
			return err
		}
	}
	type seen struct {
		Identity string     `json:"identity"`
		Last     *time.Time `json:"last"`
		Event    string     `json:"event"`
	}
	out, have := []seen{}, make(map[string]bool)
	add := func(identity string, at int64, name string) {
		if identity != "" && !have[identity] && len(out) < int(limit) {
			have[identity] = true
			out = append(out, seen{identity, stamp(at), name})
		}
	}
	for _, e := range slices.Backward(r.publisher.Recent()) {
		if !event.Own(e.Event) {
			add(e.Identity, e.Time, e.Event)
		}
	}
	if len(out) >= int(limit) {
		return ok(r, map[string]any{"people": out})
	}
	var listed struct {
		People []string `json:"people"`
	}
	err = c.ask(r, map[string]any{
		"kind": "segment", "people": map[string]any{"all": []any{}}, "list": map[string]any{"limit": limit},
	}, &listed)
	if err != nil {
		return err
	}
	for _, identity := range listed.People {
		if have[identity] || len(out) >= int(limit) {
			continue
		}
		rows, err := r.publisher.Timeline(r.Context(), identity, 0, 1, false)
		switch {
		case errors.Is(err, people.ErrUnknown), errors.Is(err, people.ErrErased):
			continue // erased meanwhile
		case err != nil:
			return err
		}
		for _, row := range rows {
			add(identity, row.Time, row.Name)
		}
		add(identity, 0, "") // an uploaded profile: nothing happened yet
	}
	return ok(r, map[string]any{"people": out})
}

// ask asks an ordinary question and reads its result.
func (c *Console) ask(r *request, question any, result any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("encoding a question: %w", err)
	}
	a, err := r.publisher.Ask(r.Context(), body)
	if err != nil {
		return err
	}
	b, err := json.Marshal(a.Result)
	if err == nil {
		err = json.Unmarshal(b, result)
	}
	if err != nil {
		return fmt.Errorf("reading the answer to a question of kind %s: %w", a.Kind, err)
	}
	return nil
}

func (c *Console) erase(r *request) error {
	p, err := c.find(r, r.PathValue("identity"))
	if err != nil {
		return err
	}
	var request string
	err = c.change(r, "person.erase", subject(p), func() error {
		request, err = r.publisher.Erase(r.Context(), r.PathValue("identity"))
		return err
	})
	if err != nil {
		return err
	}
	return answer(r.w, http.StatusAccepted, map[string]string{"request": request})
}

func (c *Console) demerge(r *request) error {
	p, err := c.find(r, r.PathValue("identity"))
	if err != nil {
		return err
	}
	var parted int
	err = c.change(r, "person.demerge", subject(p), func() error {
		parted, err = r.publisher.Demerge(r.Context(), r.PathValue("identity"))
		return err
	})
	if err != nil {
		return err
	}
	return ok(r, map[string]int{"parted": parted})
}

func (c *Console) certificate(r *request) error {
	b, err := r.publisher.Certificate(r.PathValue("request"))
	if err != nil {
		return err
	}
	return ok(r, b)
}

func (c *Console) message(r *request) error {
	d, err := r.publisher.Messages().Explain(r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := c.record(r, "message.explain", fmt.Sprintf("person %d", d.Person), "message "+clip(d.Message, 64)); err != nil {
		return err
	}
	return ok(r, d)
}

// messages gives somebody's, or those of a state.
func (c *Console) messages(r *request) error {
	if r.URL.Query().Has("state") {
		return c.listMessages(r)
	}
	if err := known(r, "person", "limit"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 20, 1, 200)
	if err != nil {
		return err
	}
	identity := r.URL.Query().Get("person")
	if identity == "" {
		return &problem{status: http.StatusBadRequest, Code: "missing", Path: "person", Message: "which messages? ?person=IDENTITY, or ?state=failed or unknown"}
	}
	p, err := c.find(r, identity)
	if err != nil {
		return err
	}
	if err := c.record(r, "person.messages", subject(p), ""); err != nil {
		return err
	}
	out, err := c.latestMessages(r, identity, int(limit))
	if err != nil {
		return err
	}
	return ok(r, map[string]any{"messages": list(out)})
}

// messageEvents bounds how far back the latest messages of a person are
// looked for among what happened to them.
const messageEvents = 1000

// latestMessages finds a person's messages by what became of them, which are
// events of theirs, and explains each.
func (c *Console) latestMessages(r *request, identity string, limit int) ([]delivery.Decision, error) {
	rows, err := r.publisher.Timeline(r.Context(), identity, 0, messageEvents, false)
	if err != nil {
		return nil, err
	}
	out, have := []delivery.Decision{}, make(map[string]bool)
	for _, row := range rows {
		id := messageOf(row)
		if id == "" || have[id] {
			continue
		}
		have[id] = true
		d, err := r.publisher.Messages().Explain(id)
		if errors.Is(err, delivery.ErrUnknown) {
			continue // its decision is past its time
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, d); len(out) == limit {
			break
		}
	}
	return out, nil
}

func messageOf(row history.Row) string {
	if !event.Own(row.Name) {
		return ""
	}
	return event.Lookup(row.Props, event.PropMessage).Text()
}
