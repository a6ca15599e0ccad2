package delivery

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// receive takes receipts and applies what they made known.
func (h *house) receive(channel string, rs ...connector.Receipt) {
	h.t.Helper()
	if err := h.d.Receipts(h.t.Context(), channel, "relay", rs); err != nil {
		h.t.Error(err)
	}
	h.pump()
}

func TestBouncesAreSorted(t *testing.T) {
	for class, kind := range map[connector.Class]string{
		connector.ClassAddress: "hard", connector.ClassFull: "soft", connector.ClassOther: "soft", "": "soft", "new": "soft",
		connector.ClassPolicy: "block", connector.ClassContent: "block", connector.ClassConfig: "block",
	} {
		t.Run(string(class), func(t *testing.T) {
			h := newHouse(t, nil)
			in := h.want(h.person("ann"), "run:1")
			h.enqueue(in)
			h.d.Start()
			h.settles(in.Message)
			h.receive("email", connector.Receipt{MessageID: in.Message, Kind: connector.Bounced, Class: class, Reason: "550 5.1.1 ann@example.com"})
			got := h.told(event.NotificationBounced)
			if len(got) != 1 || lookup(got[0], "kind") != kind || lookup(got[0], "reason") != "550 5.1.1 …" {
				t.Errorf("%+v", got)
			}
			if s := h.people.Suppressed("email", "ann@example.com"); s != (kind == "hard") {
				t.Errorf("suppressed %v", s)
			}
			if ok, _ := h.Allowed(in.Person, "offers", "email"); !ok {
				t.Error("a bounce withdrew the consent")
			}
		})
	}
}

// onPush makes somebody with a token who agreed to push, and sends them one.
func (h *house) onPush(user, token string) Intention {
	h.t.Helper()
	h.identify(user, event.Fact{
		Consents:  []event.Consent{{Purpose: "offers", Channel: "push", Granted: true, Source: "app"}},
		Addresses: []event.Address{{Channel: "push", Platform: "fcm", Value: token}},
	})
	person, _ := h.people.Find(user)
	in := h.want(person, "push "+token, func(in *Intention) { in.Channel = "push" })
	h.enqueue(in)
	return in
}

// An app that is gone is told with its reason, whether the provider says so at
// once, later as a bounce, or by a receipt of its own; and its token is not used
// again until the app registers it again.
func TestGone(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  connector.Outcome
		receipt connector.Receipt
		reason  string
	}{
		{"at once", connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneStale}, connector.Receipt{}, "stale"},
		{"at once, not told why", connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}, connector.Receipt{}, "removed"},
		{"bounced", connector.Outcome{Result: connector.Accepted}, connector.Receipt{Kind: connector.Bounced, Class: connector.ClassAddress, Gone: connector.GoneInvalid}, "invalid"},
		{"uninstalled", connector.Outcome{Result: connector.Accepted}, connector.Receipt{Kind: connector.Uninstall, Gone: connector.GoneRemoved}, "removed"},
		{"uninstalled, a reason unheard of", connector.Outcome{Result: connector.Accepted}, connector.Receipt{Kind: connector.Uninstall, Gone: "eaten"}, "removed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.answer(c.answer)
			h.set("news", func(c *Content) { c.Title, c.Text = "Hi", "there" })
			in := h.onPush("ann", "T")
			h.d.Start()
			h.settles(in.Message)
			if c.receipt.Kind != "" {
				c.receipt.MessageID = in.Message
				h.receive("push", c.receipt, c.receipt)
			}
			got := h.told(event.AppUninstalled)
			if len(got) != 1 || lookup(got[0], "reason") != c.reason || len(got[0].Addresses) != 1 || got[0].Addresses[0].Value != "T" {
				t.Fatalf("%+v", got)
			}
			if !h.people.Suppressed("push", "T") {
				t.Error("the token is used again")
			}
			h.advance(time.Hour)
			h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "push", Platform: "fcm", Value: "T"}}})
			if h.people.Suppressed("push", "T") {
				t.Error("the token that was registered again is not used")
			}
			// What was said of its former life says nothing of this one.
			late := connector.Receipt{MessageID: in.Message, Kind: connector.Bounced, Class: connector.ClassAddress, At: h.clock().Add(-time.Minute)}
			h.receive("push", late)
			if h.people.Suppressed("push", "T") {
				t.Error("a receipt of before ended the token's new life")
			}
		})
	}
}

