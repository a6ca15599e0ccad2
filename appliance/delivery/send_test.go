package delivery

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestSend(t *testing.T) {
	h := newHouse(t, nil)
	ann := h.person("ann")
	in := h.want(ann, "run:1")
	h.enqueue(in, in)
	if s := h.d.Stats(); s.Waiting["email"] != 1 || s.Enqueued != 1 {
		t.Errorf("%+v", s)
	}
	h.d.Start()
	d := h.settles(in.Message)
	got := h.got()
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	m := got[0]
	if m.ID != in.Message || m.To != "ann@example.com" || m.Subject != "Hi N-ann" || !m.Marketing || m.Unsubscribe != "https://l.example/u/"+in.Message || m.Channel != "email" {
		t.Errorf("%+v", m)
	}
	contains(t, m.HTML, "<p>Hi N-ann, a&amp;b</p>")
	contains(t, m.HTML, `<a href="https://l.example/c/`+in.Message+`/0">go</a>`)
	contains(t, m.HTML, `<a href="https://l.example/u/`+in.Message+`">stop</a>`)
	contains(t, m.HTML, `<img src="https://l.example/o/`+in.Message+`"`)
	contains(t, m.Text, "go (https://shop.example/?q=a%26b)")
	if d.State != Sent || d.Basis != "consent" || d.Consent == nil || d.Consent.Source != "form" || !d.Tracked || d.Tries != 1 || d.ProviderID != "p-"+in.Message || d.Attempts[0].Outcome != "accepted" || d.Attempts[0].Connector != "relay" {
		t.Errorf("%+v", d)
	}
	facts := h.told(event.NotificationSent)
	if len(facts) != 1 {
		t.Fatalf("%d facts", len(facts))
	}
	f := facts[0]
	if f.Person != ann || f.Ref != in.Message || lookup(f, "campaign") != "news" || lookup(f, "message") != in.Message || lookup(f, "channel") != "email" || lookup(f, "purpose") != "offers" {
		t.Errorf("%+v", f)
	}
	msg, err := h.d.Message(in.Message)
	if err != nil || len(msg.Targets) != 1 || msg.Targets[0] != "https://shop.example/?q=a%26b" || msg.Person != ann {
		t.Errorf("%+v, %v", msg, err)
	}
	if s := h.d.Stats(); s.Waiting["email"] != 0 || s.Sent != 1 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	// The same wish again is the same message, settled.
	h.enqueue(in)
	h.advance(time.Hour)
	if len(h.got()) != 1 {
		t.Error("it is sent again")
	}
	for _, id := range []string{"", "x", strings.Repeat("0", 32), strings.Repeat("g", 32)} {
		if _, err := h.d.Explain(id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestWayOut: no marketing mail in HTML is without a link to unsubscribe.
func TestWayOut(t *testing.T) {
	h := newHouse(t, nil)
	h.campaigns["html"] = Content{Subject: "x", HTML: "<body><p>hi</p></body>"}
	h.campaigns["text"] = Content{Subject: "x", Text: "hi"}
	h.campaigns["both"] = Content{Subject: "x", HTML: `<a href="{{ unsubscribe_url }}">out</a>`, Text: "hi {{ unsubscribe_url }}"}
	ann := h.person("ann")
	h.d.Start()
	for campaign, want := range map[string]string{
		"html": `<body><p>hi</p><p><small><a href="URL">Unsubscribe</a></small></p>PIXEL</body>` + "|hi\n\nUnsubscribe (URL)",
		"text": "|hi",
		"both": `<a href="URL">out</a>PIXEL|hi URL`,
	} {
		for _, class := range []string{Marketing, Transactional} {
			in := h.want(ann, class, func(in *Intention) { in.Campaign, in.Class = campaign, class })
			h.enqueue(in)
			h.settles(in.Message)
			got := h.got()
			m := got[len(got)-1]
			s := strings.NewReplacer(h.Unsubscribe(in.Message), "URL", `<img src="`+h.Open(in.Message)+`" width="1" height="1" alt="">`, "PIXEL").Replace(m.HTML + "|" + m.Text)
			if class == Transactional && campaign != "both" {
				if strings.Contains(s, "URL") {
					t.Errorf("%s: %s", campaign, s)
				}
			} else if s != want {
				t.Errorf("%s gives %s", campaign, s)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name    string
		class   string
		outcome connector.Outcome
		state   string
		reason  string
		fact    string
	}{
		{"accepted", Marketing, connector.Outcome{Result: connector.Accepted}, Sent, "", event.NotificationSent},
		{"refused address", Marketing, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Reason: "no such user ann@example.com 491701234567"}, Failed, "no such user … …", event.NotificationFailed},
		{"refused without words", Marketing, connector.Outcome{Result: connector.Refused, Class: connector.ClassPolicy}, Failed, "policy", event.NotificationFailed},
		{"unknown", Marketing, connector.Outcome{Result: connector.Unknown}, Lost, ReasonUnknown, event.NotificationFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			in := h.want(h.person("ann"), "run:1", func(in *Intention) { in.Class = c.class })
			h.answer(c.outcome)
			h.enqueue(in)
			h.d.Start()
			d := h.settles(in.Message)
			if d.State != c.state || d.Reason != c.reason {
				t.Errorf("%+v", d)
			}
			facts := h.told(c.fact)
			if len(facts) != 1 || lookup(facts[0], "reason") != c.reason {
				t.Errorf("%+v", facts)
			}
			bounced := h.told(event.NotificationBounced)
			if hard := c.outcome.Class == connector.ClassAddress; hard != (len(bounced) == 1) || hard != h.people.Suppressed("email", "ann@example.com") {
				t.Errorf("bounced %v", bounced)
			}
			for _, state := range []string{Failed, Lost} {
				list, err := h.d.List(t.Context(), Listing{State: state, Limit: 10})
				if err != nil || (len(list.Messages) == 1) != (c.state == state) {
					t.Errorf("%s: %v, %v", state, list, err)
				}
			}
			h.advance(2 * time.Hour)
			if len(h.got()) != 1 {
				t.Errorf("handed over %d times", len(h.got()))
			}
		})
	}
}

func TestAgain(t *testing.T) {
	h := newHouse(t, nil)
	in := h.want(h.person("ann"), "run:1")
	h.answer(connector.Outcome{Result: connector.Again, Reason: "busy"})
	h.enqueue(in)
	h.d.Start()
	tries := func(n int) {
		t.Helper()
		h.until(fmt.Sprint(n, " tries"), func() bool { d := h.explain(in.Message); return d.Tries == n && d.State == Waiting })
	}
	tries(1)
	if d := h.explain(in.Message); !d.Due.Equal(begin.Add(15 * time.Second)) {
		t.Errorf("due %v", d.Due)
	}
	h.advance(30 * time.Second)
	tries(2)
	h.answer(connector.Outcome{Result: connector.Again, RetryAfter: 2 * time.Hour})
	h.advance(time.Minute)
	tries(3)
	if d := h.explain(in.Message); !d.Due.Equal(h.clock().Add(2*time.Hour + 12*time.Minute)) {
		t.Errorf("due %v at %v: the provider asked for two hours, and a fifth of that is spread", d.Due, h.clock())
	}
	h.restart() // it survives
	h.answer(connector.Outcome{Result: connector.Accepted})
	h.d.Start()
	h.advance(3 * time.Hour)
	if d := h.settles(in.Message); d.State != Sent || d.Tries != 4 || len(d.Attempts) != 4 {
		t.Errorf("%+v", d)
	}
	// Until it is too late.
	late := h.want(h.person("bob"), "run:1", func(in *Intention) { in.Expires = h.clock().Add(40 * time.Second).UnixMicro() })
	h.answer(connector.Outcome{Result: connector.Again, Reason: "busy"})
	h.enqueue(late)
	h.until("a try", func() bool { return h.explain(late.Message).Tries == 1 })
	h.advance(30 * time.Second)
	if d := h.settles(late.Message); d.State != Failed || d.Reason != ReasonExpired || d.Detail != "busy" {
		t.Errorf("%+v", d)
	}
}

// TestNoConnector: what is certainly not handed over is tried again, and takes
// nothing of anybody's caps.
func TestNoConnector(t *testing.T) {
	h := newHouse(t, nil)
	ann := h.person("ann")
	h.send = func([]connector.Message) ([]connector.Outcome, error) {
		return nil, fmt.Errorf("relay: %w", &Unsent{errors.New("down")})
	}
	in := h.want(ann, "run:1", func(in *Intention) { in.Purpose = "capped" })
	h.enqueue(in)
	h.d.Start()
	for n := 1; n < 5; n++ {
		h.until("a try", func() bool { d := h.explain(in.Message); return d.Tries == n && d.State == Waiting })
		h.advance(time.Hour)
	}
	h.mu.Lock()
	h.send = nil
	h.mu.Unlock()
	h.advance(time.Hour)
	if d := h.settles(in.Message); d.State != Sent || d.Cap.Messages != 0 || d.Cap.Allowed != 2 {
		t.Errorf("%+v %+v", d, d.Cap)
	}
}

// TestConnectorSpeaksOnlyForItsOwn: outcomes of strangers' messages, doubled and
// missing ones change nothing but what they are about.
func TestConnectorSpeaksOnlyForItsOwn(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	a, b := h.want(h.person("ann"), "run:1"), h.want(h.person("bob"), "run:1")
	other := h.want(h.person("eve"), "run:1", func(in *Intention) { in.At = begin.Add(time.Hour).UnixMicro() })
	h.enqueue(a, b, other)
	h.send = func(batch []connector.Message) ([]connector.Outcome, error) {
		return []connector.Outcome{
			{ID: a.Message, Result: connector.Accepted}, {ID: other.Message, Result: connector.Refused}, {ID: "nonsense", Result: connector.Accepted},
		}, nil
	}
	h.d.Start()
	if d := h.settles(a.Message); d.State != Sent {
		t.Errorf("%+v", d)
	}
	if d := h.settles(b.Message); d.State != Lost {
		t.Errorf("%+v", d)
	}
	if d := h.explain(other.Message); d.State != Waiting {
		t.Errorf("%+v", d)
	}
}

func TestTransactionalAgainWhenUnknown(t *testing.T) {
	h := newHouse(t, nil)
	in := h.want(h.person("ann"), "order", func(in *Intention) { in.Class, in.Purpose = Transactional, "service" })
	h.answer(connector.Outcome{Result: connector.Unknown})
	h.enqueue(in)
	h.d.Start()
	h.until("a try", func() bool { d := h.explain(in.Message); return d.Tries == 1 && d.State == Waiting })
	h.answer(connector.Outcome{Result: connector.Accepted})
	h.advance(time.Hour)
	if d := h.settles(in.Message); d.State != Sent || d.Basis != "contract" || len(h.got()) != 2 || h.got()[0].ID != h.got()[1].ID {
		t.Errorf("%+v", d)
	}
	if m := h.got()[0]; m.Marketing || m.Unsubscribe != "" || strings.Contains(m.HTML, "<img") || strings.Contains(m.HTML, "/c/") {
		t.Errorf("what goes out by contract is tracked without consent: %s", m.HTML)
	}
}

func TestPush(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	h.campaigns["push"] = Content{Title: "Hi {{ Profile.Name }}", Text: "{{ Event.sku }}", Link: "https://shop.example/{{ Event.sku }}"}
	h.campaigns["bad"] = Content{Title: "x", Link: "{{ Event.sku }}"}
	var ins []Intention
	for i, platform := range []string{"fcm", "apns", "fcm"} {
		user := fmt.Sprint("u", i)
		h.identify(user, event.Fact{
			Consents:  []event.Consent{{Purpose: "offers", Granted: true}},
			Addresses: []event.Address{{Channel: "push", Platform: platform, Value: "token" + user}},
		})
		n, _ := h.people.Find(user)
		ins = append(ins, h.want(n, "x", func(in *Intention) { in.Channel, in.Campaign = "push", "push" }))
	}
	n, _ := h.people.Find("u0")
	bad := h.want(n, "x", func(in *Intention) {
		in.Channel, in.Campaign, in.Props = "push", "bad", []event.Prop{{Key: "sku", Value: event.OfText("javascript:alert(1)")}}
	})
	batches := 0
	h.send = func(batch []connector.Message) (outs []connector.Outcome, err error) {
		batches++
		for _, m := range batch {
			if m.Platform != batch[0].Platform {
				t.Error("platforms are mixed")
			}
			outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Accepted})
		}
		return outs, nil
	}
	h.enqueue(append(ins, bad)...)
	h.d.Start()
	for _, in := range ins {
		if d := h.settles(in.Message); d.State != Sent {
			t.Errorf("%+v", d)
		}
	}
	if d := h.settles(bad.Message); d.State != Held || d.Reason != ReasonTemplate {
		t.Errorf("%+v", d)
	}
	if batches != 2 {
		t.Errorf("%d batches for two platforms", batches)
	}
	if m := h.got()[0]; m.Link != h.Click(m.ID, 0) || m.Subject == "" || m.Text != "a&b" {
		t.Errorf("%+v", m)
	}
	if m, err := h.d.Message(ins[0].Message); err != nil || m.Targets[0] != "https://shop.example/a&b" {
		t.Errorf("%+v, %v", m, err)
	}
}

// What only a push has is rendered for whom it goes to: the platform's own
// link, buttons whose clicks are counted, keys for the app. What cannot be shown
// as it is meant holds the message.
func TestAPushHasMoreThanText(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Workers = 1 })
	rich := func(change func(*Push)) Content {
		p := &Push{
			Subtitle: "For {{ Profile.Name }}", Image: "https://cdn.example/{{ Event.sku }}.png", Badge: "{{ 2 | plus: 1 }}", Links: map[string]string{"apns": "app://{{ Event.sku }}"},
			Buttons: []Button{{"buy", "Buy {{ Event.sku }}", "https://shop.example/buy"}, {"later", "Later", ""}},
			Data:    map[string]string{"b": "{{ Event.sku }}", "a": "1"}, Sound: "ding", Channel: "news", Category: "c", Thread: "t", Collapse: "k", Urgent: true,
		}
		if change != nil {
			change(p)
		}
		return Content{Title: "Hi", Link: "https://shop.example/", Push: p}
	}
	h.campaigns["rich"] = rich(nil)
	h.campaigns["image"] = rich(func(p *Push) { p.Image = "http://cdn.example/x.png" })
	h.campaigns["badge"] = rich(func(p *Push) { p.Badge = "{{ Profile.Name }}" })
	h.campaigns["button"] = rich(func(p *Push) { p.Buttons[0].Link = "javascript:alert(1)" })
	h.campaigns["silent"] = Content{Push: &Push{Silent: true, Data: map[string]string{"sync": "{{ Event.sku }}"}}}
	h.d.Start()
	send := func(campaign, platform string) (Decision, Intention) {
		user := campaign + platform
		h.identify(user, event.Fact{
			Changes:   []event.Change{{Key: "Name", Value: event.OfText("Ann")}},
			Consents:  []event.Consent{{Purpose: "offers", Granted: true}},
			Addresses: []event.Address{{Channel: "push", Platform: platform, Value: "token" + user}},
		})
		n, _ := h.people.Find(user)
		in := h.want(n, "x", func(in *Intention) {
			in.Channel, in.Campaign, in.Props = "push", campaign, []event.Prop{{Key: "sku", Value: event.OfText("S1")}}
		})
		h.enqueue(in)
		return h.settles(in.Message), in
	}
	for i, platform := range []string{"fcm", "apns"} {
		d, in := send("rich", platform)
		m := h.got()[i]
		link, clicks := "app://S1", []string{"https://shop.example/buy"}
		if platform == "fcm" {
			link, clicks = h.Click(m.ID, 0), []string{"https://shop.example/", "https://shop.example/buy"}
		}
		if d.State != Sent || m.Platform != platform || m.Link != link || m.Push == nil {
			t.Fatalf("%s: %+v, %+v", platform, d, m)
		}
		badge := 3
		want := connector.Push{
			Subtitle: "For Ann", Image: "https://cdn.example/S1.png", Badge: &badge, Sound: "ding", Channel: "news", Category: "c", Thread: "t", Collapse: "k", Urgent: true,
			Buttons: []connector.Button{{ID: "buy", Title: "Buy S1", Link: h.Click(m.ID, len(clicks)-1)}, {ID: "later", Title: "Later"}},
		}
		if !reflect.DeepEqual(*m.Push, want) || !reflect.DeepEqual(m.Data, []connector.Header{{Name: "a", Value: "1"}, {Name: "b", Value: "S1"}}) {
			t.Errorf("%s: %+v, %+v", platform, m.Push, m.Data)
		}
		if kept, err := h.d.Message(in.Message); err != nil || !reflect.DeepEqual(kept.Targets, clicks) {
			t.Errorf("%s: %+v, %v", platform, kept, err)
		}
	}
	for _, campaign := range []string{"image", "badge", "button"} {
		if d, _ := send(campaign, "fcm"); d.State != Held || d.Reason != ReasonTemplate || !strings.Contains(d.Detail, map[string]string{"button": "link of button buy"}[campaign]) {
			t.Errorf("%s: %+v", campaign, d)
		}
	}
	if d, _ := send("silent", "fcm"); d.State != Sent || !h.got()[2].Push.Silent || h.got()[2].Data[0].Value != "S1" {
		t.Errorf("%+v, %+v", d, h.got())
	}
}

