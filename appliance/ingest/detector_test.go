package ingest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
)

// looking gives the door's publisher a detector.
func (a *atDoor) looking(actions map[detect.Kind]Action, except ...string) {
	var all [detect.Kinds]Action
	for k, action := range actions {
		all[k] = action
	}
	d := NewDetector(all, except)
	d.Seen = new(Detected)
	d.Hash = func(domain string, parts ...[]byte) [32]byte {
		return sha256.Sum256([]byte(fmt.Sprintf("%s %q", domain, parts)))
	}
	rules := *a.pub.Rules
	rules.Detect = d
	a.pub.Rules = &rules
}

// holding gives it a hold.
func (a *atDoor) holding() *Hold {
	a.t.Helper()
	h, err := OpenHold(filepath.Join(a.t.TempDir(), "held"), glass{}, func() time.Time { return a.now }, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	a.pub.Hold = h
	return h
}

// glass seals nothing, so that a test can see what is in the files.
type glass struct{}

func (glass) SealChunk(plain, aad []byte) ([]byte, error) {
	return append(slices.Clone(aad), plain...), nil
}

func (glass) OpenChunk(sealed, aad []byte) ([]byte, error) {
	plain, ok := strings.CutPrefix(string(sealed), string(aad))
	if !ok {
		return nil, fmt.Errorf("forged")
	}
	return []byte(plain), nil
}

const writeKey = "Basic V1JJVEVLRVk6"

func (a *atDoor) track(id, props string) string {
	a.t.Helper()
	return a.send("POST", "/v1/track", `{"userId":"ann@example.com","event":"Asked","messageId":"`+id+`","timestamp":"2026-11-23T16:25:00Z","properties":`+props+`}`,
		"Authorization", writeKey).Body.String()
}

func TestDetectorAtTheDoor(t *testing.T) {
	const token = `card_mgdjeocnjmehpigl`
	for _, c := range []struct {
		actions  map[detect.Kind]Action
		in, want string
	}{
		{map[detect.Kind]Action{detect.Card: MaskIt}, `{"note":"my card 4111 1111 1111 1111, ann@example.com"}`, `{"note":"my card 4111 11** **** 1111, ann@example.com"}`},
		{map[detect.Kind]Action{detect.Card: MaskIt}, `{"n":4111111111111111,"f":4.111111111111111e15,"t":1795451160000,"p":19.99}`, `{"n":"411111******1111","f":"411111******1111","t":1795451160000,"p":19.99}`},
		{map[detect.Kind]Action{detect.Card: MaskIt}, `{"items":[{"sku":"a","pan":"4111111111111111"},["4111111111111111",7]],"ok":true}`, `{"items":[{"sku":"a","pan":"411111******1111"},["411111******1111",7]],"ok":true}`},
		{map[detect.Kind]Action{detect.Card: MaskIt}, `{"by":{"4111111111111111":1,"b":2}}`, `{"by":{"b":2}}`},
		{map[detect.Kind]Action{detect.Card: DropIt}, `{"a":1,"note":"4111111111111111","b":2}`, `{"a":1,"b":2}`},
		{map[detect.Kind]Action{detect.Email: DropIt, detect.Card: MaskIt}, `{"x":"4111111111111111","note":"a@b.io 4111111111111111"}`, `{"x":"411111******1111"}`},
		{map[detect.Kind]Action{detect.Email: MaskIt, detect.Phone: MaskIt}, `{"mobile":9876543210,"note":"a@b.io, +1 415 555 0123"}`, `{"mobile":"********10","note":"***@b.io, +* *** *** **23"}`},
		{map[detect.Kind]Action{detect.Card: HashIt}, `{"a":"4111-1111-1111-1111","b":4111111111111111}`, `{"a":"TOKEN","b":"TOKEN"}`},
		{map[detect.Kind]Action{detect.Card: MaskIt}, `{"order":"4111111111111111"}`, `{"order":"4111111111111111"}`}, // excepted
		{map[detect.Kind]Action{detect.NationalID: MaskIt, detect.IBAN: MaskIt}, `{"a":"ABCPE1234F","b":"DE89370400440532013000"}`, `{"a":"******234F","b":"******************3000"}`},
	} {
		a := newDoor(t)
		a.looking(c.actions, "order")
		a.track("m", c.in)
		facts := a.facts()
		if len(facts) != 1 || facts[0].User != "ann@example.com" {
			t.Fatalf("%v", facts)
		}
		got := string(event.AppendJSONProps(nil, facts[0].Props))
		if strings.Contains(c.want, "TOKEN") {
			if len(token) != len("card_")+16 {
				t.Fatal(token)
			}
			d := a.pub.Rules.Detect
			c.want = strings.ReplaceAll(c.want, "TOKEN", d.token(detect.Card, "4111111111111111"))
		}
		if got != c.want {
			t.Errorf("%s becomes %s, want %s", c.in, got, c.want)
		}
	}
}

// Addresses that are given on purpose stay as they are, whatever is looked for.
func TestDetectorLeavesProfilesTheirAddresses(t *testing.T) {
	a := newDoor(t)
	a.looking(map[detect.Kind]Action{detect.Email: MaskIt, detect.Phone: MaskIt, detect.Card: MaskIt, detect.NationalID: DropIt})
	a.send("POST", "/v1/identify", `{"userId":"u","traits":{"email":"ann@example.com","phone":"+14155550123","first_name":"Ann",
		"customer_ref":"4111111111111111","about":"write to ann@example.com","ssn":"219-09-9999","remark":"219-09-9999","plan":"gold"}}`, "Authorization", writeKey)
	a.send("POST", "/1/upload", `{"d":[{"identity":"u","type":"profile","profileData":{"Email":"ann@example.com","Phone":"+14155550123","notes":["4111111111111111"]}}]}`,
		"X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret")
	a.send("POST", "/v1/track", `{"userId":"u","event":"Charged","properties":{"delivery_address":"4111111111111111, a@b.io"}}`, "Authorization", writeKey)
	var got []string
	for _, f := range a.facts() {
		for _, c := range f.Changes {
			got = append(got, c.Key+"="+c.Value.String())
		}
		for _, p := range f.Props {
			got = append(got, p.Key+"="+p.Value.String())
		}
		for _, ad := range f.Addresses {
			got = append(got, ad.Channel+"="+ad.Value)
		}
	}
	want := "email=ann@example.com phone=+14155550123 first_name=Ann customer_ref=4111111111111111 about=write to ***@example.com ssn=219-09-9999 plan=gold email=ann@example.com sms=+14155550123 " +
		"Email=ann@example.com Phone=+14155550123 notes=[\"411111******1111\"] email=ann@example.com sms=+14155550123 delivery_address=4111111111111111, a@b.io"
	if strings.Join(got, " ") != want {
		t.Errorf("%s", strings.Join(got, " "))
	}
}

// A name that identifies somebody would be a column, a name in lists and
// questions: it is never kept.
func TestDetectorLooksAtNewNames(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.Names = NewNames([]string{"Old 4111111111111111"}, nil, nil)
	a.looking(map[detect.Kind]Action{detect.Card: MaskIt, detect.Email: HashIt})
	a.send("POST", "/v1/batch", `{"batch":[
		{"type":"track","userId":"u","event":"Paid with 4111111111111111"},
		{"type":"track","userId":"u","event":"Old 4111111111111111"},
		{"type":"track","userId":"u","event":"Mailed","properties":{"ann@example.com":1,"n":2}},
		{"type":"identify","userId":"u","traits":{"4111111111111111":"x","plan":"gold"}}]}`, "Authorization", writeKey)
	var got []string
	for _, f := range a.facts() {
		one := f.Name
		for _, p := range f.Props {
			one += " " + p.Key
		}
		for _, c := range f.Changes {
			one += " " + c.Key
		}
		got = append(got, one)
	}
	if strings.Join(got, ",") != "Old 4111111111111111,Mailed n, plan" {
		t.Errorf("%q", got)
	}
	answer := a.send("POST", "/v1/track", `{"userId":"u","event":"Paid with 4111111111111111"}`, "Authorization", writeKey).Body.String()
	if !strings.Contains(answer, `"code":"personal"`) || strings.Contains(answer, "4111") {
		t.Error(answer)
	}
}

func TestRefusedRecordsAreMasked(t *testing.T) {
	a := newDoor(t)
	kept := NewRefusals(func() time.Time { return a.now })
	a.pub.Refused = kept.Add
	a.looking(map[detect.Kind]Action{detect.Card: HashIt})
	a.send("POST", "/v1/track", `{"userId":"u","event":"","properties":{"n":4111111111111111,"s":"4111111111111111"}}`, "Authorization", writeKey)
	answer := a.send("POST", "/1/upload", `{"d":[{"identity":"u","type":"event","evtData":{"n":4111111111111111}}]}`,
		"X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret").Body.String()
	a.importEvents(`{"user":"u","event":"4111111111111111"}`)
	// A name that is quoted as well.
	a.schema("Asked", &PropertyRules{Types: map[string]Type{"n": Any}, Unknown: Refuse})
	a.track("m", `{"n":"4111111111111111","4111111111111111":1}`)
	all, _ := kept.List(RefusalFilter{}, 9)
	if r := all[len(all)-1]; r.Field != "properties.411111******1111" || r.Code != RefusedUnknown {
		t.Errorf("%+v", r)
	}
	for _, r := range all {
		if strings.Contains(string(r.Record), "4111111111111111") || !strings.Contains(string(r.Record), "411111******1111") {
			t.Errorf("%s", r.Record)
		}
	}
	if len(all) != 4 || !strings.Contains(answer, "4111111111111111") {
		t.Errorf("%d; whoever sent it is answered with %s", len(all), answer)
	}
}

func TestHold(t *testing.T) {
	a := newDoor(t)
	a.looking(map[detect.Kind]Action{detect.Email: HoldIt, detect.Card: MaskIt})
	h := a.holding()
	a.track("m1", `{"note":"a@b.io 4111111111111111","x":"4111111111111111"}`)
	a.track("m2", `{"note":"nothing"}`)
	a.track("m1", `{"note":"a@b.io 4111111111111111","x":"4111111111111111"}`) // sent again
	a.track("", `{"note":"c@d.io"}`)
	if taken, refused := a.importEvents(`{"user":"u","event":"A","ts":"2026-11-20T08:26:00Z","props":{"note":"e@f.io"}}`); taken != 1 || len(refused) != 0 {
		t.Error(taken, refused)
	}
	a.wantFacts(`track id=m2 user=ann@example.com name=Asked at=2026-11-23T16:25:00Z props={"note":"nothing"}`)
	list := func() (out []string, numbers []uint64) {
		t.Helper()
		all, err := h.List(0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			shown := a.pub.Rules.ShowHeld(one)
			out = append(out, fmt.Sprintf("%s %s %s %s", one.Dialect, one.Key, one.Kinds, event.AppendJSONProps(nil, shown.Facts[0].Props)))
			numbers = append(numbers, one.Number)
		}
		return out, numbers
	}
	got, numbers := list()
	want := []string{
		`segment WRITEKEY email {"note":"***@b.io 411111******1111","x":"411111******1111"}`,
		`segment WRITEKEY email {"note":"***@d.io"}`,
		`import  email {"note":"***@f.io"}`,
	}
	if !slices.Equal(got, want) || h.Count() != 3 {
		t.Fatalf("%q", got)
	}
	// It is there after a restart.
	dir := h.dir
	h, err := OpenHold(dir, glass{}, func() time.Time { return a.now }, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.pub.Hold = h
	if again, _ := list(); !slices.Equal(again, want) {
		t.Fatalf("%q", again)
	}
	a.track("m1", `{"note":"a@b.io"}`)
	if h.Count() != 3 {
		t.Error("a repeat is held twice after a restart")
	}
	release := func(mask bool) func(Held) error {
		return func(one Held) error { return a.Append(context.Background(), a.pub.Rules.Release(one, mask)) }
	}
	a.err = fmt.Errorf("full")
	if err := h.Take(numbers[0], release(false)); err == nil || h.Count() != 3 {
		t.Error("a record is let go of that is nowhere")
	}
	a.err = nil
	for i, mask := range []bool{false, true} {
		if err := h.Take(numbers[i], release(mask)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Take(numbers[2], nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Take(numbers[2], nil); err != ErrNotHeld {
		t.Error(err)
	}
	facts := a.facts()
	for _, f := range facts {
		if f.ID == "" || f.Flags&event.Imported == 0 {
			t.Errorf("%s", show(&f))
		}
	}
	if len(facts) != 2 || string(event.AppendJSONProps(nil, facts[0].Props)) != `{"note":"a@b.io 411111******1111","x":"411111******1111"}` ||
		string(event.AppendJSONProps(nil, facts[1].Props)) != `{"note":"***@d.io"}` {
		t.Errorf("%v", facts)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 || h.Count() != 0 || h.bytes != 0 || len(h.ids) != 0 {
		t.Errorf("left behind: %v %v, %d records, %d bytes, %d ids", left, err, h.count, h.bytes, len(h.ids))
	}
}

// What a record is held for stays masked, and can be masked, when nobody looks
// for it any more.
func TestHoldAfterAReload(t *testing.T) {
	a := newDoor(t)
	a.looking(map[detect.Kind]Action{detect.Email: HoldIt})
	h := a.holding()
	a.track("m1", `{"note":"a@b.io 4111111111111111"}`)
	all, err := h.List(0, 9)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	later := &Rules{}
	if got := string(event.AppendJSONProps(nil, later.ShowHeld(all[0]).Facts[0].Props)); got != `{"note":"***@b.io 4111111111111111"}` {
		t.Error(got)
	}
	all, _ = h.List(0, 9)
	if got := string(event.AppendJSONProps(nil, later.Release(all[0], true)[0].Props)); got != `{"note":"***@b.io 4111111111111111"}` {
		t.Error(got)
	}
	all, _ = h.List(0, 9)
	if got := string(event.AppendJSONProps(nil, later.Release(all[0], false)[0].Props)); got != `{"note":"a@b.io 4111111111111111"}` {
		t.Error(got)
	}
}

// What is held of somebody goes with them, and what is older than a month.
func TestHoldForgets(t *testing.T) {
	a := newDoor(t)
	a.looking(map[detect.Kind]Action{detect.Email: HoldIt})
	h := a.holding()
	a.send("POST", "/v1/batch", `{"batch":[
		{"type":"track","userId":"gone","event":"A","properties":{"x":"canary-one@b.io"}},
		{"type":"track","userId":"stays","event":"A","properties":{"x":"canary-two@b.io"}},
		{"type":"alias","userId":"u","previousId":"gone"},
		{"type":"track","anonymousId":"gone","userId":"v","event":"A","properties":{"x":"canary-three@b.io"}}]}`, "Authorization", writeKey)
	if h.Count() != 3 {
		t.Fatal(h.Count())
	}
	holder := h.Holder(func(id string) bool { return id == "gone" })
	for range 2 {
		if err := holder.Forget(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(h.dir, "*"))
	if err != nil || len(files) != 1 || h.Count() != 1 {
		t.Fatalf("%v %v", files, err)
	}
	all, err := h.List(0, 9)
	if err != nil || len(all) != 1 || all[0].Facts[0].User != "stays" {
		t.Errorf("%v %v", all, err)
	}
	a.now = a.now.Add(HoldLasts + time.Second)
	if err := h.Expire(); err != nil || h.Count() != 0 || len(h.Unreadable()) != 0 {
		t.Errorf("%d are held after their time: %v", h.Count(), err)
	}
	if all, err := h.List(0, 9); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
	// What was being written when the power went is swept, what is damaged is passed over.
	for _, name := range []string{"0000000000000001.held.new", "0000000000000002.held"} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if h, err = OpenHold(h.dir, glass{}, nil, nil); err != nil || h.Count() != 0 || !slices.Equal(h.Unreadable(), []string{"0000000000000002.held"}) {
		t.Errorf("%v, %v", h.Unreadable(), err)
	}
}

func TestAHoldThatIsFullRefuses(t *testing.T) {
	a := newDoor(t)
	a.looking(map[detect.Kind]Action{detect.Email: HoldIt})
	h := a.holding()
	h.count = HoldRecords
	if got := a.track("m", `{"note":"a@b.io"}`); !strings.Contains(got, `"code":"hold_full"`) {
		t.Error(got)
	}
	if _, refused := a.importEvents(`{"user":"u","event":"A","ts":"2026-11-20T08:26:00Z","props":{"note":"e@f.io"}}`); len(refused) != 1 {
		t.Error(refused)
	}
	a.wantFacts()
}

// Whatever properties look like: what a detector leaves of them holds nothing
// that it looks for, and looking again changes nothing.
func TestDetectorLeavesNothing(t *testing.T) {
	var actions [detect.Kinds]Action
	for k := range actions {
		actions[k] = MaskIt
	}
	actions[detect.Card], actions[detect.Email] = HashIt, HashIt
	d := NewDetector(actions, nil)
	d.Hash = func(_ string, parts ...[]byte) [32]byte { return sha256.Sum256(parts[1]) }
	words := rapid.SampledFrom([]string{"4111111111111111", "4111 1111 1111 1111", "a@b.io", "+14155550123", "219-09-9999", "DE89370400440532013000", " ", "-", "x", "1", ".", "%40"})
	rapid.Check(t, func(t *rapid.T) {
		var leaf func(depth int) event.Value
		leaf = func(depth int) event.Value {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				return event.OfInt(rapid.SampledFrom([]int64{4111111111111111, 7, 1795451160000, -4111111111111111, 378282246310005}).Draw(t, "int"))
			case 1:
				if depth < 3 {
					return event.OfList([]event.Value{leaf(depth + 1), leaf(depth + 1)})
				}
			case 2:
				if depth < 3 {
					return event.OfObject([]event.Prop{{Key: "k", Value: leaf(depth + 1)}, {Key: strings.Join(rapid.SliceOfN(words, 1, 3).Draw(t, "key"), ""), Value: leaf(depth + 1)}})
				}
			}
			return event.OfText(strings.Join(rapid.SliceOfN(words, 0, 6).Draw(t, "text"), ""))
		}
		v := leaf(0)
		before := string(v.AppendJSON(nil))
		out, _ := d.value(v, "phone")
		if string(v.AppendJSON(nil)) != before {
			t.Fatalf("the record itself changed: %s", before)
		}
		again, found := d.value(out, "phone")
		if found.kinds != 0 || string(again.AppendJSON(nil)) != string(out.AppendJSON(nil)) {
			t.Fatalf("%s becomes %s, where %s is found", before, out.AppendJSON(nil), found.kinds)
		}
	})
}

// BenchmarkRules is what the rules cost an event of Segment's: with no
// detector, with cards looked for, with everything.
func BenchmarkRules(b *testing.B) {
	var all [detect.Kinds]Action
	for k := range all {
		all[k] = MaskIt
	}
	for name, d := range map[string]*Detector{
		"none": nil, "cards": NewDetector([detect.Kinds]Action{detect.Card: MaskIt}, nil), "all": NewDetector(all, nil),
	} {
		b.Run(name, func(b *testing.B) {
			rules := &Rules{Detect: d, Names: NewNames([]string{"Product Added"}, []string{"sku", "name", "price", "quantity", "url", "at", "session", "list"}, nil)}
			props := []event.Prop{
				{Key: "sku", Value: event.OfText("SKU-00123456")}, {Key: "name", Value: event.OfText("Red running shoes, size 42")},
				{Key: "price", Value: event.OfFloat(79.9)}, {Key: "quantity", Value: event.OfInt(1)},
				{Key: "url", Value: event.OfText("https://shop.example/products/123456/red-running-shoes?utm_source=mail")},
				{Key: "at", Value: event.OfInt(1795451160000)}, {Key: "session", Value: event.OfText("550e8400-e29b-41d4-a716-446655440000")},
				{Key: "list", Value: event.OfList([]event.Value{event.OfText("sport"), event.OfText("sale")})},
			}
			f := event.Fact{Kind: event.Track, ID: "m-1", User: "u-1", Name: "Product Added", Time: now.UnixMicro(), Props: props}
			limits := event.DefaultLimits()
			b.ReportAllocs()
			for b.Loop() {
				f.Props = props
				if _, err := rules.apply(&f, now, limits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
