package console

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func (c *Console) connectors(r *request) error {
	return ok(r, map[string]any{"connectors": list(r.publisher.Connectors())})
}

func (c *Console) checkConnector(r *request) error {
	if err := known(r); err != nil {
		return err
	}
	name := r.PathValue("name")
	type result struct {
		OK      bool   `json:"ok"`
		Problem string `json:"problem,omitempty"`
	}
	var out result
	err := c.change(r, "connector.check", "connector "+clip(name, 64), func() error {
		err := r.publisher.CheckConnector(r.Context(), name)
		if err == nil || errors.Is(err, ErrNotFound) {
			out.OK = err == nil
			return err
		}
		out.Problem = clip(err.Error(), 1000)
		return nil
	})
	if err != nil {
		return err
	}
	return ok(r, out)
}

func (c *Console) pauseConnector(r *request) error {
	return c.changeConnector(r, "connector.pause", r.publisher.PauseConnector)
}

func (c *Console) resumeConnector(r *request) error {
	return c.changeConnector(r, "connector.resume", r.publisher.ResumeConnector)
}

func (c *Console) changeConnector(r *request, action string, do func(name string) error) error {
	name := r.PathValue("name")
	if err := c.change(r, action, "connector "+clip(name, 64), func() error { return do(name) }); err != nil {
		return err
	}
	one, err := connectorOf(r)
	if err != nil {
		return err
	}
	return ok(r, one)
}

// connectorOf is the connector that a request is about.
func connectorOf(r *request) (Connector, error) {
	for _, one := range r.publisher.Connectors() {
		if one.Name == r.PathValue("name") {
			return one, nil
		}
	}
	return Connector{}, ErrNotFound
}

const (
	// drainTime is how long a request waits until a connector is drained.
	drainTime = 20 * time.Second
	drainLook = 50 * time.Millisecond
)

// drainConnector pauses a connector and waits until it answered all that it was
// given, or for a while: the answer says how much that is.
func (c *Console) drainConnector(r *request) error {
	name := r.PathValue("name")
	if err := c.change(r, "connector.drain", "connector "+clip(name, 64), func() error { return r.publisher.PauseConnector(name) }); err != nil {
		return err
	}
	look := time.NewTicker(drainLook)
	defer look.Stop()
	end := time.After(drainTime)
	for {
		one, err := connectorOf(r)
		if err != nil {
			return err
		}
		if one.InFlight == 0 {
			return ok(r, one)
		}
		select {
		case <-look.C:
		case <-end:
			return ok(r, one)
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

func (c *Console) mailbox(r *request) error {
	if err := known(r, "limit"); err != nil {
		return err
	}
	limit, err := number(r, "limit", 50, 1, 500)
	if err != nil {
		return err
	}
	if err := c.record(r, "mailbox.read", "", ""); err != nil {
		return err
	}
	mails, err := r.publisher.Mailbox(r.Context(), int(limit))
	if err != nil {
		return err
	}
	return ok(r, map[string]any{"messages": list(mails)})
}

// mailPage gives a mail's own HTML, for a frame.
func (c *Console) mailPage(r *request) error {
	if err := c.record(r, "mailbox.read", "message "+clip(r.PathValue("id"), 64), ""); err != nil {
		return err
	}
	m, err := r.publisher.Mail(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	h := r.w.Header()
	h.Set("Content-Security-Policy", mailPolicy)
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Content-Type", "text/html; charset=utf-8")
	// Its links open in a window of their own, which the policy lets out.
	page := append([]byte(`<!doctype html><base target="_blank">`), m.HTML...)
	if m.HTML == "" {
		page = append([]byte(`<!doctype html><meta charset="utf-8"><pre>`), escapeHTML(m.Text)...)
	}
	h.Set("Content-Length", strconv.Itoa(len(page)))
	_, _ = r.w.Write(page)
	return nil
}

func escapeHTML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(s)
}

func (c *Console) importEvents(r *request) error   { return c.importLines(r, "events") }
func (c *Console) importProfiles(r *request) error { return c.importLines(r, "profiles") }

// maxSource bounds the name that an import gives its file.
const maxSource = 64

func checkSource(source string) error {
	if len(source) > maxSource || strings.Trim(source, "0123456789abcdef") != "" {
		return badValue("source", "at most 64 of 0-9 and a-f")
	}
	return nil
}

func (c *Console) importLines(r *request, kind string) error {
	if err := known(r, "source", "line"); err != nil {
		return err
	}
	line, err := number(r, "line", 1, 1, 1<<53)
	if err != nil {
		return err
	}
	source := r.URL.Query().Get("source")
	if err := checkSource(source); err != nil {
		return err
	}
	leave, err := c.enter()
	if err != nil {
		return err
	}
	defer leave()
	var out Imported
	err = c.change(r, "import."+kind, "source "+source+" line "+strconv.FormatInt(line, 10), func() error {
		out, err = r.publisher.Import(r.Context(), kind, Import{Source: source, Line: line, Body: bytes.NewReader(r.body)})
		return err
	})
	if err != nil {
		return err
	}
	return answer(r.w, http.StatusOK, Imported{Taken: out.Taken, Refused: list(out.Refused)})
}
