package clevertap

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// email is the body of a target; more are members before the rest.
func email(more string) string {
	return `{"name":"Sale","target_mode":"email","purpose":"offers","content":{"subject":"Hi {{ Profile.Name }}","body":"<p>Sale</p>","sender_name":"Shop"},` +
		`"provider_nick_name":"ses","respect_frequency_caps":false,` + more + `}`
}

const goldUsers = `"where":{"event_name":"Viewed","from":20260101,"to":20260131,"common_profile_properties":{"profile_fields":[{"name":"Plan","value":"gold"}]}}`

func (h *house) sentTo() []string {
	var out []string
	for _, m := range h.post.letters() {
		out = append(out, m.Channel+" "+m.Platform+" "+m.To+": "+m.Subject+"|"+m.Text+"|"+m.HTML+"|"+m.Link)
	}
	slices.Sort(out)
	return out
}

func TestATargetIsACampaignThatGoesOut(t *testing.T) {
	h := open(t)
	shop(h)
	a := h.ok("targets/create.json", email(goldUsers+`,"when":"now","labels":["jan","sale"],"conversion_goal":{"event_name":"Charged"}`))
	if e, _ := json.Marshal(a["estimates"]); string(e) != `{"email":2}` {
		t.Error(a)
	}
	if i, _ := json.Marshal(a["ignored"]); string(i) != `["content.sender_name","provider_nick_name","respect_frequency_caps"]` {
		t.Error(string(i))
	}
	id := fmt.Sprintf("%.0f", a["id"])
	h.eventually("two letters", func() bool { return len(h.post.letters()) == 2 })
	for i, want := range []string{"email  ann@example.com: Hi Ann|", "email  shared@example.com: Hi|"} {
		if got := h.sentTo()[i]; !strings.HasPrefix(got, want) || !strings.Contains(got, "<p>Sale</p>") {
			t.Errorf("%s, not %s", got, want)
		}
	}
	s, err := h.pub.Campaigns().Get(id)
	check(t, err)
	if s.Purpose != "offers" || s.Class != campaign.Marketing || s.Name != "Sale" || s.Goal == nil || !slices.Equal(s.Labels, []string{"jan", "sale"}) {
		t.Errorf("%+v", s.Campaign)
	}
	if !h.log.has("campaign.make", "campaign "+id) {
		t.Error("not in the audit")
	}
	h.eventually("it is completed", func() bool {
		_, a := h.call("SRV", http.MethodPost, "targets/result.json", `{"id":`+id+`}`)
		r, _ := a["result"].(map[string]any)
		return a["status"] == "success" && r["sent"] == 2.0
	})
	today := h.now().In(h.pub.Location()).Format("20060102")
	a = h.ok("targets/list.json", `{"from":`+today+`,"to":`+today+`}`)
	row := a["targets"].([]any)[0].(map[string]any)
	if row["name"] != "Sale" || row["status"] != "completed" || fmt.Sprintf("%.0f", row["id"]) != id || !strings.HasPrefix(fmt.Sprintf("%.0f", row["scheduled_on"]), today) {
		t.Error(a)
	}
	h.fails("targets/stop.json", `{"id":`+id+`}`, 400, "completed")
	// Two in one second are two.
	b := h.ok("targets/create.json", email(goldUsers+`,"when":"now","draft":true`))
	if b["id"] == a["id"] {
		t.Error(b)
	}
}

// Consent holds for a target as for everything: bob agreed to nothing.
func TestATargetIsNoWayRoundConsent(t *testing.T) {
	h := open(t)
	shop(h)
	a := h.ok("targets/create.json", email(`"where":{"common_profile_properties":{"profile_fields":[{"name":"Identity","value":"bob"}]}},"when":"now"`))
	if e, _ := json.Marshal(a["estimates"]); string(e) != `{"email":0}` {
		t.Error(a)
	}
	id := fmt.Sprintf("%.0f", a["id"])
	h.eventually("it is held", func() bool {
		_, a := h.call("SRV", http.MethodPost, "targets/result.json", `{"id":`+id+`}`)
		r, _ := a["result"].(map[string]any)
		return a["status"] == "success" && r["held"] == 1.0
	})
	if n := len(h.post.letters()); n != 0 {
		t.Errorf("%d letters to somebody who did not agree", n)
	}
	// What is about his account goes.
	h.ok("targets/create.json", strings.Replace(email(`"where":{"common_profile_properties":{"profile_fields":[{"name":"Identity","value":"bob"}]}},"when":"now"`), `"purpose":"offers"`, `"labels":["purpose:service"]`, 1))
	h.eventually("one letter", func() bool { return len(h.post.letters()) == 1 })
}

