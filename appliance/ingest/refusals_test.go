package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// What every door refuses is remembered with its reason and its record.
func TestRefusalsOfDoors(t *testing.T) {
	a := newDoor(t)
	kept := NewRefusals(func() time.Time { return a.now })
	a.pub.Refused = kept.Add
	_, start := kept.List(RefusalFilter{}, 1)
	a.send("POST", "/v1/track", `{"userId":"u","event":"A","timestamp":"1979-01-01T00:00:00Z","properties":{"x":"canary"}}`, "Authorization", "Basic V1JJVEVLRVk6")
	a.send("POST", "/v1/track", `{"userId":`, "Authorization", "Basic V1JJVEVLRVk6")
	a.send("POST", "/1/upload", `{"d":[{"identity":"u","type":"event","evtName":"A","evtData":{}},{"identity":"u","type":"event"}]}`,
		"X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret")
	a.importEvents(`{"user":"u","event":"A"}` + "\n" + `{"user":"u","event":"A","ts":"1970-01-01T00:00:00Z"}`)

	all, last := kept.List(RefusalFilter{}, 100)
	var got []string
	for i, r := range all {
		if r.Number != start+uint64(i)+1 || !r.At.Equal(a.now) || r.Bytes != len(r.Record) {
			t.Errorf("%d: %+v", i, r)
		}
		got = append(got, fmt.Sprintf("%s %s %d %s %q %s", r.Dialect, r.Key, r.Index, r.Code, r.Field, r.Record))
	}
	want := []string{
		`segment WRITEKEY 0 too_old "ts" {"userId":"u","event":"A","timestamp":"1979-01-01T00:00:00Z","properties":{"x":"canary"}}`,
		`segment WRITEKEY -1 unreadable "" `,
		`clevertap SERVER 1 509 "" {"identity":"u","type":"event"}`,
		`import  9 invalid "" "{\"user\":\"u\",\"event\":\"A\"}"`,
		`import  10 too_old "ts" "{\"user\":\"u\",\"event\":\"A\",\"ts\":\"1970-01-01T00:00:00Z\"}"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || last != start+5 {
		t.Errorf("%d of %d:\n%s", last, start, strings.Join(got, "\n"))
	}
	for _, c := range []struct {
		f     RefusalFilter
		limit int
		want  string
	}{
		{RefusalFilter{After: start + 1}, 2, "unreadable 509"},
		{RefusalFilter{}, 2, "invalid too_old"},
		{RefusalFilter{Code: "too_old"}, 9, "too_old too_old"},
		{RefusalFilter{Dialect: "clevertap"}, 9, "509"},
		{RefusalFilter{Key: "WRITEKEY"}, 9, "too_old unreadable"},
		{RefusalFilter{After: last}, 9, ""},
	} {
		all, _ := kept.List(c.f, c.limit)
		var codes []string
		for _, r := range all {
			codes = append(codes, r.Code)
		}
		if got := strings.Join(codes, " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
	}
	if got := fmt.Sprint(kept.Counts()); got != "[{clevertap 509 false 1} {import invalid false 1} {import too_old false 1} {segment too_old false 1} {segment unreadable false 1}]" {
		t.Error(got)
	}
	// Whose the records are nobody knows: an erasure takes them all.
	if err := kept.Forget(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	all, _ = kept.List(RefusalFilter{}, 100)
	for _, r := range all {
		if r.Record != nil || r.Code == "" {
			t.Errorf("%+v", r)
		}
	}
	a.now = a.now.Add(refusalsLast + time.Second)
	if all, _ := kept.List(RefusalFilter{}, 100); len(all) != 0 {
		t.Errorf("%d are remembered after a day", len(all))
	}
}

// What doors remember goes in time, also where nobody looks.
func TestWhatDoorsRememberGoesInTime(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return now }
	refused, arrived := NewRefusals(clock), NewArrivals(clock)
	refused.Add([]Refused{{Dialect: "x", Err: errors.New("no"), Record: event.OfText("canary")}})
	arrived.Add(Taken{Facts: []event.Fact{{Kind: event.Track, User: "u", Name: "A"}}})
	if len(refused.kept) != 1 || len(arrived.kept) != 1 {
		t.Fatalf("%d and %d are kept", len(refused.kept), len(arrived.kept))
	}
	now = now.Add(refusalsLast + time.Second)
	refused.Expire()
	arrived.Expire()
	if len(refused.kept) != 0 || len(arrived.kept) != 0 {
		t.Errorf("%d and %d are kept after their time", len(refused.kept), len(arrived.kept))
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	kept := NewRefusals(nil)
	many := make([]Refused, refusalsKept+5)
	for i := range many {
		many[i] = Refused{Dialect: "x", Index: i, Err: errors.New("no"), Record: event.OfText(strings.Repeat("y", 20<<10))}
	}
	kept.Add(many)
	all, last := kept.List(RefusalFilter{}, refusalsKept)
	if len(all) == 0 || len(all)*(20<<10) > refusalsBytes || all[len(all)-1].Index != refusalsKept+4 || all[len(all)-1].Number != last {
		t.Errorf("%d are kept", len(all))
	}
	kept.Add([]Refused{{Err: errors.New(strings.Repeat("z", 10_000)), Record: event.OfText(strings.Repeat("y", refusedRecord))}})
	if all, _ = kept.List(RefusalFilter{After: last}, 9); len(all) != 1 || all[0].Record != nil || all[0].Bytes != refusedRecord+2 || len(all[0].Message) > 510 {
		t.Errorf("%+v", all)
	}
	for i := range 1000 {
		kept.Add([]Refused{{Dialect: fmt.Sprint(i), Err: errors.New("no")}})
	}
	if got := kept.Counts(); len(got) > refusalKinds+1 {
		t.Errorf("%d are counted apart", len(got))
	}
}

func TestRefusalsConcurrently(t *testing.T) {
	kept := NewRefusals(nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				kept.Add([]Refused{{Dialect: "x", Err: errors.New("no"), Record: event.OfInt(int64(i))}})
			}
		})
		wg.Go(func() {
			after := uint64(1)
			for range 200 {
				all, _ := kept.List(RefusalFilter{After: after}, 10)
				for _, r := range all {
					if r.Number <= after {
						t.Error("out of order")
					}
					after = r.Number
					if r.Record != nil && r.Record[0] == 0 {
						t.Error("a record changed")
					}
				}
				if err := kept.Forget(context.Background(), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := kept.Counts(); got[0].Count != 800 {
		t.Error(got)
	}
}
