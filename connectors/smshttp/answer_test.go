package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestJudge(t *testing.T) {
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	byValue := connector.Settings{"id": "messages.0.id", "status": "messages.0.status", "values": map[string]string{
		"0": "accepted", "true": "accepted", "1": "throttled", "2": "again", "6": "address", "9": "config", "10": "unknown", "11": "full",
	}}
	faults := connector.Settings{"id": "id", "status": "error.code", "values": map[string]string{"bad_number": "address"}, "http": map[string]string{"400": "content", "500": "again", "202": "unknown"}}
	pattern := connector.Settings{"pattern": `^(?P<status>[A-Z0-9]+)(?:[ |]+(?P<id>[0-9a-f-]+))?`, "values": map[string]string{"OK": "accepted", "1706": "address"}}
	for _, c := range []struct {
		name   string
		set    connector.Settings
		status int
		body   string
		header http.Header
		want   connector.Outcome
		all    bool
	}{
		{name: "2xx, and nothing is said", status: 200, body: "anything", want: connector.Outcome{Result: connector.Accepted}},
		{name: "204", status: 204, want: connector.Outcome{Result: connector.Accepted}},
		{name: "an id", set: connector.Settings{"id": "message.id"}, status: 201, body: `{"message":{"id":12345678901234567890}}`, want: connector.Outcome{Result: connector.Accepted, ProviderID: "12345678901234567890"}},
		{name: "an id at the top of a list", set: connector.Settings{"id": "0.id"}, status: 200, body: `[{"id":"a"}]`, want: connector.Outcome{Result: connector.Accepted, ProviderID: "a"}},
		{name: "an id that is too long", set: connector.Settings{"id": "id"}, status: 200, body: `{"id":"` + strings.Repeat("a", 300) + `"}`, want: connector.Outcome{Result: connector.Accepted}},
		{name: "no id where there is to be one", set: connector.Settings{"id": "id"}, status: 200, body: `<html>Sign in to the network`, want: connector.Outcome{Result: connector.Unknown}},
		{name: "two documents", set: connector.Settings{"id": "id"}, status: 200, body: `{"id":"a"}{"id":"b"}`, want: connector.Outcome{Result: connector.Unknown}},
		{name: "accepted by value", set: byValue, status: 200, body: `{"messages":[{"status":0,"id":"a"}]}`, want: connector.Outcome{Result: connector.Accepted, ProviderID: "a"}},
		{name: "a truth value", set: byValue, status: 200, body: `{"messages":[{"status":true}]}`, want: connector.Outcome{Result: connector.Accepted}},
		{name: "throttled by value", set: byValue, status: 200, body: `{"messages":[{"status":"1"}]}`, want: connector.Outcome{Result: connector.Again, RetryAfter: 5 * time.Second}},
		{name: "again by value, when", set: byValue, status: 200, body: `{"messages":[{"status":"2"}]}`, header: http.Header{"Retry-After": {"30"}}, want: connector.Outcome{Result: connector.Again, RetryAfter: 30 * time.Second}},
		{name: "refused by value", set: byValue, status: 200, body: `{"messages":[{"status":"6"}]}`, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}},
		{name: "full by value", set: byValue, status: 200, body: `{"messages":[{"status":"11"}]}`, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassFull}},
		{name: "config by value, of one message", set: byValue, status: 200, body: `{"messages":[{"status":"9"}]}`, want: connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}},
		{name: "unknown by value", set: byValue, status: 200, body: `{"messages":[{"status":"10"}]}`, want: connector.Outcome{Result: connector.Unknown}},
		{name: "a value that nobody wrote down", set: byValue, status: 200, body: `{"messages":[{"status":"99"}]}`, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassOther}},
		{name: "no value where one accepts", set: byValue, status: 200, body: `{"messages":[]}`, want: connector.Outcome{Result: connector.Unknown}},
		{name: "no value, and not 2xx", set: byValue, status: 500, want: connector.Outcome{Result: connector.Unknown}},
		{name: "values of faults only", set: faults, status: 200, body: `{"id":"a"}`, want: connector.Outcome{Result: connector.Accepted, ProviderID: "a"}},
		{name: "a fault", set: faults, status: 400, body: `{"error":{"code":"bad_number"}}`, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}},
		{name: "another fault, by HTTP", set: faults, status: 400, body: `{"error":{"code":"x"}}`, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassContent}},
		{name: "HTTP 500, which the settings know", set: faults, status: 500, want: connector.Outcome{Result: connector.Again}},
		{name: "HTTP 202, which the settings know", set: faults, status: 202, body: `{"id":"a"}`, want: connector.Outcome{Result: connector.Unknown}},
		{name: "text", set: pattern, status: 200, body: "OK | 123-abc", want: connector.Outcome{Result: connector.Accepted, ProviderID: "123-abc"}},
		{name: "text that refuses", set: pattern, status: 200, body: "1706", want: connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}},
		{name: "text that does not fit", set: pattern, status: 200, body: "<html>", want: connector.Outcome{Result: connector.Unknown}},
		{name: "401", status: 401, want: connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}, all: true},
		{name: "402", status: 402, want: connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}, all: true},
		{name: "404", status: 404, want: connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}, all: true},
		{name: "302", status: 302, want: connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}, all: true},
		{name: "400", status: 400, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassOther}},
		{name: "413", status: 413, want: connector.Outcome{Result: connector.Refused, Class: connector.ClassContent}},
		{name: "429", status: 429, want: connector.Outcome{Result: connector.Again, RetryAfter: 5 * time.Second}},
		{name: "429, at a time", status: 429, header: http.Header{"Retry-After": {now.Add(time.Minute).Format(http.TimeFormat)}}, want: connector.Outcome{Result: connector.Again, RetryAfter: time.Minute}},
		{name: "408", status: 408, want: connector.Outcome{Result: connector.Again}},
		{name: "503", status: 503, header: http.Header{"Retry-After": {"7"}}, want: connector.Outcome{Result: connector.Again, RetryAfter: 7 * time.Second}},
		{name: "500", status: 500, want: connector.Outcome{Result: connector.Unknown}},
		{name: "502", status: 502, want: connector.Outcome{Result: connector.Unknown}},
		{name: "504", status: 504, want: connector.Outcome{Result: connector.Unknown}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := generic("https://api.provider.example", nil)
			delete(set, "response")
			if c.set != nil {
				set["response"] = c.set
			}
			conf, problems := read(set)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			got, all := conf.response.judge(answer{c.status, c.header, []byte(c.body)}, now)
			reason := got.Reason
			got.Reason = ""
			if got != c.want || all != c.all {
				t.Errorf("%+v, all %v; want %+v, all %v", got, all, c.want, c.all)
			}
			if (reason == "") != (got.Result == connector.Accepted) || len(reason) > 200 {
				t.Errorf("the reason %q", reason)
			}
		})
	}
}

// A reason holds nothing of a person, even if the provider's status does.
func TestAnonymous(t *testing.T) {
	for in, want := range map[string]string{
		"21211": "21211", "invalid number +49 151 12345678!": "invalid number +…!", "no +4915112345678": "no +…", "asha@acme.example is gone": "… is gone",
		"a\r\nb": "a  b", strings.Repeat("é", 100): strings.Repeat("é", 30), "4915112345678": "…",
	} {
		if got := anonymous(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
