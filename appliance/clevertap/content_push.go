package clevertap

import (
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

// pushFields are what platform_specific calls the fields of a campaign.Push.
var pushFields = map[string]func(*campaign.Push) *string{
	"subtitle":         func(p *campaign.Push) *string { return &p.Subtitle },
	"background_image": func(p *campaign.Push) *string { return &p.Image },
	"image":            func(p *campaign.Push) *string { return &p.Image },
	"ct_mediaUrl":      func(p *campaign.Push) *string { return &p.Image },
	"badge_count":      func(p *campaign.Push) *string { return &p.Badge },
	"sound_file":       func(p *campaign.Push) *string { return &p.Sound },
	"wzrk_cid":         func(p *campaign.Push) *string { return &p.Channel },
	"category":         func(p *campaign.Push) *string { return &p.Category },
	"thread-id":        func(p *campaign.Push) *string { return &p.Thread },
	"wzrk_ck":          func(p *campaign.Push) *string { return &p.Collapse },
}

// looks are fields of the vendor's about how a push looks, and no keys for the
// app: without them it says the same.
var looks = []string{
	"mutable-content", "content-available", "large_icon", "icon", "ttl", "require_interaction", "default_sound", "enable_rendermax",
	"badge_id", "badge_icon", "cta_iconlink1", "cta_iconlink2", "background", "rich_media", "wzrk_rnv",
}

// cta is a button of a web push: cta_title1, cta_link1.
var cta = regexp.MustCompile(`^cta_(title|link)([1-3])$`)

// platforms reads what differs between platforms. Links may; of everything else
// a message has one, and where two platforms have two they take a target each.
func (r *reader) platforms(m mode, v event.Value, out *campaign.Content) error {
	const path = "content.platform_specific"
	if v.IsNull() {
		return nil
	}
	if v.Kind() != event.Object {
		return wrong(path + ": an object is needed")
	}
	var push campaign.Push
	buttons := map[string]*campaign.Button{}
	links := map[string]string{}
	from := map[*string]string{}
	set := func(to *string, at, value string) error {
		if *to != "" && *to != value {
			return wrong("%s: another than that of %s; a message has one: make a target for each, with devices", at, from[to])
		}
		*to, from[to] = value, at
		return nil
	}
	data := map[string]*string{}
	for _, p := range v.Object() {
		at := path + "." + clip(p.Key, 64)
		platform, ok := deviceNames[strings.ToLower(p.Key)]
		if !ok || p.Value.Kind() != event.Object {
			return wrong("%s: an object for android, ios, chrome, firefox, safari, edge or web is needed", at)
		}
		if !slices.Contains(m.platforms, platform) {
			r.ignore(at)
			continue
		}
		for _, f := range p.Value.Object() {
			at := join(at, clip(f.Key, 64))
			value := idText(f.Value)
			field, button := pushFields[f.Key], cta.FindStringSubmatch(f.Key)
			var err error
			switch {
			case f.Value.IsNull():
			case f.Key == "default_sound" && f.Value.String() == "true":
				err = set(&push.Sound, at, "default")
			case slices.Contains(looks, f.Key), campaign.ReservedData(f.Key) && field == nil:
				r.ignore(at)
			case value == "":
				if f.Value.Kind() != event.Text {
					return wrong("%s: a text or a number is needed", at)
				}
			case f.Key == "deep_link", f.Key == "on_click":
				if l := links[platform]; l != "" && l != value {
					return wrong("%s: another link than %s; a message has one on each platform: make a target for each", at, clip(l, 64))
				}
				links[platform] = value
			case field != nil:
				err = set(field(&push), at, value)
			case button != nil:
				b := buttons[button[2]]
				if b == nil {
					b = &campaign.Button{ID: "cta" + button[2]}
					buttons[button[2]] = b
				}
				if button[1] == "title" {
					err = set(&b.Title, at, value)
				} else {
					err = set(&b.Link, at, value)
				}
			default:
				if data[f.Key] == nil {
					data[f.Key] = new(string)
				}
				err = set(data[f.Key], at, value)
			}
			if err != nil {
				return err
			}
		}
	}
	// The first platform's link is everybody's, who have no other.
	for _, platform := range m.platforms {
		switch l := links[platform]; {
		case l == "" || l == out.Link:
		case out.Link == "":
			out.Link = l
		default:
			if push.Links == nil {
				push.Links = map[string]string{}
			}
			push.Links[platform] = l
		}
	}
	for _, n := range []string{"1", "2", "3"} {
		if b := buttons[n]; b != nil {
			push.Buttons = append(push.Buttons, *b)
		}
	}
	for key, value := range data {
		if push.Data == nil {
			push.Data = map[string]string{}
		}
		push.Data[key] = *value
	}
	if !push.Empty() {
		out.Push = &push
	}
	return nil
}
