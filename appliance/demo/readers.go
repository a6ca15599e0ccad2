package demo

import (
	"context"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// readers are the people who get the demo's messages: some open them, some
// click, a few have had enough.
type readers struct {
	o        Options
	rand     *rand.Rand
	noFollow *http.Client
}

const readEvery = 2 * time.Second

func (r *readers) run(ctx context.Context) error {
	t := time.NewTicker(readEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		mails, err := r.o.Mail()
		if err != nil {
			return fmt.Errorf("looking into the demo's mailbox: %w", err)
		}
		for _, m := range mails {
			if err := r.read(ctx, m); err != nil && ctx.Err() == nil {
				// A recipient whose network failed tells nobody.
				r.o.Logger.Debug("a demo recipient could not follow a link", "message", m.ID, "error", err)
			}
		}
	}
}

var (
	pixels = regexp.MustCompile(`<img src="([^"]+)" width="1"`)
	hrefs  = regexp.MustCompile(`href="([^"]+)"`)
)

func (r *readers) read(ctx context.Context, m Mail) error {
	luck := r.rand.Float64()
	if luck > 0.55 {
		return nil
	}
	if at := pixels.FindStringSubmatch(m.HTML); at != nil {
		if err := r.call(ctx, http.MethodGet, html.UnescapeString(at[1]), ""); err != nil {
			return err
		}
	}
	switch {
	case luck < 0.02 && m.Unsubscribe != "":
		return r.call(ctx, http.MethodPost, m.Unsubscribe, "List-Unsubscribe=One-Click")
	case luck < 0.22:
		for _, at := range hrefs.FindAllStringSubmatch(m.HTML, -1) {
			if link := html.UnescapeString(at[1]); strings.Contains(link, "/c/") {
				return r.call(ctx, http.MethodGet, link, "")
			}
		}
		if m.Link != "" {
			return r.call(ctx, http.MethodGet, m.Link, "")
		}
	}
	return nil
}

func (r *readers) call(ctx context.Context, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := r.noFollow.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return err
}
