package clevertap

import (
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

const jan = `"from":20260101,"to":20260131`

// Each query with what it counts in the shop: events, and people.
var queries = []struct {
	name           string
	query          string
	events, people float64 // -1 = not asked
}{
	{"an event", `{"event_name":"Viewed",` + jan + `}`, 6, 3},
	{"dates as texts", `{"event_name":"Viewed","from":"20260101","to":"20260101"}`, 4, 2},
	{"days are the publisher's", `{"event_name":"Viewed","from":20260102,"to":20260102}`, 1, 1},
	{"any event", `{` + jan + `}`, 9, 3},
	{"nobody", `{"event_name":"Left",` + jan + `}`, 0, 0},
	{"equals by default", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","value":"hats"}]}`, 2, 2},
	{"old spelling", `{"event_name":"Viewed",` + jan + `,"props":[{"name":"Product","operator":"equals","value":"hats"}]}`, 2, 2},
	{"any of several", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","operator":"equals","value":["hats","blue shoes"]}]}`, 3, 3},
	{"not equals", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","operator":"not_equals","value":"hats"}]}`, 4, 2},
	{"not any of several", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","operator":"not_equals","value":["hats","blue shoes"]}]}`, 3, 2},
	{"contains", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","operator":"contains","value":"shoes"}]}`, 4, 2},
	{"contains one of", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","operator":"contains","value":["blue","hat"]}]}`, 3, 3},
	{"does not contain", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","operator":"does_not_contain","value":["red","blue"]}]}`, 2, 2},
	{"exists", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"exists"}]}`, 5, 2},
	{"does not exist", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"does_not_exist"}]}`, 1, 1},
	{"greater than", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"greater_than","value":10}]}`, 2, 2},
	{"greater than or equal", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"greater_than_equals","value":15}]}`, 2, 2},
	{"less than", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"less_than","value":15}]}`, 3, 2},
	{"less than or equal, as a text", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"less_than_equals","value":"15"}]}`, 4, 2},
	{"between", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"between","value":[15,20]}]}`, 2, 2},
	{"two conditions", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"greater_than","value":10},{"name":"Product","operator":"contains","value":"shoes"}]}`, 1, 1},
	{"a boolean that was sent as a text", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Sale","value":"True"}]}`, 1, 1},
	{"a date", `{"event_name":"App Launched",` + jan + `,"event_properties":[{"name":"Day","operator":"equals","value":"$D_1767225600"}]}`, 1, 1},
	{"after a date", `{"event_name":"App Launched",` + jan + `,"event_properties":[{"name":"Day","operator":"greater_than","value":"$D_1767225601"}]}`, 0, 0},
	{"items of an order", `{"event_name":"Charged",` + jan + `,"event_properties":[{"name":"Items|Category","value":"pens"}]}`, 1, 1},
	{"any item counts", `{"event_name":"Charged",` + jan + `,"event_properties":[{"name":"Items.Category","value":"books"}]}`, 2, 2},
	{"where the visit came from", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"utm_source","value":"google"}]}`, 1, 1},
	{"in the afternoon there", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"time_of_day","value":["15:31","18:00"]}]}`, 2, 1},
	{"until before", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"time_of_day","value":["00:00","15:30"]}]}`, 0, 0},
	{"over midnight", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"time_of_day","value":["17:00","16:00"]}]}`, 5, 3},
	{"on a Thursday or Monday", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"day_of_week","value":["Thursday","mon"]}]}`, 5, 3},
	{"on no Thursday", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"day_of_week","operator":"not_equals","value":"Thursday"}]}`, 2, 2},
	{"for the first time", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"first_time","value":"True"}]}`, 3, 3},
	{"for the first time, on a day", `{"event_name":"Viewed","from":20260102,"to":20260105,"session_properties":[{"name":"first_time","value":"True"}]}`, 1, 1},
	{"not for the first time", `{"event_name":"Viewed",` + jan + `,"session_properties":[{"name":"first_time","value":"False"}]}`, 3, 2},
	{"a profile field", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Plan","value":"gold"}]}}`, 3, 2},
	{"the old spelling of that", `{"event_name":"Viewed",` + jan + `,"common_profile_prop":{"profile_fields":[{"name":"Plan","value":["gold","silver"]}]}}`, 3, 2},
	{"a boolean of a profile", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Vip","value":"True"}]}}`, 2, 1},
	{"a missing attribute is not equal", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Vip","operator":"not_equals","value":"True"}]}}`, 4, 2},
	{"an identity", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Identity","value":["ann","nobody"]}]}}`, 2, 1},
	{"an e-mail address", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Email","value":"BOB@example.com"}]}}`, 3, 1},
	{"a phone number", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Phone","value":14155550101}]}}`, 2, 1},
	{"an address nobody has", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"profile_fields":[{"name":"Email","value":"no@example.com"}]}}`, 0, 0},
	{"gender", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"demographics":[{"name":"gender","value":"Male"}]}}`, 4, 2},
	{"age", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"demographics":[{"name":"age","value":["18-25",40]}]}}`, 4, 2},
	{"an age range in a list", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"demographics":[{"name":"age","value":[[25,35]]}]}}`, 2, 1},
	{"older than", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"demographics":[{"name":"age","operator":"greater_than","value":25}]}}`, 3, 2},
	{"a city", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"geo_fields":[["IN","KL","Kochi"]]}}`, 5, 2},
	{"a country or another", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"geo_fields":[["DE"],["FR"]]}}`, 1, 1},
	{"an app's version", `{"event_name":"App Launched",` + jan + `,"common_profile_properties":{"app_fields":[{"name":"app_version","value":"1.2"}]}}`, 1, 1},
	{"an app's version, not this", `{"event_name":"App Launched",` + jan + `,"common_profile_properties":{"app_fields":[{"name":"App Version","operator":"not_equals","value":"1.2"}]}}`, 0, 0},
	{"a device's system", `{"event_name":"App Launched",` + jan + `,"common_profile_properties":{"technographics":[{"name":"os","value":["iOS","Android"]}]}}`, 1, 1},
	{"reachable", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"reachability":[{"name":"has_phone","value":"True"}]}}`, 5, 2},
	{"not reachable", `{"event_name":"Viewed",` + jan + `,"common_profile_properties":{"reachability":[{"name":"has_phone","value":"False"}]}}`, 1, 1},
	{"did all", `{"event_name":"Viewed",` + jan + `,"advanced_query":{"did_all":[{"event_name":"Charged",` + jan + `},{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Product","value":"hats"}]}]}}`, 2, 1},
	{"did any", `{"event_name":"Viewed",` + jan + `,"advanced_query":{"did_any":{"any_events":[{"event_name":"Charged",` + jan + `},{"event_name":"App Launched",` + jan + `}],"operator":"greater_than_equals","value":1}}}`, 6, 3},
	{"did so many times", `{"event_name":"Viewed",` + jan + `,"advanced_query":{"did_all":[{"event_name":"Viewed",` + jan + `,"operator":"greater_than_equals","value":3}]}}`, 3, 1},
	{"did not", `{"event_name":"Viewed",` + jan + `,"advanced_query":{"did_not":[{"event_name":"Charged",` + jan + `}]}}`, 1, 1},
	{"did none", `{"event_name":"Viewed",` + jan + `,"advanced_query":{"did_none":[{"event_name":"App Launched",` + jan + `},{"event_name":"Charged","from":20260105,"to":20260105}]}}`, 2, 1},
	{"all at once", `{"event_name":"Viewed",` + jan + `,"event_properties":[{"name":"Price","operator":"less_than","value":20}],"common_profile_properties":{"profile_fields":[{"name":"Plan","value":"gold"}],"demographics":[{"name":"gender","value":"F"}]},"advanced_query":{"did_all":[{"event_name":"Charged",` + jan + `}]}}`, 1, 1},
	{"everybody", `{}`, -1, 4},
	{"null is nothing", `{"event_name":"Viewed",` + jan + `,"event_properties":null,"advanced_query":null}`, 6, 3},
}

