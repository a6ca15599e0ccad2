package ingest

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/cloisterhq/cloister/appliance/event"
)

// A client library from its registry, unmodified.
func TestSegmentClientLibrary(t *testing.T) {
	a := newDoor(t)
	a.now = time.Now()
	srv := httptest.NewServer(a.door)
	defer srv.Close()
	client, err := analytics.NewWithConfig("WRITEKEY", analytics.Config{Endpoint: srv.URL, Logger: quiet{t}, Callback: failing{t}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []analytics.Message{
		analytics.Identify{UserId: "u-1", AnonymousId: "d-1", Traits: analytics.NewTraits().SetEmail("asha@shop.example").Set("plan", "gold")},
		analytics.Track{UserId: "u-1", Event: "Added To Cart", Properties: analytics.NewProperties().Set("sku", "A-1").Set("price", 12.5)},
		analytics.Page{UserId: "u-1", Name: "Home"},
		analytics.Screen{UserId: "u-1", Name: "Cart"},
		analytics.Group{UserId: "u-1", GroupId: "g-1"},
		analytics.Alias{UserId: "u-2", PreviousId: "d-2"},
	} {
		if err := client.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil { // sends what waits
		t.Fatal(err)
	}
	var got []string
	for _, f := range a.facts() {
		if f.ID == "" || time.UnixMicro(f.Time).Sub(a.now).Abs() > time.Minute {
			t.Errorf("%s", show(&f))
		}
		switch f.Kind {
		case event.Track:
			got = append(got, f.Name)
		default:
			got = append(got, f.Kind.String())
		}
	}
	want := []string{"identify", "Added To Cart", "Page Viewed", "Screen Viewed", "Group Joined", "alias"}
	if len(got) != len(want) {
		t.Fatalf("%v arrived", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s where %s was sent", got[i], want[i])
		}
	}
}

type quiet struct{ t *testing.T }

func (q quiet) Logf(string, ...any)               {}
func (q quiet) Errorf(format string, args ...any) { q.t.Errorf(format, args...) }

type failing struct{ t *testing.T }

func (f failing) Success(analytics.Message)              {}
func (f failing) Failure(_ analytics.Message, err error) { f.t.Error(err) }
