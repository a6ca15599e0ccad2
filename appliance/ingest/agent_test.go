package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

func TestReduce(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.8078.79 Safari/537.36", "Chrome/Linux/Desktop"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", "Chrome/Windows/Desktop"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.2210.91", "Microsoft Edge/Windows/Desktop"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 OPR/106.0.0.0", "Opera/Windows/Desktop"},
		{"Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer/Windows/Desktop"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15", "Safari/Mac OS X/Desktop"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox/Mac OS X/Desktop"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1", "Mobile Safari/iOS/Mobile"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1", "Chrome iOS/iOS/Mobile"},
		{"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/121.0 Mobile/15E148 Safari/605.1.15", "Firefox iOS/iOS/Tablet"},
		{"Mozilla/5.0 (Linux; Android 14; Pixel 8 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.144 Mobile Safari/537.36", "Chrome/Android/Mobile"},
		{"Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", "Chrome/Android/Tablet"},
		{"Mozilla/5.0 (Linux; Android 13; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36", "Samsung Internet/Android/Mobile"},
		{"Mozilla/5.0 (Linux; Android 12; M2101K6G; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.6099.144 Mobile Safari/537.36", "Android WebView/Android/Mobile"},
		{"Mozilla/5.0 (Linux; U; Android 4.0.3; de-ch; HTC Sensation Build/IML74K) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30", "Android Browser/Android/Mobile"},
		{"Mozilla/5.0 (Mobile; Nokia_8000_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", "Firefox/KaiOS/Mobile"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", "Chrome/Chrome OS/Desktop"},
		{"Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager", "Chrome/webOS/TV"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/20A362 Instagram 265.0.0.19.301 (iPhone14,5; iOS 16_0; en_US)", "Instagram App/iOS/Mobile"},
		{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "//Bot"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36", "//Bot"},
		{"facebookexternalhit/1.1", "//Bot"},
		{"curl/8.5.0", "//"}, {"okhttp/4.12.0", "//"}, {"Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)", "/Android/"},
		{"AcmeBank/7.1 CFNetwork/1490.0.4 Darwin/23.2.0", "//"}, {"", "//"}, {"ann@example.com", "//"}, {"Mozilla/5.0", "//"},
	} {
		a := reduce(c.s)
		if got := a.browser + "/" + a.os + "/" + a.device; got != c.want {
			t.Errorf("%s: %s, want %s", c.s, got, c.want)
		}
	}
}

// Whatever a user agent says, only words of the lists come out.
func FuzzReduce(f *testing.F) {
	f.Add("Mozilla/5.0 (Linux; Android 14; Pixel 8 Pro) Chrome/120 Mobile")
	f.Add("Opera/9.80 (Windows NT 6.1) Presto/2.12")
	words := []string{"", "Android Browser", "Mobile Safari", "Safari", "Desktop", "Mobile", "Tablet", "TV", "Bot"}
	for _, all := range [][]family{browsers, systems} {
		for _, one := range all {
			words = append(words, one.name)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := reduce(s)
		for _, w := range []string{a.browser, a.os, a.device} {
			if !slices.Contains(words, w) {
				t.Errorf("%q gives %q", s, w)
			}
		}
	})
}

const chrome = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.144 Mobile Safari/537.36"

// What is kept of where a record came from is the same in every dialect that
// says it, and nothing if nobody asked for it.
func TestWhereRecordsComeFrom(t *testing.T) {
	type dialect struct{ name, net, path, body string }
	at := `"2026-11-23T16:25:00Z"`
	dialects := []dialect{
		{"segment", "203.0.113.0/24", "/v1/track", `{"userId":"u","event":"A","context":{"ip":"203.0.113.77","userAgent":"` + chrome + `"},"timestamp":` + at + `}`},
		{"segment direct", "192.0.2.0/24", "/v1/track", `{"userId":"u","event":"A","context":{"direct":true,"userAgent":"` + chrome + `"},"timestamp":` + at + `}`},
		{"posthog", "203.0.113.0/24", "/capture/", `{"api_key":"WRITEKEY","distinct_id":"u","event":"A","properties":{"$ip":"203.0.113.77","$raw_user_agent":"` + chrome + `"},"timestamp":` + at + `}`},
		{"amplitude", "203.0.113.0/24", "/2/httpapi", `{"api_key":"WRITEKEY","events":[{"user_id":"user1","event_type":"A","time":1795451100000,"ip":"203.0.113.77","user_agent":"` + chrome + `"}]}`},
	}
	for _, c := range []struct {
		ip    IP
		agent Agent
		want  string
	}{
		{DropIP, DropAgent, `{}`},
		{CutIP, DropAgent, `{"ip":"NET"}`},
		{DropIP, ReduceAgent, `{"browser":"Chrome","os":"Android","device_type":"Mobile"}`},
		{CutIP, ReduceAgent, `{"ip":"NET","browser":"Chrome","os":"Android","device_type":"Mobile"}`},
		{DropIP, KeepAgent, `{"browser":"Chrome","os":"Android","device_type":"Mobile","user_agent":"` + chrome + `"}`},
	} {
		for _, d := range dialects {
			t.Run(fmt.Sprintf("%s %d %d", d.name, c.ip, c.agent), func(t *testing.T) {
				a := newDoor(t)
				a.pub.Rules.IP, a.pub.Rules.UserAgent = c.ip, c.agent
				// A schema that knows no such properties: what the operator asks for is no breach of it.
				a.pub.Rules.Events = map[string]*PropertyRules{"A": {Allow: []string{}, Unknown: Refuse}}
				answer := a.send("POST", d.path, d.body, "Authorization", writeKey).Body.String() // from 192.0.2.1
				facts := a.facts()
				if len(facts) != 1 {
					t.Fatalf("%d facts; %s", len(facts), answer)
				}
				if got := string(event.AppendJSONProps(nil, facts[0].Props)); got != strings.ReplaceAll(c.want, "NET", d.net) {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		}
	}
}

// What the app itself says of browser and system stays, unless it is an
// address that only looks as if the door had cut it.
func TestWhatTheAppSaysOfItself(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.IP, a.pub.Rules.UserAgent = CutIP, ReduceAgent
	a.send("POST", "/v1/track", `{"userId":"u","event":"A","properties":{"browser":"Acme"},"context":{"userAgent":"`+chrome+`"}}`, "Authorization", writeKey)
	if got := string(event.AppendJSONProps(nil, a.facts()[0].Props)); got != `{"browser":"Acme","os":"Android","device_type":"Mobile"}` {
		t.Error(got)
	}
	a.pub.Rules.Events = map[string]*PropertyRules{"A": {Allow: []string{}, Unknown: Drop}}
	a.send("POST", "/v1/track", `{"userId":"u","event":"A","properties":{"ip":"203.0.113.77"}}`, "Authorization", writeKey)
	if got := string(event.AppendJSONProps(nil, a.facts()[0].Props)); strings.Contains(got, "203") {
		t.Error(got)
	}
}

func BenchmarkReduce(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		reduce(chrome)
	}
}
