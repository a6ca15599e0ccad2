package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	maxPayload  = 4096 // bytes, by Apple
	maxCollapse = 64   // bytes, by Apple
)

// alert and aps are Apple's part of a payload.
type alert struct {
	Title    string `json:"title,omitempty"`
	Subtitle string `json:"subtitle,omitempty"`
	Body     string `json:"body,omitempty"`
}

type aps struct {
	Alert            *alert `json:"alert,omitempty"`
	Badge            *int   `json:"badge,omitempty"`
	Sound            string `json:"sound,omitempty"`
	Category         string `json:"category,omitempty"`
	Thread           string `json:"thread-id,omitempty"`
	MutableContent   int    `json:"mutable-content,omitempty"`
	ContentAvailable int    `json:"content-available,omitempty"`
}

var device = regexp.MustCompile(`^[0-9A-Fa-f]{8,400}$`)

// compose makes headers and body of a message, or says why there are none.
func (c *config) compose(m *connector.Message, now time.Time) (http.Header, []byte, *connector.Outcome) {
	no := func(o connector.Outcome) (http.Header, []byte, *connector.Outcome) { return nil, nil, &o }
	switch {
	case m.Channel != "push" || m.Platform != "apns" && m.Platform != "":
		return no(refused(connector.ClassConfig, "this connector sends to Apple's devices only"))
	case !device.MatchString(m.To):
		return no(gone(connector.GoneInvalid, "not a device token of Apple's"))
	case !m.Expires.IsZero() && !m.Expires.After(now):
		return no(refused(connector.ClassOther, "expired"))
	}
	p := m.Push
	if p == nil {
		p = &connector.Push{}
	}
	h := http.Header{"Content-Type": {"application/json"}}
	set := func(name, value string) { h[http.CanonicalHeaderKey(name)] = []string{value} }
	set("apns-topic", c.topic)
	set("apns-id", uuid(m.ID))
	set("apns-push-type", "alert")
	set("apns-priority", "5")
	if p.Urgent {
		set("apns-priority", "10")
	}
	if !m.Expires.IsZero() {
		set("apns-expiration", strconv.FormatInt(m.Expires.Unix(), 10))
	}
	if p.Collapse != "" {
		set("apns-collapse-id", collapseID(p.Collapse))
	}
	body := map[string]any{}
	for _, d := range m.Data {
		if d.Name == "aps" || d.Name == "" {
			return no(refused(connector.ClassContent, "the key aps is Apple's own"))
		}
		body[d.Name] = d.Value
	}
	clever := c.form == formCleverTap
	if clever {
		body["W$id"], body["W$dt"] = m.ID, "APPLE"
		if c.clever != "" {
			body["wzrk_acct_id"] = c.clever
		}
	} else {
		body["cloister_id"] = m.ID
	}
	if p.Silent {
		set("apns-push-type", "background")
		set("apns-priority", "5") // Apple refuses 10
		body["aps"] = aps{ContentAvailable: 1}
	} else {
		a := aps{Alert: &alert{m.Subject, p.Subtitle, m.Text}, Badge: p.Badge, Sound: p.Sound, Category: p.Category, Thread: p.Thread}
		if p.Image != "" {
			a.MutableContent = 1
		}
		body["aps"] = a
		image, link := "cloister_image", "cloister_link"
		if clever {
			image, link = "ct_mediaUrl", "wzrk_dl"
			if p.Image != "" {
				body["ct_mediaType"] = "image"
			}
		}
		if p.Image != "" {
			body[image] = p.Image
		}
		if m.Link != "" {
			body[link] = m.Link
		}
	}
	raw, err := encode(body)
	if err != nil {
		return no(refused(connector.ClassContent, "it cannot be written as JSON"))
	}
	if len(raw) > maxPayload {
		return no(refused(connector.ClassContent, fmt.Sprintf("too long: %d bytes, Apple takes %d", len(raw), maxPayload)))
	}
	return h, raw, nil
}

// uuid is a message's id as Apple wants one (RFC 9562, version 8): the same for
// the same message.
func uuid(id string) string {
	sum := sha256.Sum256([]byte(id))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	x := hex.EncodeToString(b)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

var printable = regexp.MustCompile(`^[!-~]+( [!-~]+)*$`)

// collapseID is a key as Apple takes it: what is too long, or no header, is
// hashed, and still the same for the same key.
func collapseID(key string) string {
	if len(key) <= maxCollapse && printable.MatchString(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// encode is JSON without the escapes for HTML, which only take room.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("a payload: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
