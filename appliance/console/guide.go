package console

import "github.com/cloisterhq/cloister/appliance/guide"

// Apps is what a publisher's apps are told.
type Apps struct {
	URL  string // where they find the appliance
	Keys []AppKey
}

// AppKey is a credential of apps or servers, without its secret.
type AppKey struct {
	Name   string `json:"name"`
	ID     string `json:"id"`
	Secret bool   `json:"secret"` // it has one
}

// documents lists what there is for developers, and what fills it in.
func (c *Console) documents(r *request) error {
	if err := known(r); err != nil {
		return err
	}
	type document struct {
		Name  string `json:"name"`
		Title string `json:"title"`
	}
	var out []document
	if c.guide != nil {
		for _, d := range c.guide.Documents() {
			out = append(out, document{d.Name, d.Title})
		}
	}
	apps := r.publisher.Apps()
	return ok(r, map[string]any{"documents": list(out), "url": apps.URL, "keys": list(apps.Keys)})
}

// document gives one, filled in with the publisher's address and a key of its
// own.
func (c *Console) document(r *request) error {
	if err := known(r, "key"); err != nil {
		return err
	}
	if c.guide == nil {
		return notFound()
	}
	apps := r.publisher.Apps()
	fill, want := guide.Fill{URL: apps.URL}, r.URL.Query().Get("key")
	for _, k := range apps.Keys {
		if want == "" && fill.Key == "" || k.ID == want {
			fill.Key = k.ID
		}
	}
	if want != "" && fill.Key != want {
		return badValue("key", "the publisher has no such key")
	}
	body, there := c.guide.Tree(r.PathValue("name"), fill)
	if !there {
		return notFound()
	}
	return ok(r, map[string]any{"body": body})
}
