package main

import "maps"

// sdks are those that are tried, in the order of the table.
var sdks = []sdk{
	{
		name: "@segment/analytics-node", version: npm("@segment/analytics-node"), run: script("segment-node.mjs"),
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 4: died}, want: segmentWant,
	},
	{
		name: "@segment/analytics-next", version: npm("@segment/analytics-next"), run: page("segment.html", 2),
		carries: []string{"/v1/p", "/v1/i", "/v1/t", "/v1/g", "/v1/s", "/v1/a", "/v1/b"}, faults: map[int]fault{5: lost, 9: died}, want: inBrowser,
	},
	{
		name: "segmentio/analytics-go", version: module("github.com/segmentio/analytics-go/v3"), run: segmentGo,
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 4: died}, want: segmentWant,
	},
	{
		name: "@rudderstack/rudder-sdk-node", version: npm("@rudderstack/rudder-sdk-node"), run: script("rudder-node.cjs"),
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 4: died}, want: shop,
	},
	{
		name: "@rudderstack/analytics-js", version: npm("@rudderstack/analytics-js"), run: page("rudder.html", 2),
		carries: []string{"/v1/", "/beacon/"}, faults: map[int]fault{5: lost, 9: died},
		want: want{
			events:  map[string]int{"Page Viewed": 1, "Screen Seen": 1, "Group Joined": 1, "Order Completed": 20},
			revenue: 510, person: "u-1", profile: map[string]any{"name": "Asha Rao", "email": "asha@shop.example", "plan": "gold"}, devices: 1,
		},
	},
	{
		name: "rudderlabs/analytics-go", version: module("github.com/rudderlabs/analytics-go"), run: rudderGo,
		carries: []string{"/v1/"}, faults: map[int]fault{2: lost, 4: died}, want: shop,
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