func TestReceipts(t *testing.T) {
	h := newHouse(t, nil)
	ann := h.person("ann")
	in := h.want(ann, "run:1")
	h.enqueue(in)
	h.d.Start()
	h.settles(in.Message)
	receive := func(rs ...connector.Receipt) {
		t.Helper()
		if err := h.d.Receipts(t.Context(), "email", "relay", rs); err != nil {
			t.Error(err)
		}
	}
	receive(
		connector.Receipt{ProviderID: "p-" + in.Message, Kind: connector.Delivered, At: begin.Add(time.Second)},
		connector.Receipt{MessageID: in.Message, Kind: connector.Delivered, At: begin.Add(time.Minute)}, // told twice
		connector.Receipt{MessageID: in.Message, Kind: connector.Opened, At: begin.Add(time.Minute)},
		connector.Receipt{MessageID: in.Message, Kind: connector.Clicked},
		connector.Receipt{ProviderID: "nobody's", Kind: connector.Delivered}, connector.Receipt{Kind: connector.Delivered}, connector.Receipt{MessageID: "x", Kind: connector.Bounced},
	)
	for name, n := range map[string]int{event.NotificationDelivered: 1, event.NotificationViewed: 1, event.NotificationClicked: 1, event.NotificationBounced: 0} {
		if got := h.told(name); len(got) != n {
			t.Errorf("%s: %v", name, got)
		}
	}
	if s := h.d.Stats(); s.Strays != 3 || s.Receipts != 4 {
		t.Errorf("%+v", s)
	}
	// What another connector calls the same is another's.
	if err := h.d.Receipts(t.Context(), "email", "other", []connector.Receipt{{ProviderID: "p-" + in.Message, Kind: connector.Opened}}); err != nil || h.d.Stats().Strays != 4 {
		t.Errorf("%v, %+v", err, h.d.Stats())
	}
	receive(connector.Receipt{MessageID: in.Message, Kind: connector.Bounced, Class: connector.ClassFull, Reason: "mailbox of ann@example.com is full"})
	if got := h.told(event.NotificationBounced); len(got) != 1 || lookup(got[0], "kind") != "soft" || strings.Contains(lookup(got[0], "reason"), "@") || h.people.Suppressed("email", "ann@example.com") {
		t.Errorf("%+v", got)
	}
	// The bounce names the address it was sent to, though there is a newer one.
	second := h.want(ann, "run:2")
	h.enqueue(second)
	h.settles(second.Message)
	h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "email", Value: "new@example.com"}}})
	receive(connector.Receipt{MessageID: second.Message, Kind: connector.Bounced, Class: connector.ClassAddress})
	h.pump()
	if !h.people.Suppressed("email", "ann@example.com") || h.people.Suppressed("email", "new@example.com") {
		t.Error("the wrong address is suppressed")
	}
	third := h.want(ann, "run:3")
	h.enqueue(third)
	h.settles(third.Message)
	if got := h.got(); got[len(got)-1].To != "new@example.com" {
		t.Errorf("sent to %s", got[len(got)-1].To)
	}
	// A complaint ends the consent as well.
	receive(connector.Receipt{MessageID: third.Message, Kind: connector.Complained})
	h.pump()
	if ok, c := h.Allowed(ann, "offers", "email"); ok || c.Source != "complaint" || !h.people.Suppressed("email", "new@example.com") {
		t.Errorf("%v %+v", ok, c)
	}
	h.mu.Lock()
	h.refuses = 1
	h.mu.Unlock()
	if err := h.d.Receipts(t.Context(), "email", "relay", []connector.Receipt{{MessageID: in.Message, Kind: connector.Opened}}); err == nil {
		t.Error("a receipt that is lost is confirmed")
	}
}

