package main

import "maps"

// sdks are those that are tried, in the order of the table.
var sdks = []sdk{
	{
		name: "@segment/analytics-node", version: npm("@segment/analytics-node"), run: script("segment-node.mjs"),
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 5: died}, want: segmentWant,
	},
	{
		name: "@segment/analytics-next", version: npm("@segment/analytics-next"), run: page("segment.html", 2),
		carries: []string{"/v1/p", "/v1/i", "/v1/t", "/v1/g", "/v1/s", "/v1/a", "/v1/b"}, faults: map[int]fault{5: lost, 9: died}, want: inBrowser,
	},
	{
		name: "segmentio/analytics-go", version: module("github.com/segmentio/analytics-go/v3"), run: segmentGo,
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 5: died}, want: segmentWant,
	},
	{
		name: "@rudderstack/rudder-sdk-node", version: npm("@rudderstack/rudder-sdk-node"), run: script("rudder-node.cjs"),
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 5: died}, want: shop,
	},
	{
		name: "@rudderstack/analytics-js", version: npm("@rudderstack/analytics-js"), run: page("rudder.html", 3),
		carries: []string{"/v1/", "/beacon/"}, faults: map[int]fault{5: lost, 9: died},
		want: want{
			events:  map[string]int{"Page Viewed": 1, "Screen Seen": 1, "Beacon Sent": 1, "Group Joined": 1, "Order Completed": 20},
			revenue: 510, person: "u-1", profile: map[string]any{"name": "Asha Rao", "email": "asha@shop.example", "plan": "gold"}, devices: 1,
		},
	},
	{
		name: "rudderlabs/analytics-go", version: module("github.com/rudderlabs/analytics-go"), run: rudderGo,
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 5: died}, want: shop,
	},
	{
		name: "clevertap-web-sdk", version: npm("clevertap-web-sdk"), run: page("clevertap.html", 2), secure: true,
		carries: []string{"/a"}, faults: map[int]fault{8: lost, 12: died},
		want: want{
			events: map[string]int{"Page Viewed": 2, "Product Viewed": 1, "Charged": 20}, revenue: 510, orders: [2]string{"Charged", "Amount"},
			person: "u-1", profile: map[string]any{"Name": "Asha Rao", "Email": "asha@shop.example", "plan": "gold"}, devices: 1,
		},
	},
	{
		name: "posthog-node", version: npm("posthog-node"), run: script("posthog-node.mjs"),
		carries: []string{"/batch/", "/i/"}, faults: map[int]fault{2: lost, 5: died},
		want: want{events: map[string]int{"Page Viewed": 1, "Order Completed": 20}, revenue: 510, person: "u-1", profile: known},
	},
	{
		name: "posthog-js", version: npm("posthog-js"), run: page("posthog.html", 1),
		carries: []string{"/e/", "/i/"}, faults: map[int]fault{3: lost, 5: died},
		want: want{events: map[string]int{"Page Viewed": 1, "Group Joined": 1, "Order Completed": 20}, revenue: 510, person: "u-1", profile: known, devices: 1},
	},
	{
		name: "mixpanel", version: npm("mixpanel"), run: script("mixpanel-node.cjs"),
		carries: []string{"/track", "/engage", "/groups"}, faults: map[int]fault{4: lost, 7: died},
		want: want{events: map[string]int{"Product Viewed": 1, "Order Completed": 20}, revenue: 510, person: "u-1", profile: visited},
		note: "it sends nothing again: the script calls again",
	},
	{
		name: "mixpanel-browser", version: npm("mixpanel-browser"), run: page("mixpanel.html", 1), front: true, once: true,
		carries: []string{"/track/", "/engage/", "/groups/"}, faults: map[int]fault{3: lost, 5: died},
		want: want{events: map[string]int{"Page Viewed": 1, "Order Completed": 20}, revenue: 510, person: "u-1", profile: known, devices: 1},
		note: "it sends again what a proxy in front answers with 502 and CORS headers, and drops what met a failed connection",
	},
	{
		name: "@amplitude/analytics-node", version: npm("@amplitude/analytics-node"), run: script("amplitude-node.cjs"), front: true,
		carries: []string{"/2/httpapi", "/batch"}, faults: map[int]fault{2: lost, 5: died},
		want: want{events: map[string]int{"Product Viewed": 1, "Order Completed": 20}, revenue: 510, person: "u-1", profile: visited, devices: 1},
		note: "it sends again what a proxy in front answers with 502, and reports what met a failed connection: then the script calls again",
	},
	{
		name: "@amplitude/analytics-browser", version: npm("@amplitude/analytics-browser"), run: page("amplitude.html", 2),
		carries: []string{"/2/httpapi", "/batch"}, faults: map[int]fault{2: lost, 5: died},
		want: want{events: map[string]int{"Product Viewed": 1, "Order Completed": 20}, revenue: 510, person: "u-1", profile: known, devices: 1},
	},
}

// shop is what the same calls come to in every dialect that has them all.
var shop = want{
	events:  map[string]int{"Page Viewed": 1, "Screen Viewed": 1, "Group Joined": 1, "Order Completed": 20},
	revenue: 510, person: "u-1",
	profile: map[string]any{"name": "Asha Rao", "email": "asha@shop.example", "plan": "gold", "tz": "Asia/Kolkata"},
}

var segmentWant = func() want {
	w := shop
	w.consent = map[string]bool{"news": true}
	return w
}()

var inBrowser = func() want {
	w := shop
	w.profile = maps.Clone(shop.profile)
	w.profile["tz"] = "Europe/Berlin" // which the browser says itself
	w.devices = 1
	return w
}()

// known is what is known of the person in dialects without a time zone, visited
// where something was counted as well.
var (
	known   = map[string]any{"name": "Asha Rao", "email": "asha@shop.example", "plan": "gold"}
	visited = map[string]any{"name": "Asha Rao", "email": "asha@shop.example", "plan": "gold", "visits": 3}
)