// A connector is told when the token was last registered, since a provider says
// of one that was gone when that was.
func TestAddressSince(t *testing.T) {
	h := newHouse(t, nil)
	h.set("news", func(c *Content) { c.Title, c.Text = "Hi", "there" })
	h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "push", Platform: "fcm", Value: "old"}}})
	h.advance(time.Hour)
	first := h.clock()
	one := h.onPush("ann", "T")
	h.d.Start()
	h.settles(one.Message)
	h.advance(time.Hour)
	h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "push", Platform: "fcm", Value: "T", Removed: true}}})
	again := h.clock()
	h.identify("ann", event.Fact{Addresses: []event.Address{{Channel: "push", Platform: "fcm", Value: "T"}}})
	person, _ := h.people.Find("ann")
	two := h.want(person, "again", func(in *Intention) { in.Channel = "push" })
	h.enqueue(two)
	h.settles(two.Message)
	var got []connector.Message
	for _, m := range h.got() {
		if m.ID == one.Message || m.ID == two.Message { // else a copy, to the old one
			got = append(got, m)
		}
	}
	for i, want := range []time.Time{first, again} {
		if m := got[i]; m.To != "T" || !m.AddressSince.Equal(want.Truncate(time.Microsecond)) {
			t.Errorf("%d: to %s since %s, want T since %s", i, m.To, m.AddressSince, want)
		}
	}
}

// An app is only where push goes: a connector of another channel cannot say that
// it is gone.
func TestNoAppByMail(t *testing.T) {
	h := newHouse(t, nil)
	in := h.want(h.person("ann"), "run:1")
	h.enqueue(in)
	h.d.Start()
	h.settles(in.Message)
	h.receive("email", connector.Receipt{MessageID: in.Message, Kind: connector.Uninstall})
	if got := h.told(event.AppUninstalled); len(got) != 0 || h.people.Suppressed("email", "ann@example.com") {
		t.Errorf("%+v", got)
	}
}

// Who unsubscribes by a message wants no more of its channel, as who names an
// address: what rests on consent is withdrawn, of everybody who has the address it
// went to. START gives back what STOP took, and nothing that was never granted.
func TestUnsubscribeByMessage(t *testing.T) {
	h := newHouse(t, nil)
	ann := h.person("ann")
	h.identify("ann", event.Fact{Consents: []event.Consent{{Purpose: "offers", Channel: "sms", Granted: true, Source: "form"}}})
	h.identify("bob", event.Fact{
		Addresses: []event.Address{{Channel: "email", Value: "Ann@example.com"}},
		Consents:  []event.Consent{{Purpose: "offers", Channel: "email", Granted: true, Source: "form"}},
	})
	bob, _ := h.people.Find("bob")
	in := h.want(ann, "run:1")
	h.enqueue(in)
	h.d.Start()
	h.settles(in.Message)
	allowed := func(want string) {
		t.Helper()
		got := ""
		for _, c := range []struct {
			name             string
			person           uint32
			purpose, channel string
		}{{"offers", ann, "offers", "email"}, {"capped", ann, "capped", "email"}, {"sms", ann, "offers", "sms"}, {"bob", bob, "offers", "email"}, {"bob's capped", bob, "capped", "email"}} {
			if ok, _ := h.Allowed(c.person, c.purpose, c.channel); ok {
				got += c.name + " "
			}
		}
		if got != want {
			t.Errorf("allowed %q, want %q", got, want)
		}
	}
	h.receive("email", connector.Receipt{MessageID: in.Message, Kind: connector.Subscribed})
	allowed("offers capped sms bob ")
	stop := connector.Receipt{MessageID: in.Message, Kind: connector.Unsubscribed, At: h.clock()}
	h.receive("email", stop, stop)
	allowed("sms ")
	if _, c := h.Allowed(ann, "offers", "email"); c.Source != "unsubscribe receipt of relay" {
		t.Errorf("source %q", c.Source)
	}
	if _, c := h.Allowed(ann, "service", "email"); c.Source != "" {
		t.Errorf("what rests on a contract: %+v", c)
	}
	h.advance(time.Minute)
	h.receive("email", connector.Receipt{MessageID: in.Message, Kind: connector.Subscribed})
	allowed("offers capped sms bob ")
	// Withdrawn elsewhere, it is not the provider's to give back.
	h.identify("ann", event.Fact{Consents: []event.Consent{{Purpose: "offers", Channel: "email", Source: "form"}}})
	h.advance(time.Minute)
	h.receive("email", connector.Receipt{MessageID: in.Message, Kind: connector.Subscribed})
	allowed("capped sms bob ")
}

