package ingest

import "strings"

// agent is what may be kept of a user agent: words of the lists below, or "".
// The names are those that PostHog's and Mixpanel's libraries give, so that
// events of all dialects can be counted together.
type agent struct {
	browser string // family
	os      string // family
	device  string // "Desktop", "Mobile", "Tablet", "TV", "Bot"
}

// A family, and what tells it. The first that is found counts: most browsers
// say that they are others too.
type family struct{ token, name string }

var bots = []string{"bot", "spider", "crawl", "slurp", "facebookexternalhit", "headlesschrome", "lighthouse", "pingdom", "preview", "monitor", "scan"}

var browsers = []family{
	{"Instagram", "Instagram App"}, {"FBAN/", "Facebook Mobile"}, {"FBAV/", "Facebook Mobile"}, {"Line/", "Line"}, {"WhatsApp/", "WhatsApp"},
	{"SamsungBrowser/", "Samsung Internet"}, {"MiuiBrowser/", "MIUI Browser"}, {"HuaweiBrowser/", "Huawei Browser"}, {"UCBrowser/", "UC Browser"}, {"UBrowser/", "UC Browser"},
	{"YaBrowser/", "Yandex"}, {"Vivaldi/", "Vivaldi"}, {"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"}, {"Silk/", "Amazon Silk"}, {"Whale/", "Whale"},
	{"Edg/", "Microsoft Edge"}, {"EdgA/", "Microsoft Edge"}, {"EdgiOS/", "Microsoft Edge"}, {"Edge/", "Microsoft Edge"},
	{"OPR/", "Opera"}, {"OPT/", "Opera"}, {"OPiOS/", "Opera"}, {"Opera Mini", "Opera Mini"}, {"Opera", "Opera"},
	{"FxiOS/", "Firefox iOS"}, {"CriOS/", "Chrome iOS"}, {"GSA/", "Google App"}, {"; wv)", "Android WebView"},
	{"Firefox/", "Firefox"}, {"Chromium/", "Chrome"}, {"Chrome/", "Chrome"},
	{"MSIE ", "Internet Explorer"}, {"Trident/", "Internet Explorer"},
}

var systems = []family{
	{"Windows Phone", "Windows Phone"}, {"Windows", "Windows"}, {"HarmonyOS", "HarmonyOS"}, {"OpenHarmony", "HarmonyOS"}, {"KAIOS", "KaiOS"},
	{"Tizen", "Tizen"}, {"Web0S", "webOS"}, {"webOS", "webOS"}, {"Android", "Android"},
	{"iPhone", "iOS"}, {"iPad", "iOS"}, {"iPod", "iOS"}, {"AppleTV", "tvOS"}, {"Apple TV", "tvOS"},
	{"CrOS", "Chrome OS"}, {"Mac OS X", "Mac OS X"}, {"Macintosh", "Mac OS X"}, {"Linux", "Linux"}, {"X11", "Linux"},
}

var sets = []string{"SmartTV", "SMART-TV", "Smart TV", "GoogleTV", "Android TV", "BRAVIA", "AFT", "Roku", "AppleTV", "Apple TV", "Web0S", "HbbTV"}

// maxAgent is how much of a user agent is looked at.
const maxAgent = 1024

// reduce tells families and class from a user agent. Versions, models and all
// else that tells one device from another is left out.
func reduce(s string) (a agent) {
	if len(s) > maxAgent {
		s = s[:maxAgent]
	}
	find := func(all []family) string {
		for _, f := range all {
			if strings.Contains(s, f.token) {
				return f.name
			}
		}
		return ""
	}
	lower := strings.ToLower(s)
	for _, b := range bots {
		if strings.Contains(lower, b) {
			return agent{device: "Bot"}
		}
	}
	if !strings.HasPrefix(s, "Mozilla/") && !strings.HasPrefix(s, "Opera/") {
		// A program's own: its name may be anything, and is not kept.
		return agent{os: find(systems)}
	}
	a.browser, a.os = find(browsers), find(systems)
	if a.browser == "" {
		switch {
		case a.os == "Android" && strings.Contains(s, "Version/"):
			a.browser = "Android Browser"
		case a.os == "iOS" && strings.Contains(s, "Safari/"):
			a.browser = "Mobile Safari"
		case strings.Contains(s, "Safari/"):
			a.browser = "Safari"
		}
	}
	a.device = class(s, a.os)
	return a
}

func class(s, os string) string {
	for _, t := range sets {
		if strings.Contains(s, t) {
			return "TV"
		}
	}
	switch os {
	case "":
		return ""
	case "tvOS", "webOS":
		return "TV"
	case "Android", "HarmonyOS":
		// A telephone says so; a tablet does not.
		if strings.Contains(s, "Mobile") {
			return "Mobile"
		}
		return "Tablet"
	case "iOS":
		if strings.Contains(s, "iPad") {
			return "Tablet"
		}
		return "Mobile"
	case "Windows Phone", "KaiOS", "Tizen":
		return "Mobile"
	}
	return "Desktop"
}
