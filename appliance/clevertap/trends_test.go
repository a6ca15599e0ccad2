package clevertap

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

func (h *house) group(path, query string) string {
	h.t.Helper()
	b, err := json.Marshal(h.ok(path, query)["foo"])
	check(h.t, err)
	return string(b)
}

func TestTrends(t *testing.T) {
	h := open(t)
	shop(h)
	for _, c := range []struct{ name, query, want string }{
		{"daily", `{"event_name":"Viewed","from":20260101,"to":20260103,"groups":{"foo":{"trend_type":"daily"}}}`, `{"20260101":4,"20260102":1,"20260103":0}`},
		{"people", `{"event_name":"Viewed","from":20260101,"to":20260102,"unique":true,"groups":{"foo":{"trend_type":"daily"}}}`, `{"20260101":2,"20260102":1}`},
		{"a sum", `{"event_name":"Charged","from":20260101,"to":20260105,"sum_event_prop":"Amount","groups":{"foo":{"trend_type":"monthly"}}}`, `{"202601":150}`},
		{"weekly", `{"event_name":"Viewed","from":20260101,"to":20260111,"groups":{"foo":{"trend_type":"weekly"}}}`, `{"202601":5,"202602":1}`},
		{"filtered", `{"event_name":"Viewed","from":20260101,"to":20260101,"event_properties":[{"name":"Product","value":"red shoes"}],"groups":{"foo":{"trend_type":"daily"}}}`, `{"20260101":3}`},
		{"first time", `{"event_name":"Viewed","from":20260101,"to":20260102,"session_properties":[{"name":"first_time","value":"True"}],"groups":{"foo":{"trend_type":"daily"}}}`, `{"20260101":2,"20260102":0}`},
		{"again", `{"event_name":"Viewed","from":20260101,"to":20260102,"session_properties":[{"name":"first_time","value":"False"}],"groups":{"foo":{"trend_type":"daily"}}}`, `{"20260101":2,"20260102":1}`},
	} {
		if got := h.group("counts/trends.json", c.query); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
	a := h.ok("counts/trends.json", `{"event_name":"Viewed",`+jan+`,"groups":{"a":{"trend_type":"daily"},"b":{"trend_type":"weekly"},"c":{"trend_type":"monthly"}}}`)
	if len(a["a"].(map[string]any)) != 31 || len(a["b"].(map[string]any)) != 5 || a["c"].(map[string]any)["202601"] != 6.0 || a["req_id"] == "" {
		t.Error(a)
	}
	h.fails("counts/trends.json", `{"event_name":"Viewed",`+jan+`}`, 400, "groups")
	h.fails("counts/trends.json", `{"event_name":"Viewed",`+jan+`,"groups":{"status":{"trend_type":"daily"}}}`, 400, "cannot be a label")
	h.fails("counts/trends.json", `{"event_name":"Viewed",`+jan+`,"groups":{"foo":{"trend_type":"hourly"}}}`, 400, "daily, weekly or monthly")
	h.fails("counts/trends.json", `{"event_name":"Viewed","from":20240101,"to":20260101,"groups":{"foo":{"trend_type":"daily"}}}`, 400, "a year")
	h.fails("counts/trends.json", `{"event_name":"Viewed",`+jan+`,"groups":{"1":{},"2":{},"3":{},"4":{},"5":{},"6":{}}}`, 400, "at most 5")
	h.fails("counts/trends.json", `{`+jan+`,"groups":{"foo":{"trend_type":"daily"}}}`, 400, "event_name")
}

func TestTopValues(t *testing.T) {
	h := open(t)
	shop(h)
	of := func(event, group string) string {
		return `{"event_name":"` + event + `",` + jan + `,"groups":{"foo":` + group + `}}`
	}
	for _, c := range []struct{ name, query, want string }{
		{"most", of("Viewed", `{"property_type":"event_properties","name":"Product","top_n":2}`), `{"STR":{"hats":2,"red shoes":3}}`},
		{"least", of("Viewed", `{"property_type":"event_properties","name":"Product","top_n":1,"order":"asc"}`), `{"STR":{"blue shoes":1}}`},
		{"numbers", of("Viewed", `{"property_type":"event_properties","name":"Price"}`), `{"INT":{"10":3,"15":1,"20":1}}`},
		{"sessions", of("Viewed", `{"property_type":"session_properties","name":"utm_source"}`), `{"STR":{"google":1}}`},
		{"profiles", of("Viewed", `{"property_type":"profile_fields","name":"Plan"}`), `{"STR":{"basic":3,"gold":3}}`},
		{"places", of("Viewed", `{"property_type":"geo_fields","name":"country"}`), `{"STR":{"DE":1,"IN":5}}`},
		{"demographics", of("Viewed", `{"property_type":"demographics","name":"age"}`), `{"INT":{"20":3,"30":2,"40":1}}`},
		{"apps", of("App Launched", `{"property_type":"app_fields","name":"app_version"}`), `{"STR":{"1.2":1}}`},
		{"reach", of("Viewed", `{"property_type":"reachability","name":"has_phone"}`), `{"STR":{"False":1,"True":5}}`},
		{"items", of("Charged", `{"property_type":"event_properties","name":"Items|Category"}`), `{"STR":{"books":2,"pens":1}}`},
	} {
		if got := h.group("counts/top.json", c.query); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
	h.fails("counts/top.json", of("Viewed", `{"property_type":"profile_fields","name":"Email"}`), 400, "identifies people")
	h.fails("counts/top.json", of("Viewed", `{"property_type":"event_properties","name":"Product","top_n":101}`), 400, "top_n")
	h.fails("counts/top.json", of("Viewed", `{"property_type":"moons","name":"Product"}`), 400, "property_type")
	h.fails("counts/top.json", of("Viewed", `{"property_type":"event_properties"}`), 400, "name")
	h.fails("counts/top.json", of("Viewed", `5`), 400, "an object")
}

func TestWhoIsActiveNow(t *testing.T) {
	h := open(t)
	shop(h)
	now := h.now().UnixMicro()
	h.tell(event.Fact{Kind: event.Track, User: "ann", Name: "Viewed", Time: now - 60e6, Props: []event.Prop{text("CT OS", "iOS")}},
		event.Fact{Kind: event.Track, User: "ann", Name: "Viewed", Time: now - 50e6, Props: []event.Prop{text("os", "iOS")}},
		event.Fact{Kind: event.Track, User: "eve", Name: "Viewed", Time: now - 50e6, Props: []event.Prop{text("os", "iOS")}},
		event.Fact{Kind: event.Track, User: "eve", Name: "Viewed", Time: now - 4*60e6},
		event.Fact{Kind: event.Track, User: "bob", Name: "Viewed", Time: now - 6*60e6})
	a := h.ok("now.json", `{"user_type":true,"os":true}`)
	kinds, _ := json.Marshal(a["user_type"])
	os, _ := json.Marshal(a["os"])
	if a["count"] != 2.0 || string(kinds) != `{"existing":1,"new":1}` || string(os) != `{"iOS":2}` {
		t.Error(a)
	}
	if a := h.ok("now.json", ""); a["count"] != 2.0 || a["user_type"] != nil {
		t.Error(a)
	}
	h.later(time.Hour)
	if a := h.ok("now.json", `{}`); a["count"] != 0.0 {
		t.Error(a)
	}
	h.fails("now.json", `{"colour":true}`, 400, "colour")
}