func TestQueriesCountWhatTheyMean(t *testing.T) {
	h := open(t)
	shop(h)
	for _, q := range queries {
		if q.events >= 0 {
			if a := h.ok("counts/events.json", q.query); a["count"] != q.events {
				t.Errorf("%s: %v events, not %v", q.name, a["count"], q.events)
			}
		}
		if a := h.ok("counts/profiles.json", q.query); a["count"] != q.people {
			t.Errorf("%s: %v people, not %v", q.name, a["count"], q.people)
		}
	}
}

// What a query without a range means: the last 365 days, for filters alone too.
func TestAQueryWithoutARangeLooksBackAYear(t *testing.T) {
	h := open(t)
	shop(h)
	now := h.now()
	h.tell(event.Fact{Kind: event.Track, User: "bob", Name: "Viewed", Time: now.AddDate(0, 0, -400).UnixMicro()},
		event.Fact{Kind: event.Track, User: "dora", Name: "Viewed", Time: now.AddDate(0, 0, -300).UnixMicro()})
	if a := h.ok("counts/profiles.json", `{"event_name":"Viewed"}`); a["count"] == 0.0 {
		t.Error(a)
	}
	a := h.ok("counts/events.json", `{"event_name":"Viewed","common_profile_properties":{"profile_fields":[{"name":"Identity","value":"dora"}]}}`)
	if a["count"] != 1.0 {
		t.Error(a)
	}
	a = h.ok("counts/profiles.json", `{"common_profile_properties":{"profile_fields":[{"name":"Identity","value":["dora"]}]}}`)
	if a["count"] != 1.0 {
		t.Error(a)
	}
}

