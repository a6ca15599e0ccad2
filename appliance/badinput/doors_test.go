package badinput

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf16"
)

// door is one way in: how a record looks there, and how a refusal does.
type door struct {
	name string
	// record is a body with one event; all three are JSON as they stand.
	record func(id, event, props string) string
	send   func(d *daemon, body io.Reader, headers ...string) answer
	// kept says whether the answer says that the record was taken; nil = the
	// answer never says, and the daemon's count of refusals does.
	kept func(a answer) bool
	// packed: a body may have an encoding.
	packed bool
	limit  int // bytes of a body
}

func has(part string) func(answer) bool {
	return func(a answer) bool { return a.status == 200 && strings.Contains(a.body, part) }
}

func hasNot(part string) func(answer) bool {
	return func(a answer) bool { return a.status == 200 && !strings.Contains(a.body, part) }
}

func post(path string, headers ...string) func(*daemon, io.Reader, ...string) answer {
	return func(d *daemon, body io.Reader, more ...string) answer {
		return d.app("POST", path, body, append(append([]string{}, headers...), more...)...)
	}
}

var basic = "Basic " + base64.StdEncoding.EncodeToString([]byte("ACME-APP:"))

var doors = []door{
	{"CleverTap upload", func(id, event, props string) string {
		return `{"d":[{"type":"event","identity":` + id + `,"evtName":` + event + `,"evtData":` + props + `}]}`
	}, post("/1/upload", "X-CleverTap-Account-Id", "ACME-SRV", "X-CleverTap-Passcode", secret), has(`"processed":1`), true, 5 << 20},
	{"CleverTap /a1", func(id, event, props string) string {
		return `[{"type":"meta","g":` + id + `},{"type":"event","evtName":` + event + `,"evtData":` + props + fmt.Sprintf(`,"ep":%d}]`, time.Now().Unix())
	}, post("/a1?z=ACME-APP"), nil, true, 5 << 20},
	{"Segment", func(id, event, props string) string {
		return `{"batch":[{"type":"track","userId":` + id + `,"event":` + event + `,"properties":` + props + `}]}`
	}, post("/v1/batch", "Authorization", basic), hasNot(`"rejected"`), true, 500 << 10},
	{"PostHog", func(id, event, props string) string {
		return `{"api_key":"ACME-APP","batch":[{"event":` + event + `,"distinct_id":` + id + `,"properties":` + props + `}]}`
	}, post("/batch/"), hasNot(`"rejected"`), true, 20 << 20},
	{"Mixpanel", func(id, event, props string) string {
		return `[{"event":` + event + `,"properties":{"token":"ACME-APP","distinct_id":` + id + `,"p":` + props + `}}]`
	}, post("/track?verbose=1"), has(`"status":1`), true, 5 << 20},
	{"Mixpanel import", func(id, event, props string) string {
		return fmt.Sprintf(`[{"event":%s,"properties":{"token":"ACME-APP","distinct_id":%s,"time":%d,"$insert_id":"i","p":%s}}]`, event, id, time.Now().Unix(), props)
	}, post("/import?strict=1", "Authorization", basic), has(`"num_records_imported":1`), true, 10 << 20},
	{"Amplitude", func(id, event, props string) string {
		return `{"api_key":"ACME-APP","events":[{"event_type":` + event + `,"user_id":` + id + `,"event_properties":` + props + `}]}`
	}, post("/2/httpapi"), has(`"events_ingested":1`), true, 1 << 20},
	{"plain HTTP", func(id, event, props string) string {
		return `{"key":"ACME-APP","batch":[{"user":` + id + `,"event":` + event + `,"props":` + props + `}]}`
	}, post("/cloister/v1/collect"), has(`"accepted":1`), true, 5 << 20},
	{"import", func(id, event, props string) string {
		return fmt.Sprintf(`{"user":%s,"event":%s,"ts":%q,"props":%s}`, id, event, time.Now().UTC().Format(time.RFC3339), props)
	}, func(d *daemon, body io.Reader, headers ...string) answer {
		return d.ask(d.admin, "POST", "http://admin/v1/publishers/acme/import/events?source=ab", body, headers...)
	}, has(`"taken":1`), false, 8 << 20},
}

// asks are doors that take JSON of which no record is made.
var asks = []struct {
	name, method, path, body string
	admin                    bool
}{
	{"server API", "POST", "/1/counts/events.json", `{"event_name":"x","from":20260101,"to":20260102}`, false},
	{"server API profiles", "POST", "/1/profiles.json", `{"event_name":"x","from":20260101,"to":20260102}`, false},
	{"server API targets", "POST", "/1/targets/create.json", `{"name":"x"}`, false},
	{"question", "POST", "/v1/publishers/acme/query", `{"kind":"trend","interval":"all","series":[{"name":"A","event":"x","measure":"count"}]}`, true},
	{"campaign", "POST", "/v1/publishers/acme/campaigns/check", `{"name":"x"}`, true},
	{"segment of people", "PUT", "/v1/publishers/acme/segments/x", `{"people":{}}`, true},
	{"operators", "POST", "/v1/operators", `{"name":"x","roles":{"acme":"analyst"}}`, true},
	{"tokens", "POST", "/v1/tokens", `{"name":"x","roles":{"acme":"analyst"}}`, true},
	{"sign-in", "POST", "/v1/session", `{"name":"x","password":"y"}`, true},
}

func (d *daemon) askJSON(i int, body string, headers ...string) answer {
	a := asks[i]
	if a.admin {
		return d.ask(d.admin, a.method, "http://admin"+a.path, strings.NewReader(body), headers...)
	}
	return d.app(a.method, a.path, strings.NewReader(body), append([]string{"X-CleverTap-Account-Id", "ACME-SRV", "X-CleverTap-Passcode", secret}, headers...)...)
}

// call is CleverTap's library for browsers.
func (d *daemon) call(kind, text string) answer {
	return d.app("GET", "/a?type="+kind+"&d="+url.QueryEscape(lzPack(text)), nil)
}

// lzPack packs as LZString does, unit by unit: larger than what the library
// makes, and valid all the same.
func lzPack(text string) string {
	var packed []byte
	bits := 0
	put := func(n, width int) {
		for ; width > 0; width-- {
			if bits%8 == 0 {
				packed = append(packed, 0)
			}
			packed[bits/8] |= byte(n&1) << (7 - bits%8)
			n >>= 1
			bits++
		}
	}
	width, enlarge := 2, 1<<30
	for i, unit := range utf16.Encode([]rune(text)) {
		if unit < 256 {
			put(0, width)
			put(int(unit), 8)
		} else {
			put(1, width)
			put(int(unit), 16)
		}
		if i == 0 {
			width, enlarge = 3, 4
			continue
		}
		for range 2 { // the unit, and the pair that it makes
			if enlarge--; enlarge == 0 {
				enlarge = 1 << width
				width++
			}
		}
	}
	put(2, width)
	return base64.StdEncoding.EncodeToString(packed)
}
