package delivery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cloisterhq/cloister/appliance/liquid"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// Push is what only a push has, as campaign.Push says; Subtitle, Image, Badge,
// Links, Data and the titles and links of buttons are Liquid. It is JSON where
// it goes with an intention of its own content.
type Push struct {
	Subtitle string            `json:"subtitle"`
	Image    string            `json:"image"`
	Badge    string            `json:"badge"`
	Links    map[string]string `json:"links"` // by platform
	Buttons  []Button          `json:"buttons"`
	Data     map[string]string `json:"data"`
	Sound    string            `json:"sound"`
	Channel  string            `json:"channel"`
	Category string            `json:"category"`
	Thread   string            `json:"thread"`
	Collapse string            `json:"collapse"`
	Urgent   bool              `json:"urgent"`
	Silent   bool              `json:"silent"`
}

// Button is an action of a push.
type Button struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Link  string `json:"link"`
}

// pushSet is a Push with its templates parsed; p is nil where there is none.
type pushSet struct {
	p                      *Push
	subtitle, image, badge part
	links                  map[string]part
	buttons                []buttonSet
	data                   []part // by name
}

type buttonSet struct{ title, link part }

func (s *templateSet) silent() bool { return s.push.p != nil && s.push.p.Silent }

func parsePush(p *Push) (s pushSet, err error) {
	if s.p = p; p == nil {
		return s, nil
	}
	parse := func(name, src string) part {
		x := part{name: name}
		if src == "" || err != nil {
			return x
		}
		t, e := liquid.Parse(src)
		if e != nil {
			err = fmt.Errorf("%s: %w", name, e)
		}
		x.t = t
		return x
	}
	s.subtitle, s.image, s.badge = parse("subtitle", p.Subtitle), parse("image", p.Image), parse("badge", p.Badge)
	s.links = map[string]part{}
	for _, k := range slices.Sorted(maps.Keys(p.Links)) {
		s.links[k] = parse("link", p.Links[k])
	}
	for _, b := range p.Buttons {
		s.buttons = append(s.buttons, buttonSet{parse("title of button "+b.ID, b.Title), parse("link of button "+b.ID, b.Link)})
	}
	for _, k := range slices.Sorted(maps.Keys(p.Data)) {
		s.data = append(s.data, parse(k, p.Data[k]))
	}
	return s, err
}

var (
	errOpens = errors.New("not an address that may be opened")
	errImage = errors.New("not an https address")
	errBadge = errors.New("not a number from 0 to 99999")
)

// leads renders a link of a push; one to a web page goes by way of ours, where
// clicks may be tracked.
func (d *Delivery) leads(e *entry, fill *filler, name string, p part) string {
	link := fill.header(name, p, liquid.URL)
	switch {
	case link == "":
	case !opens(link):
		fill.fail(fmt.Errorf("%s: %w", name, errOpens))
	case e.tracked && web(link):
		e.targets = append(e.targets, link)
		return d.o.Links.Click(e.rec.Message, len(e.targets)-1)
	}
	return link
}

// push renders what only a push has.
func (d *Delivery) push(e *entry, fill *filler, s *pushSet, m *connector.Message) {
	// Apps tell by their libraries what they showed, browsers by this.
	seen := ""
	if e.tracked && m.Platform == "webpush" {
		seen = d.o.Links.Open(e.rec.Message)
		m.Push = &connector.Push{Seen: seen}
	}
	if s.p == nil {
		return
	}
	p := &connector.Push{
		Subtitle: fill.header("subtitle", s.subtitle, liquid.Line), Image: fill.header("image", s.image, liquid.URL),
		Sound: s.p.Sound, Channel: s.p.Channel, Category: s.p.Category, Thread: s.p.Thread, Collapse: s.p.Collapse,
		Urgent: s.p.Urgent, Silent: s.p.Silent, Seen: seen,
	}
	if p.Image != "" && !(strings.HasPrefix(p.Image, "https://") && web(p.Image)) {
		fill.fail(fmt.Errorf("image: %w", errImage))
	}
	if text := fill.header("badge", s.badge, liquid.Line); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > 99999 {
			fill.fail(fmt.Errorf("badge: %w", errBadge))
		}
		badge := int(n)
		p.Badge = &badge
	}
	for i, b := range s.buttons {
		p.Buttons = append(p.Buttons, connector.Button{
			ID: s.p.Buttons[i].ID, Title: fill.header(b.title.name, b.title, liquid.Line), Link: d.leads(e, fill, b.link.name, b.link),
		})
	}
	for _, x := range s.data {
		m.Data = append(m.Data, connector.Header{Name: x.name, Value: fill.text(x, liquid.None)})
	}
	m.Push = p
}
