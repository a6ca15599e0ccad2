package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/query"
)

type rfmJSON struct {
	Name     string          `json:"name"`
	Question json.RawMessage `json:"question"`
}

func (c *Console) rfms(r *request) error {
	out := []rfmJSON{}
	for _, s := range r.publisher.RFMs() {
		out = append(out, rfmJSON(s))
	}
	return ok(r, map[string]any{"rfms": out})
}

func (c *Console) findRFM(r *request) (RFM, error) {
	all := r.publisher.RFMs()
	i := slices.IndexFunc(all, func(s RFM) bool { return s.Name == r.PathValue("name") })
	if i < 0 {
		return RFM{}, notFound()
	}
	return all[i], nil
}

func (c *Console) rfm(r *request) error {
	s, err := c.findRFM(r)
	if err != nil {
		return err
	}
	return c.answerRFM(r, s)
}

// answerRFM adds the groups as of now.
func (c *Console) answerRFM(r *request, s RFM) error {
	var question map[string]json.RawMessage
	if err := json.Unmarshal(s.Question, &question); err != nil {
		return err
	}
	question["kind"] = json.RawMessage(`"rfm"`)
	var groups struct {
		Groups json.RawMessage `json:"groups"`
	}
	if err := c.ask(r, question, &groups); err != nil {
		return err
	}
	return ok(r, struct {
		rfmJSON
		Groups json.RawMessage `json:"groups"`
	}{rfmJSON(s), groups.Groups})
}

func (c *Console) putRFM(r *request) error {
	name, err := savedName(r, "rfm")
	if err != nil {
		return err
	}
	var in struct {
		Question json.RawMessage `json:"question"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if len(in.Question) == 0 || string(in.Question) == "null" {
		return &problem{status: http.StatusBadRequest, Code: "missing", Path: "question", Message: "which? a question of kind rfm is needed"}
	}
	s := RFM{Name: name, Question: in.Question}
	err = c.change(r, "rfm.change", "rfm "+name, func() error { return r.publisher.SaveRFM(r.Context(), s) })
	if err != nil {
		return inQuestion(err)
	}
	return c.answerRFM(r, s)
}

// inQuestion leads a path from the body to the question in it.
func inQuestion(err error) error {
	var bad *query.Error
	if !errors.As(err, &bad) || bad.Path == "name" {
		return err
	}
	p := problemOf(err)
	p.Path = strings.TrimSuffix("question."+bad.Path, ".")
	return p
}

func (c *Console) deleteRFM(r *request) error {
	s, err := c.findRFM(r)
	if err != nil {
		return err
	}
	return c.done(r, "rfm.delete", "rfm "+s.Name, func() error { return r.publisher.DeleteRFM(r.Context(), s.Name) })
}
