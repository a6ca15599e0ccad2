package console

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
)

func (c *Console) overview(r *request) error {
	type info struct {
		Name  string     `json:"name"`
		Rows  int64      `json:"rows"`
		First *time.Time `json:"first"`
		Last  *time.Time `json:"last"`
		Keys  []string   `json:"keys"`
		Own   bool       `json:"own"`
	}
	p := r.publisher
	schema := p.Schema()
	events := []info{}
	for _, e := range schema.Events {
		events = append(events, info{e.Name, e.Rows, stamp(e.First), stamp(e.Last), list(e.Keys), event.Own(e.Name)})
	}
	purposes := []Purpose{}
	for _, u := range schema.Purposes {
		u.Channels = list(u.Channels)
		purposes = append(purposes, u)
	}
	people, rows := p.Size()
	return ok(r, map[string]any{
		"name": p.Name(), "title": p.Title(), "timezone": p.Location().String(), "role": r.role,
		"purposes": purposes, "channels": list(schema.Channels), "events": events, "profile": list(schema.Profile),
		"people": people, "rows": rows,
	})
}

// list is an empty list where there is none: never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (c *Console) health(r *request) error {
	out := []health.Problem{}
	for _, p := range c.appliance.Problems() {
		if c.concerns(r.caller, p.Subject) {
			out = append(out, p)
		}
	}
	return ok(r, map[string]any{"problems": out})
}

// concerns says whether a problem's subject is a caller's business: everything
// for who has a role everywhere, else what begins with a publisher of theirs.
func (c *Console) concerns(who caller, subject string) bool {
	if who.grants[access.Everywhere] != "" {
		return true
	}
	publisher, _, _ := strings.Cut(subject, "/")
	return publisher != "" && who.grants.On(publisher) != ""
}

func (c *Console) listAudit(r *request) error {
	if err := known(r, "limit", "publisher"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 100, 1, audit.MaxList)
	if err != nil {
		return err
	}
	publisher := r.URL.Query().Get("publisher")
	if err := c.mayReadAudit(r, publisher); err != nil {
		return err
	}
	leave, err := c.enter()
	if err != nil {
		return err
	}
	defer leave()
	entries, err := c.audit.List(r.Context(), publisher, int(limit))
	if err != nil {
		return err
	}
	return ok(r, map[string]any{"entries": list(entries)})
}

// mayReadAudit says whether a caller may read what is about a publisher, or
// ("") about the whole appliance.
func (c *Console) mayReadAudit(r *request, publisher string) error {
	on := publisher
	if on == "" {
		on = access.Everywhere
	}
	switch role := r.caller.grants.On(on); {
	case role == access.Admin, role == access.Auditor:
		return nil
	case role == "" && publisher != "":
		return c.denied(r, notFound())
	}
	return c.denied(r, &problem{status: http.StatusForbidden, Code: "not_allowed", Message: "auditors and admins read the audit; name a publisher where you are one"})
}

// auditHead gives what is to be kept elsewhere, so that nobody with the machine
// can make the audit anew.
func (c *Console) auditHead(r *request) error {
	if err := c.mayReadAudit(r, ""); err != nil {
		return err
	}
	return ok(r, map[string]string{"head": string(c.audit.Head()), "verifier": c.audit.Verifier()})
}

// enter takes one of the few places for what reads or holds much.
func (c *Console) enter() (leave func(), err error) {
	select {
	case c.heavy <- struct{}{}:
		return func() { <-c.heavy }, nil
	default:
		return nil, &problem{status: http.StatusTooManyRequests, Code: "busy", Message: "too many long requests at the same time", after: time.Second}
	}
}

// parseLife reads a duration as operators write it, d and w included.
func parseLife(s string) (time.Duration, error) {
	d, err := campaign.ParseDuration(s)
	if err != nil {
		return 0, badValue("ttl", `a length of time is needed, as in "90d"`)
	}
	return time.Duration(d), nil
}

func (c *Console) reload(r *request) error {
	var out Reloaded
	err := c.change(r, "reload", "configuration", func() (err error) {
		out, err = c.appliance.Reload(r.Context())
		return err
	})
	if err != nil {
		return err
	}
	return ok(r, Reloaded{Applied: list(out.Applied), Restart: list(out.Restart)})
}

func (c *Console) status(r *request) error {
	st := c.appliance.Status()
	st.Listeners, st.Publishers, st.Problems = list(st.Listeners), list(st.Publishers), list(st.Problems)
	return ok(r, st)
}

func (c *Console) adminLink(r *request) error {
	var in struct {
		Name string `json:"name"`
	}
	if len(r.body) > 0 {
		if err := decode(r.body, &in); err != nil {
			return err
		}
	}
	if in.Name != "" {
		return c.makeLink(r, in.Name)
	}
	var out linkJSON
	err := c.change(r, "setup.link", "", func() error {
		token, expires, err := c.access.SetupLink()
		out = linkJSON{Link: "/setup#" + token, Expires: expires.UTC()}
		if errors.Is(err, access.ErrSetUp) {
			return badValue("name", "the appliance is set up already: name the operator to let in")
		}
		return err
	})
	if err != nil {
		return err
	}
	return answer(r.w, http.StatusCreated, out)
}
