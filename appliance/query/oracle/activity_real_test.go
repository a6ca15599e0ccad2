package oracle

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// logged is one line of a data set.
type logged struct {
	user, name string
	at         time.Time
	session    int
}

// loadSet reads a data set beside the checkout; lines without a user are left
// out. The days are UTC's.
func loadSet(t *testing.T, set string, count int) ([]logged, query.Env) {
	f, err := os.Open("../../../../shared/data/" + set + "/events.ndjson.gz")
	if err != nil {
		t.Fatal("the data set is needed beside the checkout: ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var (
		lines   []logged
		gens    []memory.Generation
		people  memory.People
		numbers = map[string]uint32{}
	)
	s := bufio.NewScanner(z)
	for s.Scan() {
		var l struct {
			User, Event string
			TS          time.Time
			Props       json.RawMessage
		}
		var p struct{ SessionID int }
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(l.Props, &p); err != nil {
			t.Fatal(err)
		}
		if l.User == "" {
			continue
		}
		props, err := event.ParseJSON(l.Props)
		if err != nil {
			t.Fatal(err)
		}
		if numbers[l.User] == 0 {
			people = append(people, memory.Person{Identity: l.User})
			numbers[l.User] = uint32(len(people))
		}
		if len(lines)%30_000 == 0 {
			gens = append(gens, memory.Generation{Layout: memory.Layout(len(gens) % 3)})
		}
		lines = append(lines, logged{l.User, l.Event, l.TS, p.SessionID})
		g := &gens[len(gens)-1]
		g.Rows = append(g.Rows, history.Row{Person: numbers[l.User], Time: l.TS.UnixMicro(), Name: l.Event, Props: props.Object()})
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if len(lines) != count {
		t.Fatalf("%d lines", len(lines))
	}
	return lines, query.Env{Data: query.Data{History: memory.New(time.UTC, gens...), People: people}, Find: people.Find}
}

// TestCDNow: of those who bought for the first time in each month of 1997 and
// 1998, how many bought again in each month after, from bitmaps, from rows, and
// counted in a loop made for it.
func TestCDNow(t *testing.T) {
	lines, env := loadSet(t, "cdnow", 69_659)
	month := func(at time.Time) int { return (at.Year()-1997)*12 + int(at.Month()) - 1 }
	first := map[string]int{}
	bought := map[string]map[int]bool{}
	for _, l := range lines {
		m := month(l.at)
		if f, ok := first[l.user]; !ok || m < f {
			first[l.user] = m
		}
		if bought[l.user] == nil {
			bought[l.user] = map[int]bool{}
		}
		bought[l.user][m] = true
	}
	var want, later [18][18]int64 // by month of the first purchase, months after it
	for user, months := range bought {
		f := first[user]
		last := 0
		for m := range months {
			want[f][m-f]++
			last = max(last, m)
		}
		for k := 0; f+k <= last; k++ {
			later[f][k]++
		}
	}
	for _, c := range []struct {
		name, question string
		rows           bool
		want           *[18][18]int64
	}{
		{"bitmaps", `{"kind":"retention","start":{"event":"Purchase"},"return":{"event":"Purchase"},"interval":"month","first":"1997-01-15","buckets":18}`, false, &want},
		{"rows", `{"kind":"retention","start":{"event":"Purchase"},"return":{"event":"Purchase"},"interval":"month","first":"1997-01-15","buckets":18,
			"filter":{"property":"amount","op":">=","value":0}}`, true, &want},
		{"unbounded", `{"kind":"retention","start":{},"return":{"event":"Purchase"},"interval":"month","unbounded":true}`, false, &later},
	} {
		a, err := query.Ask(t.Context(), []byte(c.question), env)
		if err != nil {
			t.Fatal(err)
		}
		if c.rows != (a.Rows > 0) {
			t.Errorf("%s: %d rows were read", c.name, a.Rows)
		}
		rows := a.Result.(*query.RetentionResult).Rows
		if len(rows) != 18 {
			t.Fatalf("%s: %d rows", c.name, len(rows))
		}
		for i, r := range rows {
			if !slices.Equal(r.Values, c.want[i][:18-i]) || r.Size != c.want[i][0] {
				t.Errorf("%s, %s: %v, want %v", c.name, r.Bucket, r.Values, c.want[i][:18-i])
			}
		}
		t.Logf("%s in %v: %d who bought first in 1997-01, then %v", c.name, a.Took, rows[0].Size, rows[0].Values[1:])
	}
}

// TestSparkify: sessions of a music app as it numbers them, counted by sorting.
func TestSparkify(t *testing.T) {
	lines, env := loadSet(t, "sparkify_log", 7770)
	type key struct {
		user    string
		session int
	}
	times := map[key][]time.Time{}
	for _, l := range lines {
		k := key{l.user, l.session}
		times[k] = append(times[k], l.at)
	}
	var lengths []float64
	var most, bounces, sum = int64(0), int64(0), 0.0
	byDay := map[string]int64{}
	for _, at := range times {
		slices.SortFunc(at, time.Time.Compare)
		length := at[len(at)-1].Sub(at[0]).Seconds()
		lengths, sum = append(lengths, length), sum+length
		most = max(most, int64(len(at)))
		if len(at) == 1 {
			bounces++
		}
		byDay[at[0].UTC().Format(time.DateOnly)]++
	}
	slices.Sort(lengths)
	n := len(lengths)
	a, err := query.Ask(t.Context(), []byte(`{"kind":"sessions","session":"sessionId","interval":"day","from":"2018-11-01","to":"2018-11-30"}`), env)
	if err != nil {
		t.Fatal(err)
	}
	r := a.Result.(*query.SessionsResult)
	if r.Sessions != int64(n) || r.MaxEvents != most || r.Bounces != bounces || !near(r.MeanSeconds, sum/float64(n)) ||
		!near(r.MedianSeconds, (lengths[(n-1)/2]+lengths[n/2])/2) || !near(r.EventsPerSession, float64(len(lines))/float64(n)) {
		t.Errorf("%+v, want %d sessions, %d events at most, %d bounces, %v seconds", r, n, most, bounces, sum/float64(n))
	}
	if len(r.Buckets) != 30 {
		t.Fatalf("%d days", len(r.Buckets))
	}
	for i, day := range r.Buckets {
		if r.Arrays.Sessions[i] != byDay[day] {
			t.Errorf("%s: %d sessions, want %d", day, r.Arrays.Sessions[i], byDay[day])
		}
	}
	t.Logf("%d sessions of %.1f events, mean %.1f s, median %.1f s, at most %d events, %d bounces, in %v", r.Sessions, r.EventsPerSession,
		r.MeanSeconds, r.MedianSeconds, r.MaxEvents, r.Bounces, a.Took)
}