// What has nothing to track goes like everything else, also to who agreed.
func TestWhatCannotBeTrackedIsSentAllTheSame(t *testing.T) {
	h := newHouse(t, nil)
	h.campaigns["sms"] = Content{Text: "hi", Sender: "ACMEBK-S", Template: "1107"}
	h.campaigns["push"] = Content{Title: "hi"}
	h.identify("ann", event.Fact{
		Consents:  []event.Consent{{Purpose: "offers", Granted: true, Source: "form"}},
		Addresses: []event.Address{{Channel: "sms", Value: "+14155550101"}, {Channel: "push", Platform: "fcm", Value: "token"}},
	})
	ann, _ := h.people.Find("ann")
	for _, channel := range []string{"sms", "push"} {
		in := h.want(ann, channel, func(in *Intention) { in.Channel, in.Campaign = channel, channel })
		h.enqueue(in)
		if h.d.Start(); h.settles(in.Message).State != Sent {
			t.Errorf("%s: %+v", channel, h.explain(in.Message))
		}
	}
	// Whom an SMS comes from, and what its text is registered as, go with it.
	if got := h.got(); got[0].Sender != "ACMEBK-S" || got[0].Template != "1107" || got[1].Sender+got[1].Template != "" {
		t.Errorf("%+v", got)
	}
}

