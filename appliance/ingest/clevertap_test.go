package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestClevertapRecords(t *testing.T) {
	cases := []struct{ name, record, want string }{
		{"event", `{"type":"event","identity":"u","ts":1764000000,"evtName":"Charged","evtData":{"Amount":25.5,"Items":[{"sku":"a","n":2}],"n":null,"When":"$D_1764000000","card_number":"4111"}}`,
			`track user=u name=Charged at=2025-11-24T16:00:00Z props={"Amount":25.5,"Items":[{"sku":"a","n":2}],"When":"2025-11-24T16:00:00Z"}`},
		{"by device, no time, no data", `{"type":"event","objectId":"__g123","evtName":"Opened"}`, `track device=__g123 name=Opened at=2026-11-23T16:26:00Z`},
		{"a number as identity", `{"type":"event","identity":919812345678,"evtName":"Opened"}`, `track user=919812345678 name=Opened at=2026-11-23T16:26:00Z`},
		{"FBID", `{"type":"event","FBID":"77","evtName":"Opened"}`, `track user=FBID:77 name=Opened at=2026-11-23T16:26:00Z`},
		{"GPID", `{"type":"event","GPID":"78","evtName":"Opened"}`, `track user=GPID:78 name=Opened at=2026-11-23T16:26:00Z`},
		{"ts as text", `{"type":"event","identity":"u","ts":"1764000000","evtName":"Opened"}`, `track user=u name=Opened at=2025-11-24T16:00:00Z`},
		{"far ahead", `{"type":"event","identity":"u","ts":9999999999,"evtName":"Opened"}`, `track user=u name=Opened at=2026-11-23T16:26:00Z flags=1`},
		{"a long name", `{"type":"event","identity":"u","evtName":"` + strings.Repeat("n", 1024) + `"}`, `track user=u name=` + strings.Repeat("n", 1024) + ` at=2026-11-23T16:26:00Z`},
		{"social date", `{"type":"event","identity":"u","evtName":"X","evtData":{"d":"$D_19900815","e":"$E_red","x":"$D_soon"}}`, `track user=u name=X at=2026-11-23T16:26:00Z props={"d":"1990-08-15T00:00:00Z","e":"red","x":"$D_soon"}`},
		{"profile", `{"type":"profile","identity":"u","profileData":{"Name":"Asha","Email":"asha@shop.example","Phone":919812345678,"Gender":"F","Age":"34","DOB":"$D_650678400","Tz":"Asia/Kolkata","nothing":null,"customer_ref":"c"}}`,
			`identify user=u at=2026-11-23T16:26:00Z Name:0="Asha" Email:0="asha@shop.example" Phone:0="+919812345678" Gender:0="F" Age:0="34" DOB:0="1990-08-15T00:00:00Z" tz:0="Asia/Kolkata" customer_ref:0="c"(personal) to:email/=asha@shop.example to:sms/=+919812345678`},
		{"operators", `{"type":"profile","identity":"u","profileData":{"a":{"$set":["x"]},"b":{"$add":"x"},"c":{"$remove":["x","y"]},"d":{"$delete":1},"e":{"$delete":true},"f":{"$incr":5},"g":{"$decr":2.5},"h":["p","q"],"i":{"plain":1}}}`,
			`identify user=u at=2026-11-23T16:26:00Z a:0=["x"] b:2="x" c:3=["x","y"] d:4=null e:4=null f:5=5 g:5=-2.5 h:0=["p","q"] i:0={"plain":1}`},
		{"flags", `{"type":"profile","identity":"u","profileData":{"MSG-email":false,"MSG-push":true,"MSG-sms":true,"MSG-whatsapp":true}}`,
			`identify user=u at=2026-11-23T16:26:00Z MSG-whatsapp:0=true consent:Advertising/email=false consent:news/email=false consent:Advertising/push=true consent:news/push=true consent:news/sms=true`},
		{"do not disturb", `{"type":"profile","identity":"u","profileData":{"MSG-dndEmail":true,"MSG-dndPhone":false}}`, `identify user=u at=2026-11-23T16:26:00Z consent:Advertising/email=false consent:news/email=false`},
		{"opted out", `{"type":"profile","objectId":"g","profileData":{"ct_optout":true}}`, `identify device=g at=2026-11-23T16:26:00Z consent:collection/=false`},
		{"opted in again", `{"type":"profile","objectId":"g","profileData":{"ct_optout":false}}`, `identify device=g at=2026-11-23T16:26:00Z consent:collection/=true`},
		{"token", `{"type":"token","objectId":"g","tokenData":{"id":"tok","type":"fcm"}}`, `identify device=g at=2026-11-23T16:26:00Z to:push/fcm=tok`},
		{"old name of fcm", `{"type":"token","objectId":"g","tokenData":{"id":"tok","type":"GCM"}}`, `identify device=g at=2026-11-23T16:26:00Z to:push/fcm=tok`},
		{"apns", `{"type":"token","objectId":"g","tokenData":{"id":"tok","type":"apns"}}`, `identify device=g at=2026-11-23T16:26:00Z to:push/apns=tok`},
		{"web push", `{"type":"token","objectId":"g","tokenData":{"id":"https://push.example/x","type":"chrome","keys":{"p256dh":"p","auth":"a"}}}`, `identify device=g at=2026-11-23T16:26:00Z to:push/webpush=https://push.example/x{"p256dh":"p","auth":"a"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			a.want(a.upload(`{"d":[`+c.record+`]}`), 200, `{"status":"success","processed":1,"unprocessed":[]}`)
			a.wantFacts(c.want)
		})
	}
}

func TestClevertapCodes(t *testing.T) {
	profile := func(data string) string { return `{"type":"profile","identity":"u","profileData":` + data + `}` }
	token := func(data string) string { return `{"type":"token","objectId":"g","tokenData":` + data + `}` }
	props := make([]string, 257)
	for i := range props {
		props[i] = fmt.Sprintf(`"k%d":1`, i)
	}
	cases := []struct {
		code   int
		record string
	}{
		{509, `{"type":"event","identity":"u"}`}, {509, `{"type":"event","identity":"u","evtName":7}`},
		{512, `{"type":"event","identity":"u","evtName":"x","evtData":[]}`}, {512, `{"type":"event","identity":"u","evtName":"` + strings.Repeat("n", 1025) + `"}`},
		{512, `{"type":"event","identity":"u","evtName":"x","evtData":{"":1}}`},
		{513, `{"type":"event","identity":"u","evtName":"App Launched"}`}, {513, `{"type":"event","identity":"u","evtName":"Notification Clicked"}`},
		{514, profile(`{"Gender":"Q"}`)}, {515, profile(`{"Email":"no"}`)}, {515, profile(`{"Email":7}`)}, {516, profile(`{"Phone":"12"}`)}, {516, profile(`{"Phone":"call me"}`)},
		{517, profile(`{"Employed":"maybe"}`)}, {518, profile(`{"Education":"none"}`)}, {519, profile(`{"Married":"x"}`)}, {520, profile(`{"Age":"old"}`)}, {520, profile(`{"Age":900}`)},
		{512, profile(`{"a":{"$incr":"x"}}`)}, {512, profile(`{"a":{"$incr":-1}}`)}, {512, profile(`{"a":{"$what":1}}`)}, {512, profile(`{"MSG-email":"no"}`)}, {512, profile(`{"MSG-dndEmail":1}`)},
		{522, `{"type":"event","identity":"u","evtName":"x","evtData":{` + strings.Join(props, ",") + `}}`},
		{523, `{"type":"event","evtName":"x"}`}, {523, `{"type":"event","identity":"","evtName":"x"}`},
		{524, `{"identity":"u"}`}, {524, `{"type":"other","identity":"u"}`}, {524, `7`}, {524, `[]`}, {524, profile(`[]`)},
		{525, `{"type":"event","identity":"u","evtName":"x","ts":"now"}`}, {525, `{"type":"event","identity":"u","evtName":"x","ts":1764000000000}`}, {525, `{"type":"event","identity":"u","evtName":"x","ts":-5}`},
		{525, `{"type":"event","identity":"u","evtName":"x","ts":0}`},
		{526, `{"type":"event","objectId":"g\u0000","evtName":"x"}`}, {526, `{"type":"event","objectId":{},"identity":"u","evtName":"x"}`},
		{530, `{"type":"token","identity":"u","tokenData":{"id":"t","type":"fcm"}}`}, {531, token(`[]`)}, {532, token(`{"type":"fcm"}`)}, {533, token(`{"id":"t"}`)}, {534, token(`{"id":"t","type":"wns"}`)}, {535, token(`{"id":"t","type":"chrome"}`)},
	}
	a := newDoor(t)
	for _, c := range cases {
		w := a.upload(`{"d":[{"type":"event","identity":"u","evtName":"Good"},` + c.record + `]}`)
		a.want(w, 200, `"status":"partial","processed":1`)
		var got struct {
			Unprocessed []struct {
				Status string
				Code   int
				Error  string
				Record json.RawMessage
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Unprocessed) != 1 || got.Unprocessed[0].Code != c.code || got.Unprocessed[0].Status != "fail" || !strings.HasSuffix(got.Unprocessed[0].Error, "Skipped record number : 2") || len(got.Unprocessed[0].Record) == 0 {
			t.Errorf("%d, not %d: %.300s: %.200s", got.Unprocessed[0].Code, c.code, got.Unprocessed[0].Error, c.record)
		}
		a.want(a.upload(`{"d":[`+c.record+`]}`), 200, `"status":"fail","processed":0`)
	}
	if n := len(a.facts()); n != len(cases) {
		t.Errorf("%d facts of %d", n, len(cases))
	}
}

func TestClevertapRequests(t *testing.T) {
	a := newDoor(t)
	good := `{"d":[{"type":"event","identity":"u","evtName":"x"}]}`
	for _, c := range [][2]string{{"SERVER", "wrong"}, {"SERVER", ""}, {"WRITEKEY", ""}, {"", ""}, {"OTHER", "s3cret"}} {
		w := a.send("POST", "/1/upload", good, "X-CleverTap-Account-ID", c[0], "X-CleverTap-Passcode", c[1])
		a.want(w, 401, `{"status":"fail","error":"Invalid Credentials","code":401}`)
	}
	for _, dry := range []string{"?dryRun=1", "?dryRun=true"} {
		a.want(a.send("POST", "/1/upload"+dry, good, "X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret"), 200, `"processed":1`)
	}
	if len(a.facts()) != 0 {
		t.Error("a dry run wrote")
	}
	a.want(a.upload(`{"d":[`+strings.Repeat(`{"type":"event","identity":"u","evtName":"x"},`, clevertapMaxRecords)+`{}]}`), 400, "at most 1000")
	a.want(a.upload(`{"d":[`+strings.Repeat(`{"type":"token","objectId":"g","tokenData":{"id":"t","type":"fcm"}},`, clevertapMaxTokens)+`{"type":"token","objectId":"g","tokenData":{"id":"t","type":"fcm"}}]}`), 200, `"processed":100`, `"code":531`)
	a.facts()
	// What waited in a browser while its user had opted out.
	a.want(a.upload(`{"d":[{"type":"event","objectId":"g:OO","evtName":"x"}]}`), 200, `{"status":"success","processed":1,"unprocessed":[]}`)
	if len(a.facts()) != 0 {
		t.Error("kept what was raised while opted out")
	}
}

func FuzzClevertap(f *testing.F) {
	f.Add(`{"d":[{"type":"event","identity":"u","ts":1764000000,"evtName":"Charged","evtData":{"Amount":25.5,"Items":[{"sku":"a"}],"When":"$D_1764000000"}}]}`)
	f.Add(`{"d":[{"type":"profile","objectId":"g","profileData":{"Email":"a@b","Phone":919812345678,"MSG-email":true,"a":{"$incr":1}}}]}`)
	f.Add(`{"d":[{"type":"token","objectId":"g","tokenData":{"id":"t","type":"chrome","keys":{"p256dh":"p","auth":"a"}}}]}`)
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{Purposes: map[string][]string{"news": {"email"}}}}}
	f.Fuzz(func(t *testing.T, body string) {
		records, err := clevertapRecords(&parser{s: body})
		if err != nil {
			return
		}
		b := door.begin("clevertap", key)
		translateClevertap(b, records)
		for _, one := range b.refused {
			_ = unprocessed(one).AppendJSON(nil)
		}
		fuzzFacts(t, b.facts, b.limits)
	})
}