// STOP names a number: everybody who has it gets no more on this channel, and
// START gives each of them back what it took. What rests on a contract goes on,
// and so do other channels.
func TestStopByAddress(t *testing.T) {
	h := newHouse(t, nil)
	const number = "+4915112345678"
	agreed := func(channels ...string) (cs []event.Consent) {
		for _, c := range channels {
			cs = append(cs, event.Consent{Purpose: "offers", Channel: c, Granted: true, Source: "form"})
		}
		return cs
	}
	phone := []event.Address{{Channel: "sms", Value: number}}
	h.identify("ann", event.Fact{Addresses: phone, Consents: agreed("sms", "email")})
	h.identify("bob", event.Fact{Addresses: phone, Consents: agreed("sms")})
	h.identify("cy", event.Fact{Addresses: phone}) // never agreed
	h.identify("dee", event.Fact{Addresses: []event.Address{{Channel: "sms", Value: "+4915187654321"}}, Consents: agreed("sms")})
	allowed := func(want string) {
		t.Helper()
		got := ""
		for _, who := range []string{"ann", "bob", "cy", "dee"} {
			n, _ := h.people.Find(who)
			if ok, _ := h.Allowed(n, "offers", "sms"); ok {
				got += who + " "
			}
		}
		if got != want {
			t.Errorf("allowed %q, want %q", got, want)
		}
	}
	stop := connector.Receipt{Address: number, Kind: connector.Unsubscribed, At: h.clock()}
	// Somebody says at the same time that the number is theirs: it is not applied yet.
	late := event.Fact{Kind: event.Identify, ID: "late", User: "eve", Addresses: phone, Consents: agreed("sms"), Time: h.clock().UnixMicro()}
	if err := h.Append(t.Context(), []event.Fact{late}); err != nil {
		t.Fatal(err)
	}
	h.receive("sms", stop)
	h.receive("sms", stop) // a provider tells twice
	allowed("dee ")
	eve, _ := h.people.Find("eve")
	if ok, c := h.Allowed(eve, "offers", "sms"); ok || c.Source != "unsubscribe receipt of relay" {
		t.Errorf("who came at the same time: %v %+v", ok, c)
	}
	ann, _ := h.people.Find("ann")
	if ok, _ := h.Allowed(ann, "offers", "email"); !ok {
		t.Error("another channel is withdrawn as well")
	}
	if _, c := h.Allowed(ann, "service", "sms"); c.Source != "" {
		t.Errorf("what rests on a contract: %+v", c)
	}
	h.advance(time.Minute)
	h.receive("sms", connector.Receipt{Address: number, Kind: connector.Unsubscribed, At: h.clock()}) // says it again
	allowed("dee ")
	h.receive("sms", connector.Receipt{Address: number, Kind: connector.Replied, At: h.clock()})
	if got := h.told(event.NotificationReplied); len(got) != 4 || lookup(got[0], "channel") != "sms" {
		t.Errorf("replied: %+v", got)
	}
	h.advance(time.Minute)
	h.receive("sms", connector.Receipt{Address: number, Kind: connector.Subscribed, At: h.clock()})
	allowed("ann bob dee ")

	strays := h.d.Stats().Strays
	h.receive("sms",
		connector.Receipt{Address: "+49151000", Kind: connector.Unsubscribed}, // nobody's
		connector.Receipt{Address: number, Kind: connector.Delivered},         // names no message
		connector.Receipt{Address: number, Kind: connector.Bounced, Class: connector.ClassAddress},
		connector.Receipt{Kind: connector.Unsubscribed},
	)
	if n := h.d.Stats().Strays - strays; n != 4 || h.people.Suppressed("sms", number) {
		t.Errorf("%d strays", n)
	}
}

