package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/plugins/connector"
)

var errTooLong = errors.New("longer than a push may be")

// payload is what two service workers understand: cloister-sw.js the fields of
// the first part, CleverTap's (clevertap-web-sdk 2.5.2) title and the fields of
// the second.
type payload struct {
	Title   string            `json:"title"`
	Body    string            `json:"body,omitempty"`
	Icon    string            `json:"icon,omitempty"`
	Image   string            `json:"image,omitempty"`
	Tag     string            `json:"tag,omitempty"`
	Link    string            `json:"link,omitempty"`
	Seen    string            `json:"seen,omitempty"`
	Actions []action          `json:"actions,omitempty"`
	Data    map[string]string `json:"data,omitempty"`

	Options  *options `json:"notificationOptions,omitempty"`
	DeepLink string   `json:"deepLink,omitempty"`
	Viewed   string   `json:"raiseNotificationViewedPath,omitempty"`
	Redirect string   `json:"redirectPath,omitempty"`
}

type action struct {
	Action string `json:"action"`
	Title  string `json:"title"`
	Link   string `json:"link,omitempty"`
}

// options is what CleverTap's worker hands to showNotification.
type options struct {
	Body    string            `json:"body,omitempty"`
	Icon    string            `json:"icon,omitempty"`
	Image   string            `json:"image,omitempty"`
	Tag     string            `json:"tag,omitempty"`
	Actions []deepAction      `json:"actions,omitempty"`
	Data    map[string]string `json:"data"`
}

type deepAction struct {
	Action   string `json:"action"` // action1, action2
	Title    string `json:"title"`
	DeepLink string `json:"deepLink,omitempty"`
}

// nowhere is what CleverTap's worker tells of a click: the link that it opens
// tells already. Without an address it would ask the site for "undefined".
const nowhere = "data:,"

// payloadOf writes a message down for service workers. Where both forms do not
// fit, cloister-sw.js' stands alone.
func payloadOf(m *connector.Message, icon string) ([]byte, error) {
	p := payload{Title: m.Subject, Body: m.Text, Icon: icon, Link: m.Link}
	o := &options{Body: m.Text, Icon: icon, Data: map[string]string{}}
	if p.Title == "" { // a browser's notification has one
		p.Title, p.Body, o.Body = m.Text, "", ""
	}
	for _, h := range m.Data {
		if p.Data == nil {
			p.Data = map[string]string{}
		}
		p.Data[h.Name], o.Data[h.Name] = h.Value, h.Value
	}
	if x := m.Push; x != nil {
		p.Image, p.Tag, p.Seen = x.Image, x.Collapse, x.Seen
		for i, b := range x.Buttons {
			p.Actions = append(p.Actions, action{b.ID, b.Title, b.Link})
			o.Actions = append(o.Actions, deepAction{fmt.Sprintf("action%d", i+1), b.Title, b.Link})
		}
		o.Image, o.Tag = p.Image, p.Tag
	}
	o.Data["wzrk_id"] = m.ID
	alone, err := encode(p)
	if err != nil {
		return nil, err
	}
	p.Options, p.DeepLink, p.Viewed, p.Redirect = o, p.Link, p.Seen, nowhere
	both, err := encode(p)
	switch {
	case err != nil:
		return nil, err
	case len(both) <= maxPlain:
		return both, nil
	case len(alone) <= maxPlain:
		return alone, nil
	}
	return nil, errTooLong
}

// encode is JSON without the escapes for HTML, which only take room.
func encode(p payload) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("a payload: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
