package clevertap

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// strange are values that no call expects.
var strange = []string{
	`null`, `0`, `-1`, `1e308`, `""`, `"x"`, `true`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `{"a":{"b":{"c":[]}}}`, `"\u0000"`, `"` + strings.Repeat("x", 5000) + `"`, `99999999999999999999`, `"20260131"`, `20260131`,
}

// members are all that any call reads.
var members = []string{
	"event_name", "from", "to", "event_properties", "session_properties", "common_profile_properties", "advanced_query", "groups", "unique", "sum_event_prop",
	"identity", "email", "objectId", "guid", "identities", "d", "id", "to", "content", "name", "target_mode", "where", "segment", "when", "devices", "labels", "ttl",
	"conversion_goal", "draft", "estimate_only", "purpose", "tag_group", "channel", "delivery", "status", "label", "daily", "user_type", "os",
}

// Whatever is sent to whatever call, the answer is a JSON object and no fault
// of ours.
func TestNoInputIsAnsweredAsAFault(t *testing.T) {
	h := open(t)
	shop(h)
	// What makes a call get as far as the member under test.
	const base = `"event_name":"Viewed","from":20260101,"to":20260131,`
	tried := 0
	for _, rt := range routes {
		for _, m := range members {
			for _, v := range strange {
				for _, before := range []string{"", base, `"to":{"Identity":["ann"]},"purpose":"offers","content":{"subject":"s","body":"b","title":"t"},"name":"n","when":"now","estimate_only":true,`} {
					if strings.Contains(before, `"`+m+`"`) {
						continue
					}
					code, a := h.call("SRV", http.MethodPost, rt.path, `{`+before+`"`+m+`":`+v+`}`)
					tried++
					if code >= 500 || a["status"] == nil {
						t.Fatalf("%s {%s%q:%s}: %d %v", rt.path, before, m, v, code, a)
					}
				}
			}
		}
		for _, q := range []string{"cursor=%FF", "cursor=" + strings.Repeat("a", 4000), "req_id=../x", "batch_size=-1", "batch_size=1e9", "query=%7B", "query=[]", "identity=" + strings.Repeat("a", 4000), "email=%00", "objectId=%F0%9F", "id=" + url.QueryEscape("'; drop"), ";;;&&&==="} {
			if code, a := h.call("SRV", http.MethodGet, rt.path+"?"+q, ""); code >= 500 || a["status"] == nil {
				t.Fatalf("%s?%s: %d %v", rt.path, q, code, a)
			}
			tried++
		}
	}
	if tried < 10_000 {
		t.Error(tried)
	}
	// dora was named by none of them.
	if code, a := h.call("SRV", http.MethodGet, "profile.json?identity=dora", ""); code != 200 || a["status"] != "success" {
		t.Error(code, a)
	}
}

// Any bytes, to any call.
func FuzzCall(f *testing.F) {
	for i := range routes {
		f.Add(uint8(i), "", []byte(`{"event_name":"Viewed","from":20260101,"to":20260131,"groups":{"foo":{"trend_type":"daily","property_type":"event_properties","name":"x"}}}`))
		f.Add(uint8(i), "batch_size=3", []byte(`{"d":[{"type":"email","value":"a@b.c","status":"Unsubscribe"}],"identity":"x","identities":["y"]}`))
		f.Add(uint8(i), "", []byte(`{"name":"n","target_mode":"email","purpose":"offers","to":{"Identity":["ann"]},"when":"now","estimate_only":true,"content":{"subject":"{{ Profile.Name }}","body":"b"}}`))
	}
	h := open(f)
	shop(h)
	f.Fuzz(func(t *testing.T, route uint8, query string, body []byte) {
		rt := routes[int(route)%len(routes)]
		r := httptest.NewRequest(http.MethodPost, "/1/"+rt.path, strings.NewReader(string(body)))
		r.URL.RawQuery = query
		r.Header.Set("X-CleverTap-Account-Id", "SRV")
		r.Header.Set("X-CleverTap-Passcode", passcode)
		w := httptest.NewRecorder()
		h.door.ServeHTTP(w, r)
		if w.Code >= 500 || !strings.Contains(w.Body.String(), `"status":`) {
			t.Fatal(fmt.Sprintf("%s?%s %s: %d %s", rt.path, query, body, w.Code, w.Body))
		}
	})
}
