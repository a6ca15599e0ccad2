package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	maxPayload = 4096                // bytes of what the app gets, by FCM
	maxTTL     = 28 * 24 * time.Hour // by FCM; also what it takes without one
	maxToken   = 4096
)

// The keys of data in the form "notification".
const (
	keyID      = "cloister_id"      // the message's
	keyLink    = "cloister_link"    // what a tap opens
	keyButtons = "cloister_buttons" // JSON: [{"id","title","link"}]
)

// request is the body of messages:send.
type request struct {
	ValidateOnly bool    `json:"validate_only,omitempty"`
	Message      message `json:"message"`
}

type message struct {
	Token        string            `json:"token,omitempty"`
	Topic        string            `json:"topic,omitempty"`
	Notification *notification     `json:"notification,omitempty"`
	Data         map[string]string `json:"data,omitempty"`
	Android      *android          `json:"android,omitempty"`
	APNs         *apns             `json:"apns,omitempty"`
}

type notification struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
	Image string `json:"image,omitempty"`
}

type android struct {
	Priority     string               `json:"priority"`
	TTL          string               `json:"ttl,omitempty"`
	CollapseKey  string               `json:"collapse_key,omitempty"`
	Notification *androidNotification `json:"notification,omitempty"`
}

type androidNotification struct {
	Channel string `json:"channel_id,omitempty"`
	Sound   string `json:"sound,omitempty"`
	Tag     string `json:"tag,omitempty"` // the next one with it takes this one's place
	Count   *int   `json:"notification_count,omitempty"`
}

// apns is for apps on iOS that registered with FCM.
type apns struct {
	Headers map[string]string `json:"headers,omitempty"`
	Payload apnsPayload       `json:"payload"`
}

type apnsPayload struct {
	APS aps `json:"aps"`
}

type aps struct {
	Alert            *apnsAlert `json:"alert,omitempty"`
	Badge            *int       `json:"badge,omitempty"`
	Sound            string     `json:"sound,omitempty"`
	Category         string     `json:"category,omitempty"`
	Thread           string     `json:"thread-id,omitempty"`
	MutableContent   int        `json:"mutable-content,omitempty"`
	ContentAvailable int        `json:"content-available,omitempty"`
}

type apnsAlert struct {
	Title    string `json:"title,omitempty"`
	Subtitle string `json:"subtitle,omitempty"`
	Body     string `json:"body,omitempty"`
}

var (
	token    = regexp.MustCompile(`^[A-Za-z0-9_:.=-]+$`)
	reserved = regexp.MustCompile(`^(from|notification|message_type|collapse_key|google.*|gcm.*)$`)
)

// compose makes the request of a message, or says why there is none.
func (c *config) compose(m *connector.Message, now time.Time) ([]byte, *connector.Outcome) {
	no := func(o connector.Outcome) ([]byte, *connector.Outcome) { return nil, &o }
	switch {
	case m.Channel != "push" || m.Platform != "fcm" && m.Platform != "":
		return no(refused(connector.ClassConfig, "this connector sends to devices of FCM only"))
	case !token.MatchString(m.To) || len(m.To) > maxToken:
		return no(gone(connector.GoneInvalid, "not a token of FCM"))
	case !m.Expires.IsZero() && !m.Expires.After(now):
		return no(refused(connector.ClassOther, "expired"))
	}
	p := m.Push
	if p == nil {
		p = &connector.Push{}
	}
	x := message{Token: m.To, Data: map[string]string{}, Android: &android{Priority: "NORMAL", CollapseKey: p.Collapse}}
	if p.Urgent {
		x.Android.Priority = "HIGH"
	}
	if !m.Expires.IsZero() {
		ttl := min(m.Expires.Sub(now), maxTTL)
		x.Android.TTL = strconv.FormatInt(int64(ttl/time.Second), 10) + "s"
	}
	for _, h := range m.Data {
		if reserved.MatchString(h.Name) || h.Name == "" {
			return no(refused(connector.ClassContent, "FCM keeps the key "+h.Name+" for itself"))
		}
		x.Data[h.Name] = h.Value
	}
	switch {
	case c.form == formCleverTap:
		c.cleverTap(&x, m, p, now)
	case p.Silent:
		x.Data[keyID] = m.ID
		x.APNs = &apns{Headers: map[string]string{"apns-push-type": "background", "apns-priority": "5"}, Payload: apnsPayload{APS: aps{ContentAvailable: 1}}}
	default:
		c.shown(&x, m, p)
	}
	if n := x.size(); n > maxPayload {
		return no(refused(connector.ClassContent, fmt.Sprintf("too long: %d bytes, FCM takes %d", n, maxPayload)))
	}
	body, err := encode(request{Message: x})
	if err != nil {
		return no(refused(connector.ClassContent, "it cannot be written as JSON"))
	}
	return body, nil
}