// A direct message says what its intention does, in Liquid, and goes to the
// platforms that it names.
func TestADirectMessageSaysWhatItsIntentionDoes(t *testing.T) {
	h := newHouse(t, nil)
	h.campaigns["direct"] = Content{Direct: true}
	h.identify("ann", event.Fact{
		Changes:  []event.Change{{Key: "Name", Value: event.OfText("Ann")}},
		Consents: []event.Consent{{Purpose: "offers", Granted: true, Source: "form"}},
		Addresses: []event.Address{{Channel: "push", Platform: "apns", Value: "apple"}, {Channel: "push", Platform: "fcm", Value: "google"},
			{Channel: "push", Platform: "webpush", Value: "web"}},
	})
	ann, _ := h.people.Find("ann")
	h.d.Start()
	for _, c := range []struct {
		platforms []string
		to        string
	}{{nil, "[apple google web]"}, {[]string{"fcm", "apns"}, "[apple google]"}, {[]string{"apns"}, "[apple]"}} {
		before := len(h.got())
		in := h.want(ann, c.to, func(in *Intention) {
			in.Channel, in.Campaign, in.Platforms = "push", "direct", c.platforms
			in.Props = []event.Prop{{Key: "title", Value: event.OfText("Hi {{ Profile.Name }}"), Personal: true}, {Key: "text", Value: event.OfText("{{ Event.title }}{{ Event.text }}!")}}
		})
		h.enqueue(in)
		h.family(in)
		var to []string
		for _, m := range h.got()[before:] {
			if to = append(to, m.To); m.Subject != "Hi Ann" || m.Text != "!" {
				t.Errorf("%v: %+v", c.platforms, m)
			}
		}
		if slices.Sort(to); fmt.Sprint(to) != c.to {
			t.Errorf("%v: it went to %s", c.platforms, to)
		}
	}
	in := h.want(ann, "broken", func(in *Intention) {
		in.Channel, in.Campaign = "push", "direct"
		in.Props = []event.Prop{{Key: "title", Value: event.OfText("{{ Profile.Name")}}
	})
	h.enqueue(in)
	if d := h.settles(in.Message); d.State != Held || d.Reason != ReasonTemplate {
		t.Errorf("%+v", d)
	}
}