// A row of soft bounces ends in suppression only if it lasts and nothing arrives
// in between.
func TestSoftBouncesInARow(t *testing.T) {
	for _, c := range []struct {
		name    string
		between time.Duration
		then    connector.ReceiptKind // after the third
		want    bool
	}{
		{"over days", 24 * time.Hour, "", true},
		{"within hours", time.Hour, "", false},
		{"one was delivered", 24 * time.Hour, connector.Delivered, false},
		{"one was opened", 24 * time.Hour, connector.Opened, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, nil)
			ann := h.person("ann")
			h.d.Start()
			for i := range 5 {
				in := h.want(ann, fmt.Sprint("run:", i))
				h.enqueue(in)
				h.settles(in.Message)
				if h.people.Suppressed("email", "ann@example.com") {
					t.Fatalf("suppressed after %d", i)
				}
				soft := connector.Receipt{MessageID: in.Message, Kind: connector.Bounced, Class: connector.ClassFull}
				h.receive("email", soft, soft) // told twice, it is one
				if i == 2 && c.then != "" {
					h.receive("email", connector.Receipt{MessageID: in.Message, Kind: c.then})
				}
				h.advance(c.between)
			}
			if got := h.people.Suppressed("email", "ann@example.com"); got != c.want {
				t.Errorf("suppressed %v", got)
			}
			if told := h.told(event.NotificationBounced); len(told) != 5 {
				t.Errorf("%d bounces", len(told))
			}
		})
	}
}

// TestEarly: what a provider tells by its own id before the batch is answered is
// known once it is, and once; what nobody sends does not wait for ever.
func TestEarly(t *testing.T) {
	h := newHouse(t, nil)
	h.answers("relay", func(batch []connector.Message) (outs []connector.Outcome, err error) {
		for _, m := range batch {
			h.receive("email", connector.Receipt{ProviderID: "p-" + m.ID, Kind: connector.Delivered}, connector.Receipt{ProviderID: "p-" + m.ID, Kind: connector.Opened})
			outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Accepted, ProviderID: "p-" + m.ID})
		}
		return outs, nil
	})
	ins := h.run(50, "example.com")
	h.d.Start()
	for _, in := range ins {
		h.settles(in.Message)
	}
	h.until("all arrived", func() bool {
		return len(h.told(event.NotificationDelivered)) == 50 && len(h.told(event.NotificationViewed)) == 50
	})
	h.receive("email", connector.Receipt{ProviderID: "p-" + ins[0].Message, Kind: connector.Delivered})
	if n := len(h.told(event.NotificationDelivered)); n != 50 {
		t.Errorf("%d arrived", n)
	}
	for i := range 2 * maxEarly {
		h.d.early.put("relay", connector.Receipt{ProviderID: fmt.Sprint(i % 15_000)}, h.clock())
	}
	if n := len(h.d.early.in); n != maxEarly {
		t.Errorf("%d wait", n)
	}
	h.advance(longestEarly + time.Second)
	h.d.early.put("relay", connector.Receipt{ProviderID: "last"}, h.clock())
	if n, names := len(h.d.early.in), len(h.d.early.wait); n != 1 || names != 1 {
		t.Errorf("%d wait, by %d names", n, names)
	}
	if len(h.d.early.take("other", "last")) != 0 || len(h.d.early.take("relay", "last")) != 1 || len(h.d.early.take("relay", "last")) != 0 {
		t.Error("what waits is not given to whom it is for, once")
	}
}
