package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

func (c *Console) campaigns(r *request) error {
	out, err := r.publisher.Campaigns().List()
	if err != nil {
		return err
	}
	return ok(r, map[string]any{"campaigns": list(out)})
}

func (c *Console) campaign(r *request) error {
	s, err := r.publisher.Campaigns().Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	return ok(r, s)
}

// campaignBody reads a campaign's JSON as far as the door needs: with this id,
// without what only answers have. All else is campaign's to check.
func campaignBody(body []byte, id func(name string) (string, error)) ([]byte, error) {
	v, err := event.ParseJSON(body)
	if err != nil {
		return nil, err
	}
	if v.Kind() != event.Object {
		return nil, campaign.Mistakes{{Message: "a campaign is an object"}}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, badValue("", "a campaign is an object")
	}
	delete(fields, "progress")
	given := event.Lookup(v.Object(), "id")
	wanted, err := id(event.Lookup(v.Object(), "name").Text())
	if err != nil {
		return nil, err
	}
	switch {
	case given.IsNull():
		if fields["id"], err = json.Marshal(wanted); err != nil {
			return nil, fmt.Errorf("encoding an id: %w", err)
		}
	case wanted != "" && given.Text() != wanted:
		return nil, campaign.Mistakes{{Path: "id", Message: "the id is not that of the address"}}
	}
	out, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding a campaign: %w", err)
	}
	return out, nil
}

func (c *Console) checkCampaign(r *request) error {
	body, err := campaignBody(r.body, func(name string) (string, error) { return c.freeID(r, name, r.body) })
	if err != nil {
		return err
	}
	o, err := r.publisher.Campaigns().Validate(body)
	if err != nil {
		return err
	}
	return ok(r, o)
}

// freeID makes an id from a name that no campaign has yet; "" where the body
// has one of its own.
func (c *Console) freeID(r *request, name string, body []byte) (string, error) {
	if v, err := event.ParseJSON(body); err == nil && !event.Lookup(v.Object(), "id").IsNull() {
		return "", nil
	}
	slug := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, clip(name, 48)), "-")
	for strings.Contains(slug, "--") {
		slug = strings.ReplaceAll(slug, "--", "-")
	}
	if slug == "" {
		slug = "campaign"
	}
	for n := 1; n <= campaign.MaxCampaigns+1; n++ {
		id := slug
		if n > 1 {
			id = fmt.Sprintf("%s-%d", slug, n)
		}
		if _, err := r.publisher.Campaigns().Get(id); errors.Is(err, campaign.ErrUnknown) {
			return id, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", &problem{status: http.StatusConflict, Code: "exists", Message: "there are too many of this name"}
}

func (c *Console) makeCampaign(r *request) error {
	leave, err := c.changing.enter(r)
	if err != nil {
		return err
	}
	defer leave()
	body, err := campaignBody(r.body, func(name string) (string, error) { return c.freeID(r, name, r.body) })
	if err != nil {
		return err
	}
	o, err := r.publisher.Campaigns().Validate(body)
	if err != nil {
		return err
	}
	switch _, err := r.publisher.Campaigns().Get(o.ID); {
	case err == nil:
		return &problem{status: http.StatusConflict, Code: "exists", Path: "id", Message: "there is a campaign of this id"}
	case !errors.Is(err, campaign.ErrUnknown):
		return err
	}
	return c.saveCampaign(r, "campaign.make", http.StatusCreated, o)
}

func (c *Console) putCampaign(r *request) error {
	leave, err := c.changing.enter(r)
	if err != nil {
		return err
	}
	defer leave()
	body, err := campaignBody(r.body, func(string) (string, error) { return r.PathValue("id"), nil })
	if err != nil {
		return err
	}
	o, err := r.publisher.Campaigns().Validate(body)
	if err != nil {
		return err
	}
	switch s, err := r.publisher.Campaigns().Get(o.ID); {
	case errors.Is(err, campaign.ErrUnknown):
	case err != nil:
		return err
	case s.State == campaign.Ended && o.State != campaign.Ended:
		return cannotGo(s.State, o.State) // ended is for good
	}
	return c.saveCampaign(r, "campaign.change", http.StatusOK, o)
}

// changing lets one caller at a time read a publisher's campaign and change it
// by what it read. Publishers do not wait for each other.
type changing struct {
	mu sync.Mutex
	by map[string]chan struct{} // publisher -> one place
}

func (c *changing) enter(r *request) (leave func(), err error) {
	c.mu.Lock()
	place := c.by[r.publisher.Name()]
	if place == nil {
		if c.by == nil {
			c.by = make(map[string]chan struct{})
		}
		place = make(chan struct{}, 1)
		c.by[r.publisher.Name()] = place
	}
	c.mu.Unlock()
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-r.Context().Done():
		return nil, fmt.Errorf("waiting for another change: %w", r.Context().Err())
	}
}

// saveCampaign saves a campaign that was validated and answers with it as it
// is then. It wants a place in changing.
func (c *Console) saveCampaign(r *request, action string, status int, o *campaign.Campaign) error {
	err := c.change(r, action, "campaign "+o.ID, func() error { return r.publisher.SaveCampaign(r.Context(), o) })
	if err != nil {
		return err
	}
	s, err := r.publisher.Campaigns().Get(o.ID)
	if err != nil {
		return err
	}
	return answer(r.w, status, s)
}

func (c *Console) deleteCampaign(r *request) error {
	id := r.PathValue("id")
	leave, err := c.changing.enter(r)
	if err != nil {
		return err
	}
	defer leave()
	if _, err := r.publisher.Campaigns().Get(id); err != nil {
		return err
	}
	return c.done(r, "campaign.delete", "campaign "+id, func() error { return r.publisher.DeleteCampaign(r.Context(), id) })
}

func (c *Console) startCampaign(r *request) error {
	return c.moveCampaign(r, campaign.Running, campaign.Draft, campaign.Paused)
}

func (c *Console) pauseCampaign(r *request) error {
	return c.moveCampaign(r, campaign.Paused, campaign.Running)
}

func (c *Console) endCampaign(r *request) error {
	return c.moveCampaign(r, campaign.Ended, campaign.Draft, campaign.Running, campaign.Paused)
}

func cannotGo(from, to string) *problem {
	return &problem{status: http.StatusConflict, Code: "state", Path: "state", Message: fmt.Sprintf("the campaign is %s, so it cannot become %s", from, to)}
}

func (c *Console) moveCampaign(r *request, to string, from ...string) error {
	leave, err := c.changing.enter(r)
	if err != nil {
		return err
	}
	defer leave()
	s, err := r.publisher.Campaigns().Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	if s.State == to {
		return ok(r, s) // asked twice
	}
	if !slices.Contains(from, s.State) {
		return cannotGo(s.State, to)
	}
	o := s.Campaign
	o.State = to
	// As it stands it may have become wrong: a purpose may be gone from the
	// configuration. Ending and pausing always go.
	if to == campaign.Running {
		body, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("encoding a campaign: %w", err)
		}
		if _, err := r.publisher.Campaigns().Validate(body); err != nil {
			return err
		}
	}
	return c.saveCampaign(r, "campaign."+to, http.StatusOK, &o)
}