func TestATargetWaitsForItsTimeAndCanBeStopped(t *testing.T) {
	h := open(t)
	shop(h)
	at := h.now().Add(48 * time.Hour).In(h.pub.Location())
	a := h.ok("targets/create.json", email(goldUsers+`,"when":"`+at.Format("20060102 15:04")+`","skip_estimate":true,"ttl":{"ttl_type":"relative","value":{"hours":3}}`))
	if a["estimates"] != nil {
		t.Error(a)
	}
	id := fmt.Sprintf("%.0f", a["id"])
	s, err := h.pub.Campaigns().Get(id)
	check(t, err)
	if !s.Trigger.At.Equal(at.Truncate(time.Minute)) || time.Duration(s.Expires) != 3*time.Hour {
		t.Errorf("%+v", s.Campaign)
	}
	code, a := h.call("SRV", http.MethodPost, "targets/result.json", `{"id":`+id+`}`)
	if code != 409 || a["status"] != "fail" || a["error"] != "the campaign is scheduled" {
		t.Error(code, a)
	}
	day := at.Format("20060102")
	list := h.ok("targets/list.json", `{"from":`+day+`,"to":`+day+`}`)["targets"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["status"] != "scheduled" {
		t.Error(list)
	}
	h.ok("targets/stop.json", `{"id":`+id+`}`)
	h.ok("targets/stop.json", `{"id":"`+id+`"}`)
	if list := h.ok("targets/list.json", `{"from":`+day+`,"to":`+day+`}`)["targets"].([]any); list[0].(map[string]any)["status"] != "stopped" {
		t.Error(list)
	}
	h.fails("targets/stop.json", `{"id":1}`, 404, "no such campaign")
	h.fails("targets/stop.json", `{}`, 400, "id is needed")
}

func TestAnEstimateMakesNothing(t *testing.T) {
	h := open(t)
	shop(h)
	for _, path := range []string{"targets/create.json", "targets/estimate.json"} {
		a := h.ok(path, email(goldUsers+`,"when":"now","estimate_only":true`))
		if e, _ := json.Marshal(a["estimates"]); string(e) != `{"email":2}` || a["id"] != nil {
			t.Error(path, a)
		}
	}
	a := h.ok("targets/estimate.json", strings.Replace(email(`"segment":"all","when":"now"`), `"target_mode":"email"`, `"target_mode":"sms"`, 1))
	if e, _ := json.Marshal(a["estimates"]); string(e) != `{"sms":1}` {
		t.Error(a)
	}
	all, err := h.pub.Campaigns().List()
	check(t, err)
	if len(all) != 0 {
		t.Errorf("%d campaigns", len(all))
	}
}

func TestWhatATargetCannotBeIsSaid(t *testing.T) {
	h := open(t)
	shop(h)
	for _, c := range []struct{ body, says string }{
		{strings.Replace(email(`"when":"now"`), `"email"`, `"whatsapp"`, 1), "there is no channel"},
		{strings.Replace(email(`"when":"now"`), `"purpose":"offers",`, ``, 1), "purpose: consent is given by purpose"},
		{strings.Replace(email(`"when":"now"`), `"offers"`, `"spam"`, 1), "there is no purpose"},
		{email(`"when":"20200101 10:00"`), "has passed"},
		{email(`"when":"tomorrow"`), "when: now"},
		{email(`"when":{"type":"recurring"}`), "when.type"},
		{email(`"when":{"type":"later","delivery_date_time":["20990101 10:00","20990102 10:00"]}`), "one date"},
		{email(`"segment":"all"`), "when: now"},
		{email(`"when":"now","users_limit_overall":10`), "users_limit_overall"},
		{email(`"when":"now","segment":"nobody-saved-this"`), "nobody-saved-this"},
		{email(`"when":"now","where":{"event_nam":"x"}`), "where.event_nam"},
		{email(`"when":"now","ttl":{"ttl_type":"soon"}`), "ttl.ttl_type"},
		{email(`"when":"now","conversion_goal":{}`), "conversion_goal"},
		{strings.Replace(email(`"when":"now"`), "Hi {{ Profile.Name }}", "Hi {{ Profile.Name", 1), "content.subject"},
		{strings.Replace(email(`"when":"now"`), `"subject":"Hi {{ Profile.Name }}",`, "", 1), "content.subject"},
		{strings.Replace(email(`"when":"now"`), `"name":"Sale",`, "", 1), "name"},
		{`{"name":"x","purpose":"offers","when":"now","content":{"title":"t","platform_specific":{"android":{"sound_file":"a"},"ios":{"sound_file":"b"}}}}`, "sound_file: another"},
		{`{"name":"x","target_mode":"webpush","purpose":"offers","when":"now","content":{"title":"t","platform_specific":{"chrome":{"deep_link":"https://a.example"},"firefox":{"deep_link":"https://b.example"}}}}`, "another link"},
		{`{"name":"x","purpose":"offers","when":"now","content":{"title":"t","platform_specific":{"ios":{"k":"{{"}}}}`, "content.push.data.k"},
		{`{"name":"x","purpose":"offers","when":"now","devices":["fridge"],"content":{"title":"t"}}`, "devices"},
	} {
		h.fails("targets/create.json", c.body, 400, c.says)
	}
	all, err := h.pub.Campaigns().List()
	check(t, err)
	if len(all) != 0 {
		t.Errorf("%d campaigns were made all the same", len(all))
	}
}

// devices gives somebody a token of each platform.
func devices(h *house, user string) {
	f := event.Fact{Kind: event.Identify, User: user}
	for _, p := range event.Platforms {
		f.Addresses = append(f.Addresses, event.Address{Channel: "push", Platform: p, Value: p + "-" + user})
	}
	h.tell(f)
}

// pushed waits for n pushes after so many letters, and gives them by platform.
func (h *house) pushed(before, n int) []connector.Message {
	h.eventually("the pushes", func() bool { return len(h.post.letters()) == before+n })
	out := slices.Clone(h.post.letters()[before:])
	slices.SortFunc(out, func(a, b connector.Message) int { return strings.Compare(a.Platform, b.Platform) })
	return out
}

func TestAPushGoesToThePlatformsThatWereMeant(t *testing.T) {
	h := open(t)
	shop(h)
	devices(h, "ann")
	push := func(mode, more string) string {
		return `{"name":"x","target_mode":"` + mode + `","purpose":"offers","when":"now","where":{"common_profile_properties":{"profile_fields":[{"name":"Identity","value":"ann"}]}},` +
			`"content":{"title":"Hi","body":"{{ Profile.Plan }}","platform_specific":{"android":{"deep_link":"app://1","wzrk_cid":"c"},"ios":{"deep_link":"app://1","badge_count":1},"chrome":{"deep_link":"app://1"}}}` + more + `}`
	}
	for _, c := range []struct {
		mode, more string
		platforms  []string
	}{
		{"push", `,"devices":["android"]`, []string{"fcm"}}, {"push", `,"devices":["ios"]`, []string{"apns"}}, {"webpush", "", []string{"webpush"}},
		{"push", `,"devices":["android","ios"]`, []string{"apns", "fcm"}},
	} {
		before := len(h.post.letters())
		a := h.ok("targets/create.json", push(c.mode, c.more))
		name := map[string]string{"fcm": "android", "apns": "ios", "webpush": "webpush"}[c.platforms[0]]
		if e := a["estimates"].(map[string]any); e[name] != 1.0 || len(e) != len(c.platforms) {
			t.Errorf("%s %s: %v", c.mode, c.more, e)
		}
		for n, m := range h.pushed(before, len(c.platforms)) {
			if m.Platform != c.platforms[n] || m.Subject != "Hi" || m.Text != "gold" || m.Link != "app://1" {
				t.Errorf("%s %s: %+v", c.mode, c.more, m)
			}
		}
	}
}

// What platform_specific says goes with the push, by a target and by a call;
// each platform has its own link.
func TestAPushSaysWhatItsPlatformsDo(t *testing.T) {
	const content = `"content":{"title":"Hi","body":"B","platform_specific":{
		"android":{"deep_link":"app://a","background_image":"https://cdn.example/{{ Profile.Plan }}.png","wzrk_cid":"news","large_icon":"https://cdn.example/l.png","plan":"{{ Profile.Plan }}","wzrk_ck":"offer"},
		"ios":{"deep_link":"app://i","badge_count":3,"category":"buy","sound_file":"ding.caf","subtitle":"For {{ Profile.Name }}","mutable-content":"true"}}}`
	h := open(t)
	shop(h)
	devices(h, "ann")
	for i, body := range []string{
		`{"name":"x","target_mode":"push","devices":["ios","android"],"purpose":"offers","when":"now","where":{"common_profile_properties":{"profile_fields":[{"name":"Identity","value":"ann"}]}},` + content + `}`,
		`{"to":{"Identity":"ann"},"purpose":"offers",` + content + `}`,
		`{"to":{"Identity":"ann"},"purpose":"offers","devices":["android"],` + content + `}`,
	} {
		path, platforms := "send/push.json", []string{"apns", "fcm"}
		if i == 0 {
			path = "targets/create.json"
		}
		if i == 2 {
			platforms = platforms[1:]
		}
		before := len(h.post.letters())
		h.ok(path, body)
		all := h.pushed(before, len(platforms))
		for n, platform := range platforms {
			if m := all[n]; m.Platform != platform || m.Link != map[string]string{"apns": "app://i", "fcm": "app://a"}[platform] || m.Push == nil || len(m.Data) != 1 {
				t.Fatalf("%s: %+v", path, m)
			}
		}
		m := all[0]
		p := m.Push
		if p.Image != "https://cdn.example/gold.png" || p.Channel != "news" || p.Collapse != "offer" || m.Data[0].Name != "plan" || m.Data[0].Value != "gold" {
			t.Errorf("%s: %+v, %+v", path, p, m.Data)
		}
		// What was said of iOS is no business of a push to Android alone.
		if i == 2 && (p.Badge != nil || p.Category != "") || i < 2 && (p.Badge == nil || *p.Badge != 3 || p.Category != "buy" || p.Sound != "ding.caf" || p.Subtitle != "For Ann") {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestADirectMessageReachesWhoIsNamed(t *testing.T) {
	h := open(t)
	shop(h)
	devices(h, "ann")
	for _, c := range []struct{ path, body, want string }{
		{"send/email.json", `{"to":{"Email":["ANN@example.com"]},"purpose":"offers","content":{"subject":"Order {{ Profile.Plan }}","body":"<b>Done, {{ Profile.Name }}</b>","sender_name":"Shop"}}`, "email  ann@example.com: Order gold|Done, Ann"},
		{"send/sms.json", `{"to":{"identity":["ann","nobody"]},"purpose":"offers","content":{"body":"Code 1234"}}`, "sms  +14155550101: |Code 1234|"},
		{"send/push.json", `{"to":{"objectId":["dev-ann"]},"tag_group":"orders","purpose":"offers","respect_frequency_caps":false,"content":{"title":"T","body":"B","platform_specific":{"android":{"deep_link":"a://1"}}}}`, "push apns apns-ann: T|B||a://1"},
		{"send/webpush.json", `{"to":{"Identity":"ann"},"purpose":"offers","content":{"title":"W","body":"B"}}`, "push webpush webpush-ann: W|B|"},
	} {
		before := len(h.post.letters())
		a := h.ok(c.path, c.body)
		if a["message"] != "Added to queue for processing" || a["queued"] != 1.0 {
			t.Error(a)
		}
		n := 1
		if c.path == "send/push.json" {
			n = 2 // to her Android as well
		}
		m := h.pushed(before, n)[0]
		if got := m.Channel + " " + m.Platform + " " + m.To + ": " + m.Subject + "|" + m.Text + "|" + m.HTML + "|" + m.Link; !strings.HasPrefix(got, strings.TrimSuffix(c.want, "|a://1")) || c.path == "send/push.json" && m.Link != "a://1" {
			t.Errorf("%s: %s, not %s", c.path, got, c.want)
		}
	}
	if !h.log.has("message.send", "1 people") {
		t.Error("not in the audit")
	}
	// What each said rests with its person, and in no answer.
	for _, e := range h.pub.Schema().Events {
		if slices.Contains(e.Keys, "html") || slices.Contains(e.Keys, "text") {
			t.Error("what a message says can be asked about", e)
		}
	}
	all, err := h.pub.Campaigns().List()
	check(t, err)
	if len(all) != 4 {
		t.Errorf("%d campaigns", len(all))
	}
	// The same kind of message needs no other campaign, whatever it says.
	h.ok("send/sms.json", `{"to":{"identity":["ann"]},"purpose":"offers","content":{"body":"Code 5678","sender":"ACMEBK","template":"1107"}}`)
	h.eventually("the next", func() bool { return len(h.post.letters()) == 6 })
	if m := h.post.letters()[5]; m.Sender != "ACMEBK" || m.Template != "1107" {
		t.Errorf("%+v", m)
	}
	if again, err := h.pub.Campaigns().List(); err != nil || len(again) != 4 {
		t.Error(len(again), err)
	}
}

func TestADirectMessageIsNoWayRoundConsent(t *testing.T) {
	h := open(t)
	shop(h)
	h.ok("send/email.json", `{"to":{"Identity":["bob","cid"]},"purpose":"offers","content":{"subject":"S","body":"B"}}`)
	held := func() float64 {
		return h.ok("counts/events.json", `{"event_name":"Notification Held"}`)["count"].(float64)
	}
	h.eventually("one is held and one goes", func() bool { return held() == 1 && len(h.post.letters()) == 1 })
	if h.post.letters()[0].To != "shared@example.com" {
		t.Error(h.sentTo())
	}
	// Two who share an address are two people; somebody named twice is one.
	h.ok("send/email.json", `{"to":{"Identity":["bob","bob"],"Email":["bob@example.com"]},"purpose":"service","content":{"subject":"S","body":"B"}}`)
	h.eventually("what is about his account goes", func() bool { return len(h.post.letters()) == 2 })
	if m := h.post.letters()[1]; m.To != "bob@example.com" || m.Marketing {
		t.Errorf("%+v", m)
	}
}

func TestABadDirectMessageIsRefusedWhole(t *testing.T) {
	h := open(t)
	shop(h)
	many := strings.Repeat(`"x",`, maxRecipients) + `"x"`
	for _, c := range []struct{ body, says string }{
		{`{"purpose":"offers","content":{"body":"B"}}`, "to: an object"},
		{`{"to":{},"purpose":"offers","content":{"body":"B"}}`, "nobody is named"},
		{`{"to":{"Nick":["x"]},"purpose":"offers","content":{"body":"B"}}`, "to.Nick"},
		{`{"to":{"Identity":[{}]},"purpose":"offers","content":{"body":"B"}}`, "to.Identity[0]"},
		{`{"to":{"Identity":[` + many + `]},"purpose":"offers","content":{"body":"B"}}`, "at most 1000"},
		{`{"to":{"Identity":["ann"]},"purpose":"offers","content":{}}`, "content.text"},
		{`{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"{% if %}"}}`, "content.text"},
		{`{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"B","sender":"a name too long"}}`, "content.sender"},
		{`{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"B","template":7}}`, "content.template"},
		{`{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"` + strings.Repeat("x", 61<<10) + `"}}`, "at most 61440"},
		{`{"to":{"Identity":["ann"]},"content":{"body":"B"}}`, "purpose"},
		{`{"to":{"Identity":["ann"]},"purpose":"offers","where":{},"content":{"body":"B"}}`, "where"},
	} {
		h.fails("send/sms.json", c.body, 400, c.says)
	}
	a := h.ok("send/sms.json", `{"to":{"Identity":["eve"]},"purpose":"offers","content":{"body":"B"}}`)
	if a["queued"] != 0.0 || a["unknown"] != 1.0 {
		t.Error(a)
	}
	// Whoever ended the campaign of such messages ended them.
	h.ok("send/sms.json", `{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"B"}}`)
	all, err := h.pub.Campaigns().List()
	check(t, err)
	obj := all[0].Campaign
	obj.State = campaign.Ended
	check(t, h.pub.SaveCampaign(t.Context(), &obj))
	h.fails("send/sms.json", `{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"B"}}`, 400, "is ended")
}

func TestWhatMessagesAreFor(t *testing.T) {
	h := open(t)
	for _, c := range []struct{ key, body, want string }{
		{"", `{"purpose":"service"}`, "service transactional"},
		{"", `{"labels":["x","purpose:offers"]}`, "offers marketing"},
		{"", `{"tag_group":"service"}`, "service transactional"},
		{"service", `{"tag_group":"orders"}`, "service transactional"},
		{"service", `{"purpose":"offers"}`, "offers marketing"},
		{"", `{"tag_group":"orders"}`, "purpose: consent is given"},
		{"gone", `{}`, "there is no purpose"},
	} {
		body, err := event.ParseJSON([]byte(c.body))
		check(t, err)
		call := &call{pub: h.pub, key: Key{Purpose: c.key}}
		purpose, class, err := call.purposeOf("email", body.Object())
		got := purpose + " " + class
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) && !strings.Contains(got, c.want) {
			t.Errorf("%s with %q: %s, not %s", c.body, c.key, got, c.want)
		}
	}
}

func TestTheReportOfMessages(t *testing.T) {
	h := open(t)
	shop(h)
	h.ok("targets/create.json", email(goldUsers+`,"when":"now","labels":["jan"],"conversion_goal":"Charged"`))
	h.ok("send/sms.json", `{"to":{"Identity":["ann"]},"purpose":"offers","content":{"body":"B"}}`)
	h.eventually("three messages are told", func() bool {
		return h.ok("counts/events.json", `{"event_name":"Notification Sent"}`)["count"] == 3.0
	})
	today := time.Now().In(h.pub.Location()).Format("20060102")
	ask := func(more string) map[string]any {
		return h.ok("message/report.json", `{"from":"`+today+`","to":"`+today+`"`+more+`}`)
	}
	a := ask("")
	if a["total_results"] != 2.0 {
		t.Fatal(a)
	}
	m := ask(`,"channel":["email"]`)["messages"].([]any)[0].(map[string]any)
	if m["sent"] != 2.0 || m["message_name"] != "Sale" || m["channel"] != "email" || m["delivery"] != "one_time" || m["start_date"] != today || m["conversion_event"] != "Charged" || fmt.Sprint(m["labels"]) != "[jan]" || m["message id"] == nil {
		t.Error(m)
	}
	for more, n := range map[string]float64{`,"label":["jan"]`: 1, `,"label":["feb"]`: 0, `,"delivery":["api"]`: 1, `,"delivery":["one_time","api"]`: 2, `,"channel":["push"]`: 0, `,"status":["completed"]`: 1, `,"message_type":["ab"]`: 0} {
		if a := ask(more); a["total_results"] != n {
			t.Errorf("%s: %v, not %v", more, a["total_results"], n)
		}
	}
	days, _ := json.Marshal(ask(`,"daily":true,"channel":["sms"]`)["messages"].([]any)[0].(map[string]any)["daily"])
	if string(days) != `{"`+today+`":{"clicked":0,"sent":1,"viewed":0}}` {
		t.Error(string(days))
	}
	if a := h.ok("message/report.json", `{"from":"20250101","to":"20250102"}`); a["total_results"] != 0.0 {
		t.Error(a)
	}
	h.fails("message/report.json", `{}`, 400, "from and to")
	h.fails("message/report.json", `{"from":"20260101","to":"20260102","channel":[5]}`, 400, "channel[0]")
}
