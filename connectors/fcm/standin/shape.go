package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// shape is what a JSON value may be: a map of what an object may hold, or one
// of the words below.
type shape any

const (
	isText   = "text"
	isBool   = "bool"
	isNumber = "number"
	isTexts  = "map of texts"
	isAny    = "object"
)

// request is the body of messages:send, as the reference of FCM lists it.
var request = map[string]shape{
	"validate_only": isBool,
	"message": map[string]shape{
		"token": isText, "topic": isText, "condition": isText, "name": isText,
		"data":         isTexts,
		"notification": map[string]shape{"title": isText, "body": isText, "image": isText},
		"android": map[string]shape{
			"collapse_key": isText, "priority": isText, "ttl": isText, "restricted_package_name": isText, "data": isTexts, "direct_boot_ok": isBool,
			"notification": map[string]shape{
				"title": isText, "body": isText, "icon": isText, "color": isText, "sound": isText, "tag": isText, "click_action": isText,
				"channel_id": isText, "ticker": isText, "sticky": isBool, "local_only": isBool, "notification_priority": isText,
				"visibility": isText, "notification_count": isNumber, "image": isText, "default_sound": isBool,
			},
			"fcm_options": map[string]shape{"analytics_label": isText},
		},
		"webpush":     map[string]shape{"headers": isTexts, "data": isTexts, "notification": isAny, "fcm_options": isAny},
		"apns":        map[string]shape{"headers": isTexts, "payload": isAny, "fcm_options": isAny},
		"fcm_options": map[string]shape{"analytics_label": isText},
	},
}

// fits says which field of v, if any, is not of its shape.
func fits(path string, v any, s shape) (field, why string) {
	wrong := func() (string, string) {
		return path, fmt.Sprintf("Invalid value at '%s' (%v)", path, s)
	}
	ok := true
	switch s {
	case isText:
		_, ok = v.(string)
	case isBool:
		_, ok = v.(bool)
	case isNumber:
		_, ok = v.(json.Number)
	case isAny:
		_, ok = v.(map[string]any)
	case isTexts:
		var m map[string]any
		if m, ok = v.(map[string]any); ok {
			for k, x := range m {
				if _, text := x.(string); !text {
					return path, fmt.Sprintf("Invalid value at '%s[%s]' (TYPE_STRING)", path, k)
				}
			}
		}
	default:
		known := s.(map[string]shape)
		m, is := v.(map[string]any)
		if !is {
			return wrong()
		}
		for k, x := range m {
			inner, there := known[k]
			if !there {
				return strings.TrimPrefix(path+"."+k, "."), fmt.Sprintf("Invalid JSON payload received. Unknown name %q at '%s': Cannot find field.", k, path)
			}
			if field, why := fits(strings.TrimPrefix(path+"."+k, "."), x, inner); why != "" {
				return field, why
			}
		}
	}
	if !ok {
		return wrong()
	}
	return "", ""
}

var (
	ttl      = regexp.MustCompile(`^(\d{1,7})(\.\d{1,9})?s$`)
	keptKeys = regexp.MustCompile(`^(from|message_type|google.*|gcm.*)$`)
	aToken   = regexp.MustCompile(`^[0-9A-Za-z_:-]{20,}$`)
	aTopic   = regexp.MustCompile(`^[a-zA-Z0-9-_.~%]+$`)
)

// parse reads and checks a request.
func parse(body []byte) (m Message, field, why string) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var raw map[string]any
	if err := d.Decode(&raw); err != nil {
		return m, "", "Invalid JSON payload received. " + err.Error()
	}
	if _, err := d.Token(); err != io.EOF {
		return m, "", "Invalid JSON payload received. End of input expected."
	}
	if field, why = fits("", raw, request); why != "" {
		return m, field, why
	}
	m.ValidateOnly, _ = raw["validate_only"].(bool)
	msg, ok := raw["message"].(map[string]any)
	if !ok {
		return m, "message", "Message is missing"
	}
	m.Raw = msg
	targets := 0
	for _, k := range []string{"token", "topic", "condition"} {
		if msg[k] != nil {
			targets++
		}
	}
	if targets != 1 {
		return m, "message", "Exactly one of token, topic and condition must be there"
	}
	if t, ok := msg["topic"].(string); ok && !aTopic.MatchString(t) {
		return m, "message.topic", "Invalid topic"
	}
	if t, there := msg["token"].(string); there {
		if m.Token = t; !aToken.MatchString(t) {
			return m, "message.token", "Invalid registration token"
		}
	}
	size := 0
	m.Data = map[string]string{}
	if data, ok := msg["data"].(map[string]any); ok {
		for k, v := range data {
			if keptKeys.MatchString(k) || k == "" {
				return m, "message.data[0].key", "Invalid data payload key: " + k
			}
			m.Data[k] = v.(string)
			size += len(k) + len(v.(string))
		}
	}
	if n, ok := msg["notification"].(map[string]any); ok {
		for _, v := range n {
			size += len(v.(string))
		}
		if i, ok := n["image"].(string); ok && i != "" && !strings.HasPrefix(i, "https://") && !strings.HasPrefix(i, "http://") {
			return m, "message.notification.image", "Invalid image"
		}
	}
	if size > 4096 {
		return m, "message.data", "Android message is too big"
	}
	if a, ok := msg["android"].(map[string]any); ok {
		if p, ok := a["priority"].(string); ok && p != "HIGH" && p != "NORMAL" && p != "high" && p != "normal" {
			return m, "message.android.priority", "Invalid priority"
		}
		if t, ok := a["ttl"].(string); ok {
			parts := ttl.FindStringSubmatch(t)
			if parts == nil || len(parts[1]) == 7 && parts[1] > "2419200" {
				return m, "message.android.ttl", "Invalid ttl"
			}
		}
	}
	if a, ok := msg["apns"].(map[string]any); ok && a["payload"] != nil {
		if _, ok := a["payload"].(map[string]any)["aps"].(map[string]any); !ok {
			return m, "message.apns.payload", "aps is missing"
		}
	}
	return m, "", ""
}
