package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// who asks for the people of an expression.
func (h *house) who(expression string) string {
	h.t.Helper()
	a, err := h.Ask(h.t.Context(), []byte(`{"kind":"segment","list":{},"people":`+expression+`}`))
	if err != nil {
		return err.Error()
	}
	return strings.Join(*a.Result.(*query.SegmentResult).People, " ")
}

func (h *house) upload(name string, part people.ListPart, ids ...string) people.ListInfo {
	h.t.Helper()
	part.People, part.Lines = ids, int64(len(ids))
	l, err := h.UploadList(h.t.Context(), name, part)
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// TestAListFromUploadToErasure: upload, question, restart, merge, erasure with
// its bytes, and a restart again.
func TestAListFromUploadToErasure(t *testing.T) {
	h := open(t)
	h.tell(asha(true), track("noor", "Viewed"), track("omar", "Viewed"), event.Fact{Kind: event.Track, Device: "tablet", Name: "Viewed"})
	const vips = `{"list":"vips"}`
	if got := h.who(vips); got != `people.list: there is no list "vips"; these are: none` {
		t.Error(got)
	}
	h.upload("vips", people.ListPart{Source: "a", Line: 1}, "asha", "nobody")
	if got := h.who(vips); !strings.Contains(got, "there is no list") {
		t.Errorf("while it is uploaded: %s", got)
	}
	h.reopen() // with half of it uploaded
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := h.upload("vips", people.ListPart{Source: "a", Line: 3, Last: true}, "tablet", "noor"); l.People != 3 || l.Unknown != 1 {
		t.Errorf("%+v", l)
	}
	if err := h.SaveSegment(t.Context(), Segment{Name: "reachable vips", People: json.RawMessage(`{"all":[{"list":"vips"},{"reachable":"email"}]}`)}); err != nil {
		t.Fatal(err)
	}
	h.tell(event.Fact{Kind: event.Track, User: "omar", Device: "tablet", Name: "Viewed"}) // a login: the tablet's person is omar
	check := func(when, want, reachable string) {
		t.Helper()
		for range 2 {
			if got := h.who(vips); got != want {
				t.Errorf("%s: on the list are %q, want %q", when, got, want)
			}
			if got := h.who(`{"segment":"reachable vips"}`); got != reachable {
				t.Errorf("%s: of the segment are %q, want %q", when, got, reachable)
			}
			h.reopen()
			if err := h.CaughtUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	check("uploaded", "asha noor omar", "asha")
	if _, err := h.UploadList(t.Context(), "vips", people.ListPart{Source: "a", Line: 9, People: []string{"asha"}, Lines: 1}); !errors.Is(err, ErrUpload) {
		t.Errorf("a part out of order: %v", err)
	}

	request, err := h.Erase(t.Context(), "asha")
	if err != nil {
		t.Fatal(err)
	}
	check("erased", "noor omar", "")
	if err := h.sweepPeople(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := h.Erasure(request); err != nil || s.Request != request {
		t.Errorf("%+v, %v", s, err)
	}
	check("and swept", "noor omar", "")
	if l := h.upload("vips", people.ListPart{Source: "b", Line: 1, Add: true, Last: true}, "asha"); l.People != 2 || l.Unknown != 2 {
		t.Errorf("the erased are back: %+v", l)
	}
	if err := h.DeleteList(t.Context(), "vips"); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteList(t.Context(), "vips"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleted again: %v", err)
	}
	if got := h.who(`{"segment":"reachable vips"}`); !strings.Contains(got, "there is no list") {
		t.Error(got)
	}
}

func TestWhatNoListIs(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		name  string
		part  people.ListPart
		count int
		id    string
		path  string
	}{
		{"", people.ListPart{}, 1, "x", "name"},
		{"a\nb", people.ListPart{}, 1, "x", "name"},
		{strings.Repeat("x", MaxSegmentName+1), people.ListPart{}, 1, "x", "name"},
		{"long", people.ListPart{}, people.MaxListPart + 1, "x", "lines"},
		{"wide", people.ListPart{}, 10_000, strings.Repeat("x", people.MaxListBytes/10_000), "lines"},
	} {
		c.part.Source, c.part.Line, c.part.People = "a", 1, slices.Repeat([]string{c.id}, c.count)
		var wrong *query.Error
		if _, err := h.UploadList(t.Context(), c.name, c.part); !errors.As(err, &wrong) || wrong.Path != c.path {
			t.Errorf("%q: %v", c.name, err)
		}
	}
	// The largest part there may be is one that is taken.
	largest := slices.Repeat([]string{strings.Repeat("x", people.MaxListBytes/people.MaxListPart-1)}, people.MaxListPart)
	if l := h.upload("0", people.ListPart{Source: "a", Line: 1, Last: true}, largest...); l.Unknown != people.MaxListPart {
		t.Errorf("%+v", l)
	}
	for i := range people.MaxLists {
		h.upload(fmt.Sprint(i), people.ListPart{Source: "a", Line: 1, Last: true}, "nobody")
	}
	var wrong *query.Error
	if _, err := h.UploadList(t.Context(), "more", people.ListPart{Source: "a", Line: 1, Last: true}); !errors.As(err, &wrong) || wrong.Code != query.CodeBudget {
		t.Errorf("one too many: %v", err)
	}
	if l := h.upload("7", people.ListPart{Source: "b", Line: 1, Last: true}); l.Unknown != 0 {
		t.Errorf("one that is there: %+v", l)
	}
}

func TestSavedRFMs(t *testing.T) {
	h := open(t)
	h.tell(track("asha", "Charged", event.Prop{Key: "Amount", Value: event.OfInt(70)}), track("noor", "Charged", event.Prop{Key: "Amount", Value: event.OfInt(7)}),
		track("omar", "Viewed"))
	save := func(name, question string) error {
		return h.SaveRFM(t.Context(), RFM{Name: name, Question: json.RawMessage(question)})
	}
	if got := h.who(`{"rfm":"big"}`); got != "people.rfm: no rfm is saved" {
		t.Error(got)
	}
	if err := save("value", `{"event":"Charged","amount":"Amount","bins":2,"groups":[{"name":"big","m":[2,2]},{"name":"small"}]}`); err != nil {
		t.Fatal(err)
	}
	for name, question := range map[string]string{"": `{"amount":"Amount"}`, "wrong": `{"amount":"Amount","people":{"list":"none"}}`, "now": `{"amount":"Amount","now":"2026-01-01"}`} {
		var wrong *query.Error
		if err := save(name, question); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := h.SaveSegment(t.Context(), Segment{Name: "big spenders", People: json.RawMessage(`{"rfm":"big"}`)}); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.who(`{"segment":"big spenders"}`); got != "asha" {
		t.Error(got)
	}
	if got := h.who(`{"rfm":"small","of":"value"}`); got != "noor" {
		t.Error(got)
	}
	// A campaign may be for a group.
	h.campaign(strings.Replace(letter, `"trigger"`, `"people":{"rfm":"big"},"trigger"`, 1))
	if all := h.RFMs(); len(all) != 1 || all[0].Name != "value" || len(h.Segments()) != 1 {
		t.Errorf("%+v", all)
	}
	if err := h.DeleteRFM(t.Context(), "value"); err != nil || len(h.RFMs()) != 0 {
		t.Errorf("after deleting: %v", err)
	}
	if err := h.DeleteRFM(t.Context(), "value"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleting again: %v", err)
	}
	if got := h.who(`{"segment":"big spenders"}`); !strings.Contains(got, "no rfm is saved") {
		t.Error(got)
	}
}

// A campaign whose list, rfm or segment stands just before it in the journal is
// applied with it in one run when the journal is caught up with.
func TestACampaignAndWhatItNamesInOneRun(t *testing.T) {
	h := open(t)
	part := people.ListPart{Source: "a", Line: 1, Lines: 1, Last: true, People: []string{"asha"}}
	list, err := part.Encode()
	if err != nil {
		t.Fatal(err)
	}
	made := func(kind, ref, body string) event.Fact {
		return event.Fact{Kind: event.Programme, Name: kind, Ref: ref, Body: []byte(body)}
	}
	h.tell(asha(true),
		made(event.TypeList, "vips", string(list)),
		made(event.TypeRFM, "value", `{"event":"Charged","amount":"Amount","groups":[{"name":"all"}]}`),
		made(event.TypeSegment, "paying vips", `{"all":[{"list":"vips"},{"rfm":"all"}]}`),
		made(event.TypeCampaign, "thanks", strings.Replace(letter, `"trigger"`, `"people":{"segment":"paying vips"},"trigger"`, 1)))
	if _, err := h.Campaigns().Get("thanks"); err != nil {
		t.Fatal(err)
	}
	h.tell(track("asha", "Charged", event.Prop{Key: "Amount", Value: event.OfInt(7)}))
	h.eventually("the letter is sent", func() bool { return len(h.post.letters()) == 1 })
}
