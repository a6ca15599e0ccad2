package oracle

import (
	"encoding/json"
	"testing"
	"time"
)

const data = "../../../../shared/data/"

// real asks fixed questions about one of the sets beside the checkout.
func real(t *testing.T, s set, events int, asked ...string) {
	b := open(t, s)
	if b.events != events {
		t.Fatalf("%d events", b.events)
	}
	for _, body := range asked {
		var q object
		must(t, json.Unmarshal([]byte(body), &q))
		if err := b.compare(t.Context(), q); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlineRetail(t *testing.T) {
	real(t, set{
		events: data + "online_retail/events.ndjson.gz", zone: "Europe/London", now: time.Date(2011, 12, 10, 0, 0, 0, 0, time.UTC),
		props: map[string]string{"invoice": "VARCHAR", "sku": "VARCHAR", "description": "VARCHAR", "quantity": "BIGINT", "unit_price": "DOUBLE", "amount": "DOUBLE", "country": "VARCHAR"},
	}, 406_829,
		`{"kind":"trend","interval":"month","from":"2010-12-01","to":"2011-12-09","series":[{"event":"Item Purchased"},{"event":"Item Purchased","measure":"unique"},
			{"event":"Item Purchased","measure":"sum","property":"amount"},{"measure":"median","property":"unit_price"},{"measure":"p99","property":"quantity"},
			{"measure":"distinct","property":"sku"},{"event":"Item Returned","measure":"first_seen"},{"event":"Item Returned","measure":"last_seen"},{"measure":"per_person"}]}`,
		`{"kind":"trend","interval":"week","week_starts":"sunday","from":"2011-03-20","to":"2011-04-10","timezone":"America/New_York","breakdown":{"property":"country","limit":10},
			"series":[{"event":"Item Purchased","measure":"sum","property":"quantity"},{"event":"Item Returned","measure":"min","property":"quantity"}]}`,
		`{"kind":"trend","interval":"all","from":"2010-12-01","to":"2011-12-09","breakdown":[{"property":"country"},{"property":"sku"}],"series":[{"measure":"unique"}],"filter":{"property":"description","op":"contains","value":"heart"}}`,
		`{"kind":"trend","interval":"day","from":"2011-03-01","to":"2011-04-30","series":[{"measure":"unique","trailing":{"n":7,"unit":"day"}}]}`,
		`{"kind":"segment","people":{"all":[{"did":{"event":"Item Purchased"},"count":{"op":">=","value":50},"days":{"op":">","value":3},"sum":{"property":"amount","op":">","value":1000}},
			{"did_not":{"event":"Item Returned"},"in":{"last":{"n":26,"unit":"week"}}}]},"list":{"limit":1000}}`,
		`{"kind":"segment","people":{"any":[{"first":{"event":"Item Returned"},"in":{"from":"2011-11-01"}},{"last":{"filter":{"property":"country","op":"not_in","value":["United Kingdom"]}},"in":{"to":"2011-01-31"}}]},"list":{"limit":10}}`,
		`{"kind":"retention","mode":"first_time","interval":"month","first":"2010-12-01","buckets":13,"start":{"event":"Item Purchased"},"return":{"event":"Item Purchased"}}`,
		`{"kind":"retention","mode":"recurring","interval":"week","first":"2011-05-01","buckets":20,"unbounded":true,"start":{"event":"Item Purchased"},"return":{"event":"Item Returned"}}`,
		`{"kind":"lifecycle","event":"Item Purchased","interval":"month","from":"2011-01-01","to":"2011-12-09"}`,
		`{"kind":"stickiness","event":"Item Purchased","interval":"week","from":"2011-01-01","to":"2011-12-09"}`,
		`{"kind":"distribution","event":"Item Purchased","from":"2011-01-01","to":"2011-12-09","bins":20}`,
		`{"kind":"distribution","of":"time","event":"Item Purchased","then":{"event":"Item Returned"},"from":"2010-12-01","to":"2011-12-09"}`,
		`{"kind":"sessions","from":"2011-01-01","to":"2011-12-09","session":"invoice","interval":"month"}`,
		`{"kind":"sessions","from":"2011-01-01","to":"2011-12-09","gap":{"n":1,"unit":"day"}}`,
		`{"kind":"funnel","from":"2010-12-01","to":"2011-12-09","window":{"n":30,"unit":"day"},"hold":["sku"],"count":"attempts","steps":[{"event":"Item Purchased"},{"event":"Item Returned"}],
			"breakdown":{"property":"country"},"attribution":"step","step":1}`,
		`{"kind":"funnel","from":"2010-12-01","to":"2011-12-09","window":{"n":13,"unit":"week"},"ties":"strict","start":"first","steps":[{"event":"Item Purchased"},{"event":"Item Purchased"},{"event":"Item Returned"},{"event":"Item Purchased"}]}`,
	)
}

func TestCDNow(t *testing.T) {
	real(t, set{
		events: data + "cdnow/events.ndjson.gz", zone: "America/New_York", now: time.Date(1998, 7, 1, 0, 0, 0, 0, time.UTC),
		props: map[string]string{"cds": "BIGINT", "amount": "DOUBLE"},
	}, 69_659,
		`{"kind":"retention","mode":"first_time","interval":"month","first":"1997-01-01","buckets":18,"start":{},"return":{}}`,
		`{"kind":"retention","mode":"recurring","interval":"month","first":"1997-01-01","buckets":18,"start":{"filter":{"property":"amount","op":">","value":50}},"return":{}}`,
		`{"kind":"lifecycle","interval":"month","from":"1997-01-01","to":"1998-06-30"}`,
		`{"kind":"stickiness","interval":"quarter","from":"1997-01-01","to":"1998-06-30"}`,
		`{"kind":"trend","interval":"quarter","from":"1997-01-01","to":"1998-06-30","breakdown":{"property":"cds","limit":5},"series":[{"measure":"sum","property":"amount"},{"measure":"avg","property":"amount"}]}`,
		`{"kind":"distribution","of":"property","property":"amount","from":"1997-01-01","to":"1998-06-30","bins":25}`,
		`{"kind":"funnel","from":"1997-01-01","to":"1998-06-30","window":{"n":12,"unit":"week"},"steps":[{},{},{},{}]}`,
		`{"kind":"segment","people":{"did":{},"count":{"op":"between","value":[3,5]},"avg":{"property":"amount","op":"<","value":20}},"list":{"limit":500}}`,
	)
}

func TestCompleteJourney(t *testing.T) {
	real(t, set{
		events: data + "complete_journey/events.ndjson.gz", zone: "America/Chicago", now: time.Date(2018, 1, 2, 0, 0, 0, 0, time.UTC),
		props: map[string]string{"campaign_id": "VARCHAR", "campaign_type": "VARCHAR", "coupon_upc": "VARCHAR", "store_id": "VARCHAR", "basket_id": "VARCHAR", "product_id": "VARCHAR",
			"quantity": "BIGINT", "amount": "DOUBLE", "retail_disc": "DOUBLE", "coupon_disc": "DOUBLE", "department": "VARCHAR", "brand": "VARCHAR"},
	}, 83_691,
		`{"kind":"funnel","from":"2016-11-01","to":"2018-01-01","window":{"n":60,"unit":"day"},"hold":["campaign_id"],"steps":[{"event":"Campaign Received"},{"event":"Coupon Redeemed"}],
			"breakdown":{"property":"campaign_type"},"attribution":"step","step":1}`,
		`{"kind":"funnel","from":"2017-01-01","to":"2017-12-31","window":{"n":7,"unit":"day"},"count":"attempts","exclude":[{"event":"Purchase","after_step":1,"before_step":2}],"steps":[{"event":"Campaign Received"},{"event":"Coupon Redeemed"}]}`,
		`{"kind":"trend","interval":"month","from":"2017-01-01","to":"2017-12-31","breakdown":[{"property":"department","limit":6},{"property":"brand"}],"series":[{"event":"Purchase","measure":"sum","property":"amount"},{"event":"Purchase","measure":"p90","property":"amount"}]}`,
		`{"kind":"trend","interval":"day","from":"2017-03-10","to":"2017-03-14","series":[{"event":"Purchase"},{"event":"Purchase","measure":"unique"}]}`,
		`{"kind":"trend","interval":"hour","from":"2017-11-05","to":"2017-11-05","series":[{"event":"Purchase"}]}`,
		`{"kind":"sessions","event":"Purchase","session":"basket_id","from":"2017-01-01","to":"2017-12-31","interval":"week"}`,
		`{"kind":"retention","mode":"first_time","interval":"month","first":"2017-01-01","buckets":12,"start":{"event":"Campaign Received"},"return":{"event":"Purchase","filter":{"property":"coupon_disc","op":">","value":0}}}`,
		`{"kind":"segment","people":{"all":[{"did":{"event":"Campaign Received","filter":{"property":"campaign_type","op":"=","value":"Type A"}}},{"not":{"did":{"event":"Coupon Redeemed"}}}]},"list":{"limit":100}}`,
	)
}

func TestSparkify(t *testing.T) {
	real(t, set{
		events: data + "sparkify_log/events.ndjson.gz", zone: "America/Los_Angeles", now: time.Date(2018, 12, 1, 0, 0, 0, 0, time.UTC),
		props:    map[string]string{"sessionId": "BIGINT", "itemInSession": "BIGINT", "level": "VARCHAR", "status": "BIGINT", "artist": "VARCHAR", "song": "VARCHAR", "length": "DOUBLE", "userAgent": "VARCHAR"},
		profiles: data + "sparkify_log/profiles.ndjson", profile: map[string]string{"gender": "VARCHAR", "last_level": "VARCHAR"},
	}, 7_770,
		`{"kind":"sessions","session":"sessionId","from":"2018-11-01","to":"2018-11-30","interval":"day"}`,
		`{"kind":"sessions","from":"2018-11-01","to":"2018-11-30","interval":"week"}`,
		`{"kind":"trend","interval":"day","from":"2018-11-02","to":"2018-11-06","breakdown":[{"property":"level"},{"of":"profile","property":"gender"}],"series":[{"event":"NextSong"},{"event":"NextSong","measure":"sum","property":"length"}]}`,
		`{"kind":"trend","interval":"all","from":"2018-11-01","to":"2018-11-30","breakdown":{"property":"artist","limit":20},"series":[{"event":"NextSong","measure":"unique"}]}`,
		`{"kind":"trend","interval":"all","from":"2018-11-01","to":"2018-11-30","breakdown":{"of":"person","limit":10},"series":[{"event":"NextSong","measure":"distinct","property":"song"}]}`,
		`{"kind":"funnel","from":"2018-11-01","to":"2018-11-30","window":{"n":3,"unit":"day"},"steps":[{"event":"NextSong"},{"event":"Upgrade"},{"event":"Submit Upgrade"}],"people":{"profile":{"property":"gender","op":"=","value":"F"}}}`,
		`{"kind":"segment","people":{"all":[{"profile":{"property":"last_level","op":"=","value":"paid"}},{"at_least":2,"of":[{"did":{"event":"Help"}},{"did":{"event":"Error"}},{"did":{"event":"Logout"},"count":{"op":">","value":2}}]}]},"list":{}}`,
		`{"kind":"stickiness","event":"NextSong","from":"2018-11-01","to":"2018-11-30"}`,
		`{"kind":"lifecycle","interval":"week","from":"2018-11-01","to":"2018-11-30","filter":{"property":"userAgent","op":"matches","value":"Chrome/3[0-9]"}}`,
	)
}

func TestStarbucks(t *testing.T) {
	real(t, set{
		events: data + "starbucks/events.ndjson.gz", zone: "America/Los_Angeles", now: time.Date(2018, 2, 1, 0, 0, 0, 0, time.UTC),
		props:    map[string]string{"offer_id": "VARCHAR", "offer_type": "VARCHAR", "reward": "BIGINT", "difficulty": "BIGINT", "valid_hours": "BIGINT", "channels": "VARCHAR[]"},
		profiles: data + "starbucks/profiles.ndjson.gz", profile: map[string]string{"gender": "VARCHAR", "age": "BIGINT", "income": "DOUBLE"},
	}, 109_459,
		`{"kind":"funnel","from":"2018-01-01","to":"2018-01-31","window":{"property":"valid_hours","unit":"hour"},"hold":["offer_id"],"count":"attempts","steps":[{"event":"Offer Received"},{"event":"Offer Completed"}],
			"breakdown":{"property":"offer_id"},"attribution":"step","step":1}`,
		`{"kind":"funnel","from":"2018-01-01","to":"2018-01-31","window":{"property":"valid_hours","unit":"hour"},"hold":["offer_id"],"steps":[{"event":"Offer Received"},{"event":"Offer Completed"}],
			"breakdown":{"of":"profile","property":"gender"},"attribution":"step","step":1}`,
		`{"kind":"trend","interval":"all","from":"2018-01-01","to":"2018-01-31","breakdown":[{"property":"channels"},{"of":"profile","property":"gender"}],"series":[{"event":"Offer Received","measure":"unique"},{"event":"Offer Received","measure":"avg","property":"difficulty"}]}`,
		`{"kind":"trend","interval":"week","from":"2018-01-01","to":"2018-01-31","series":[{"event":"Offer Completed","measure":"sum","property":"reward"}],"people":{"profile":{"property":"income","op":"between","value":[50000,80000]}},"cumulative":true}`,
		`{"kind":"segment","people":{"all":[{"did":{"event":"Offer Received","filter":{"property":"channels","op":"not_contains","value":"SOCIAL"}}},{"profile":{"property":"age","op":"not_exists"}}]},"list":{"limit":20}}`,
		`{"kind":"distribution","of":"time","event":"Offer Received","then":{"event":"Offer Completed"},"from":"2018-01-01","to":"2018-01-31"}`,
		`{"kind":"retention","mode":"recurring","interval":"day","first":"2017-12-31","buckets":30,"start":{"event":"Offer Received"},"return":{"event":"Offer Completed"}}`,
	)
}
