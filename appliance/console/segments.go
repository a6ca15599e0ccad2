package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/cloisterhq/cloister/appliance/event"
)

// savedName is the name in the path of something to be saved.
func savedName(r *request, kind string) (string, error) {
	name := r.PathValue("name")
	if name == "" || len(name) > event.DefaultLimits().Name || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", badValue("name", "a "+kind+"'s name has 1 to 128 bytes that can be printed")
	}
	return name, nil
}

type segmentJSON struct {
	Name   string          `json:"name"`
	People json.RawMessage `json:"people"`
}

func (c *Console) segments(r *request) error {
	out := []segmentJSON{}
	for _, s := range r.publisher.Segments() {
		out = append(out, segmentJSON(s))
	}
	return ok(r, map[string]any{"segments": out})
}

func (c *Console) segment(r *request) error {
	s, found := c.findSegment(r)
	if !found {
		return notFound()
	}
	return c.answerSegment(r, s)
}

func (c *Console) findSegment(r *request) (Segment, bool) {
	all := r.publisher.Segments()
	i := slices.IndexFunc(all, func(s Segment) bool { return s.Name == r.PathValue("name") })
	if i < 0 {
		return Segment{}, false
	}
	return all[i], true
}

type counted struct {
	Count     int64            `json:"count"`
	Reachable map[string]int64 `json:"reachable"`
}

// count asks how many a people expression means, which also checks it.
func (c *Console) count(r *request, people json.RawMessage) (counted, error) {
	var out counted
	err := c.ask(r, map[string]any{"kind": "segment", "people": people}, &out)
	return out, err
}

func (c *Console) answerSegment(r *request, s Segment) error {
	n, err := c.count(r, s.People)
	if err != nil {
		return err
	}
	return ok(r, struct {
		segmentJSON
		counted
	}{segmentJSON(s), n})
}

func (c *Console) putSegment(r *request) error {
	name, err := savedName(r, "segment")
	if err != nil {
		return err
	}
	var in struct {
		People json.RawMessage `json:"people"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if len(in.People) == 0 || string(in.People) == "null" {
		return &problem{status: http.StatusBadRequest, Code: "missing", Path: "people", Message: "who is in it? a people expression is needed"}
	}
	s := Segment{Name: name, People: in.People}
	if _, err := c.count(r, s.People); err != nil {
		return err
	}
	err = c.change(r, "segment.change", "segment "+name, func() error { return r.publisher.SaveSegment(r.Context(), s) })
	if err != nil {
		return err
	}
	return c.answerSegment(r, s)
}

func (c *Console) deleteSegment(r *request) error {
	s, found := c.findSegment(r)
	if !found {
		return notFound()
	}
	return c.done(r, "segment.delete", "segment "+s.Name, func() error { return r.publisher.DeleteSegment(r.Context(), s.Name) })
}