func TestABadQueryIsNamedAndDoesNothing(t *testing.T) {
	h := open(t)
	for _, c := range []struct{ query, says string }{
		{`{"event_name":5}`, "event_name"},
		{`{"event_name":""}`, "event_name"},
		{`{"event_name":"A","from":20260101}`, "to: a date"},
		{`{"event_name":"A","from":20260231,"to":20260301}`, "from: a date"},
		{`{"event_name":"A","from":2026.5,"to":20260301}`, "from: a date"},
		{`{"event_name":"A","from":20260201,"to":20260101}`, "before from"},
		{`{"event_name":"A","event_propertys":[]}`, "event_propertys: there is no such field"},
		{`{"event_name":"A","event_properties":"x"}`, "event_properties: a list"},
		{`{"event_name":"A","event_properties":[1]}`, "event_properties[0]"},
		{`{"event_name":"A","event_properties":[{"value":1}]}`, "event_properties[0].name"},
		{`{"event_name":"A","event_properties":[{"name":"x"}]}`, "event_properties[0].value"},
		{`{"event_name":"A","event_properties":[{"name":"x","value":{"a":1}}]}`, "event_properties[0].value"},
		{`{"event_name":"A","event_properties":[{"name":"x","value":[[1]]}]}`, "event_properties[0].value"},
		{`{"event_name":"A","event_properties":[{"name":"x","operator":"like","value":1}]}`, "no operator"},
		{`{"event_name":"A","event_properties":[{"name":"x","operator":"less_than","value":[1,2]}]}`, "one value"},
		{`{"event_name":"A","event_properties":[{"name":"x","operator":"between","value":[1]}]}`, "two values"},
		{`{"event_name":"A","event_properties":[{"name":"x","operatr":"equals","value":1}]}`, "operatr"},
		{`{"session_properties":[{"name":"moon","value":1}]}`, "no session property"},
		{`{"session_properties":[{"name":"first_time","value":"x"}]}`, "first_time"},
		{`{"session_properties":[{"name":"time_of_day","value":["9","25:00"]}]}`, "a time is needed"},
		{`{"session_properties":[{"name":"time_of_day","value":"09:00"}]}`, "two times"},
		{`{"session_properties":[{"name":"day_of_week","value":7}]}`, "the name of a day"},
		{`{"common_profile_properties":[]}`, "an object"},
		{`{"common_profile_properties":{"profile":[]}}`, "common_profile_properties.profile"},
		{`{"common_profile_properties":{"profile_fields":[{"name":"Name","value":"Ann"}]}}`, "identifies people"},
		{`{"common_profile_properties":{"profile_fields":[{"name":"Email","operator":"contains","value":"@"}]}}`, "equals alone"},
		{`{"common_profile_properties":{"demographics":[{"name":"height","value":1}]}}`, "there are age, gender"},
		{`{"common_profile_properties":{"demographics":[{"name":"age","value":"old"}]}}`, "an age"},
		{`{"common_profile_properties":{"demographics":[{"name":"gender","value":"robot"}]}}`, "M, F, O or U"},
		{`{"common_profile_properties":{"geo_fields":["IN"]}}`, "geo_fields[0]"},
		{`{"common_profile_properties":{"geo_fields":[[1]]}}`, "geo_fields[0][0]"},
		{`{"common_profile_properties":{"reachability":[{"name":"pigeon","value":"True"}]}}`, "email, phone or push"},
		{`{"advanced_query":[]}`, "advanced_query"},
		{`{"advanced_query":{"did_some":[]}}`, "did_some"},
		{`{"advanced_query":{"did_all":[{}]}}`, "advanced_query.did_all[0]: event_name"},
		{`{"advanced_query":{"did_all":[{"event_name":"A","advanced_query":{}}]}}`, "advanced_query.did_all[0].advanced_query"},
		{`{"advanced_query":{"did_any":{"any_events":[{"event_name":"A"}],"operator":"x","value":1}}}`, "no operator"},
		{`{"advanced_query":{"did_any":{}}}`, "a list of events"},
	} {
		h.fails("counts/profiles.json", c.query, 400, c.says)
	}
}

type nobody struct{}

func (nobody) FindIdentity(string) (uint32, bool)    { return 0, false }
func (nobody) With(string, string) ([]uint32, error) { return nil, nil }
func (nobody) Personal(string) bool                  { return false }
func (nobody) name(uint32) (string, error)           { return "", nil }

// Whatever is sent, it is read or refused; what is read can be asked.
func FuzzWhere(f *testing.F) {
	for _, q := range queries {
		f.Add([]byte(q.query))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := event.ParseJSON(body)
		if err != nil {
			return
		}
		q, err := readWhere("", v.Object(), nobody{})
		if err != nil {
			if faultOf(err).http >= 500 {
				t.Fatalf("%s: %v", body, err)
			}
			return
		}
		if _, err := q.expression(); err != nil && faultOf(err).http >= 500 {
			t.Fatalf("%s: %v", body, err)
		}
	})
}