// shown has the system show a message. A tap opens the app, which finds the
// rest in the data.
func (c *config) shown(x *message, m *connector.Message, p *connector.Push) {
	x.Notification = &notification{Title: m.Subject, Body: m.Text, Image: p.Image}
	x.Data[keyID] = m.ID
	if m.Link != "" {
		x.Data[keyLink] = m.Link
	}
	if len(p.Buttons) > 0 {
		type button struct {
			ID    string `json:"id"`
			Title string `json:"title"`
			Link  string `json:"link,omitempty"`
		}
		var all []button
		for _, b := range p.Buttons {
			all = append(all, button(b))
		}
		x.Data[keyButtons] = text(all)
	}
	x.Android.Notification = &androidNotification{Channel: or(p.Channel, c.channel), Sound: p.Sound, Tag: p.Collapse, Count: p.Badge}
	a := aps{Badge: p.Badge, Sound: p.Sound, Category: p.Category, Thread: p.Thread}
	if p.Subtitle != "" {
		a.Alert = &apnsAlert{m.Subject, p.Subtitle, m.Text}
	}
	if p.Image != "" {
		a.MutableContent = 1
	}
	headers := map[string]string{}
	if p.Collapse != "" && len(p.Collapse) <= 64 {
		headers["apns-collapse-id"] = p.Collapse
	}
	if len(headers) > 0 || a != (aps{}) {
		x.APNs = &apns{Headers: headers, Payload: apnsPayload{APS: a}}
	}
}

// cleverTap gives a message to CleverTap's SDK, which shows it and tells of
// taps by the keys that begin with wzrk_ (clevertap-android-sdk, Constants).
func (c *config) cleverTap(x *message, m *connector.Message, p *connector.Push, now time.Time) {
	set := func(key, value string) {
		if value != "" {
			x.Data[key] = value
		}
	}
	x.Data["wzrk_pn"] = "true"
	x.Data["wzrk_id"] = m.ID
	x.Data["wzrk_pid"] = m.ID
	set("wzrk_acct_id", c.clever)
	if p.Silent {
		x.Data["wzrk_pn_s"] = "true"
		return
	}
	set("nt", m.Subject)
	set("nm", m.Text)
	set("wzrk_st", p.Subtitle)
	set("wzrk_dl", m.Link)
	set("wzrk_bp", p.Image)
	set("wzrk_cid", or(p.Channel, c.channel))
	set("wzrk_sound", p.Sound)
	set("wzrk_ck", p.Collapse)
	if p.Sound == "default" {
		x.Data["wzrk_sound"] = "true"
	}
	if p.Badge != nil {
		x.Data["wzrk_bc"] = strconv.Itoa(*p.Badge)
	}
	if p.Urgent {
		x.Data["pr"] = "high"
	}
	ends := now.Add(maxTTL)
	if !m.Expires.IsZero() {
		ends = m.Expires
	}
	x.Data["wzrk_ttl"] = strconv.FormatInt(ends.Unix(), 10)
	if len(p.Buttons) > 0 {
		type action struct {
			Label string `json:"l"`
			Link  string `json:"dl,omitempty"`
			ID    string `json:"id"`
			Close bool   `json:"ac"`
		}
		var all []action
		for _, b := range p.Buttons {
			all = append(all, action{b.Title, b.Link, b.ID, true})
		}
		x.Data["wzrk_acts"] = text(all)
	}
}

// size is the payload as FCM counts it: keys and values of what the app gets.
func (x *message) size() int {
	n := 0
	for k, v := range x.Data {
		n += len(k) + len(v)
	}
	if o := x.Notification; o != nil {
		n += len(o.Title) + len(o.Body) + len(o.Image)
	}
	return n
}

// probe asks whether FCM knows a token, sending nothing.
func probe(to string) []byte {
	body, _ := encode(request{ValidateOnly: true, Message: message{Token: to}})
	return body
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

// text is a list of texts as JSON.
func text(v any) string {
	b, _ := encode(v) // texts can always be encoded
	return string(b)
}

func or(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}
