package oracle

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// retail is real order lines of a shop, as a test of its own counts them.
type retail struct {
	user, name, sku, country, invoice string
	at                                time.Time
	amount                            float64
}

// loadRetail reads the data set beside the checkout.
func loadRetail(t *testing.T) ([]retail, []history.Row, query.Env) {
	f, err := os.Open("../../../../shared/data/online_retail/events.ndjson.gz")
	if err != nil {
		t.Fatal("the data set is needed beside the checkout: ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var (
		lines   []retail
		rows    []history.Row
		people  memory.People
		numbers = map[string]uint32{}
	)
	for s := bufio.NewScanner(z); s.Scan(); {
		var l struct {
			User, Event string
			TS          time.Time
			Props       json.RawMessage
		}
		var p struct {
			SKU, Country, Invoice string
			Amount                float64
		}
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(l.Props, &p); err != nil {
			t.Fatal(err)
		}
		props, err := event.ParseJSON(l.Props)
		if err != nil {
			t.Fatal(err)
		}
		if numbers[l.User] == 0 {
			people = append(people, memory.Person{Identity: l.User})
			numbers[l.User] = uint32(len(people))
		}
		lines = append(lines, retail{l.User, l.Event, p.SKU, p.Country, p.Invoice, l.TS, p.Amount})
		rows = append(rows, history.Row{Person: numbers[l.User], Time: l.TS.UnixMicro(), Name: l.Event, Props: props.Object()})
	}
	if len(lines) != 406_829 {
		t.Fatalf("%d lines", len(lines))
	}
	london := location("Europe/London")
	third := len(rows) / 3
	h := memory.New(london, memory.Generation{Rows: rows[:third], Layout: memory.ByPerson}, memory.Generation{Rows: rows[third : 2*third], Layout: memory.ByDay},
		memory.Generation{Rows: rows[2*third:]})
	return lines, rows, query.Env{Data: query.Data{History: h, People: people}, Location: london, Find: people.Find}
}

func askRetail[R any](t *testing.T, env query.Env, question string) R {
	a, err := query.Ask(t.Context(), []byte(question), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s in %v, %d rows", a.Kind, a.Took, a.Rows)
	return a.Result.(R)
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

// TestRetail asks about real data, and counts the same in loops made for it.
func TestRetail(t *testing.T) {
	lines, rows, env := loadRetail(t)
	t.Run("revenue and customers by month and country", func(t *testing.T) {
		got := askRetail[*query.TrendResult](t, env, `{"kind":"trend","interval":"month","breakdown":{"property":"country","limit":5},"series":[
			{"event":"Item Purchased","measure":"sum","property":"amount"},{"event":"Item Purchased","measure":"unique"}]}`)
		type cell struct{ country, month string }
		sums, people := map[cell]float64{}, map[cell]map[string]bool{}
		for _, l := range lines {
			if l.name != "Item Purchased" {
				continue
			}
			for _, month := range []string{l.at.In(env.Location).Format("2006-01") + "-01", "all"} {
				c := cell{l.country, month}
				sums[c] += l.amount
				if people[c] == nil {
					people[c] = map[string]bool{}
				}
				people[c][l.user] = true
			}
		}
		if len(got.Buckets) != 13 || len(got.Series) != 10 {
			t.Fatalf("%d months, %d series", len(got.Buckets), len(got.Series))
		}
		for i, s := range got.Series {
			country := s.Breakdown[0].Text()
			want := func(month string) float64 {
				if i < 5 {
					return sums[cell{country, month}]
				}
				return float64(len(people[cell{country, month}]))
			}
			if !near(s.Total, want("all")) {
				t.Errorf("%s: total %v, want %v", country, s.Total, want("all"))
			}
			for b, month := range got.Buckets {
				if !near(s.Values[b], want(month)) {
					t.Errorf("%s in %s: %v, want %v", country, month, s.Values[b], want(month))
				}
			}
		}
	})
	t.Run("customers by day, month and trailing week", func(t *testing.T) {
		got := askRetail[*query.TrendResult](t, env, `{"kind":"trend","from":"2011-11-01","to":"2011-11-30","series":[
			{"event":"Item Purchased","measure":"unique"},{"measure":"unique","trailing":{"n":7,"unit":"day"}}]}`)
		for b, name := range got.Buckets {
			day, err := time.ParseInLocation(time.DateOnly, name, env.Location)
			if err != nil {
				t.Fatal(err)
			}
			end := day.AddDate(0, 0, 1)
			bought, week := map[string]bool{}, map[string]bool{}
			for _, l := range lines {
				if l.at.Before(end) && !l.at.Before(day) && l.name == "Item Purchased" {
					bought[l.user] = true
				}
				if l.at.Before(end) && !l.at.Before(end.Add(-7*24*time.Hour)) {
					week[l.user] = true
				}
			}
			if got.Series[0].Values[b] != float64(len(bought)) || got.Series[1].Values[b] != float64(len(week)) {
				t.Errorf("%s: %v and %v, want %d and %d", name, got.Series[0].Values[b], got.Series[1].Values[b], len(bought), len(week))
			}
		}
	})
	t.Run("bought and returned within 30 days", func(t *testing.T) {
		got := askRetail[*query.FunnelResult](t, env, `{"kind":"funnel","window":{"n":30,"unit":"day"},"hold":["sku"],"count":"attempts","from":"2011-01-01",
			"steps":[{"event":"Item Purchased"},{"event":"Item Returned"}]}`)
		first := time.Date(2011, 1, 1, 0, 0, 0, 0, env.Location)
		byUser := map[string][]retail{}
		for _, l := range lines { // they are in order
			if !l.at.Before(first) {
				byUser[l.user+"|"+l.sku] = append(byUser[l.user+"|"+l.sku], l)
			}
		}
		attempts, returned := 0, 0
		var took []float64
		for _, events := range byUser {
			for i, l := range events {
				if l.name != "Item Purchased" {
					continue
				}
				attempts++
				for _, later := range events[i+1:] {
					if later.name == "Item Returned" {
						if d := later.at.Sub(l.at); d <= 30*24*time.Hour {
							returned++
							took = append(took, d.Seconds())
						}
						break
					}
				}
			}
		}
		slices.Sort(took)
		if s := got.Steps; s[0].People != int64(attempts) || s[1].People != int64(returned) || *s[1].MedianSeconds != (took[(len(took)-1)/2]+took[len(took)/2])/2 {
			t.Errorf("%+v, want %d and %d", s, attempts, returned)
		}
	})
	t.Run("good customers", func(t *testing.T) {
		got := askRetail[*query.SegmentResult](t, env, `{"kind":"segment","people":{"all":[
			{"did":{"event":"Item Purchased"},"in":{"from":"2011-06-01","to":"2011-11-30"},"count":{"op":">=","value":50},"days":{"op":">","value":3},
			 "sum":{"property":"amount","op":">","value":1000},"distinct":{"property":"sku","op":">=","value":40}},
			{"did_not":{"event":"Item Returned"}}]}}`)
		from, to := time.Date(2011, 6, 1, 0, 0, 0, 0, env.Location), time.Date(2011, 12, 1, 0, 0, 0, 0, env.Location)
		type tally struct {
			count     int
			sum       float64
			days, sku map[string]bool
			returned  bool
		}
		users := map[string]*tally{}
		for _, l := range lines {
			u := users[l.user]
			if u == nil {
				u = &tally{days: map[string]bool{}, sku: map[string]bool{}}
				users[l.user] = u
			}
			u.returned = u.returned || l.name == "Item Returned"
			if l.name == "Item Purchased" && !l.at.Before(from) && l.at.Before(to) {
				u.count++
				u.sum += l.amount
				u.days[strconv.Itoa(l.at.In(env.Location).YearDay())] = true
				u.sku[l.sku] = true
			}
		}
		want := uint64(0)
		for _, u := range users {
			if u.count >= 50 && len(u.days) > 3 && u.sum > 1000 && len(u.sku) >= 40 && !u.returned {
				want++
			}
		}
		if got.Count != want || want == 0 {
			t.Errorf("%d, want %d", got.Count, want)
		}
	})
	t.Run("recency, frequency and amount", func(t *testing.T) { retailRFM(t, lines, env) })
	t.Run("the same from blocks", func(t *testing.T) { sameFromBlocks(t, rows, env) })
}

// sameFromBlocks asks the real history, in blocks of the size they have, what
// the other tests asked the one in memory.
func sameFromBlocks(t *testing.T, rows []history.Row, env query.Env) {
	e := openEngines(t)
	h, err := history.Open(e.db, e.shelves, e.keys, history.Options{Location: env.Location, FreezeRows: 150_000})
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(rows, 5000) {
		if err := e.db.Update(func(t *kv.Txn) error { return h.Append(t, part) }); err != nil {
			t.Fatal(err)
		}
		h.Committed()
	}
	s := h.Snapshot()
	defer func() {
		s.Release()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	real := env
	real.Data.History = s
	for _, q := range []string{
		`{"kind":"trend","interval":"week","breakdown":{"property":"country"},"series":[{"event":"Item Purchased","measure":"sum","property":"amount"},
			{"event":"Item Purchased","measure":"p90","property":"quantity"},{"measure":"unique"}],"compare":"previous","from":"2011-03-01"}`,
		`{"kind":"trend","series":[{"measure":"unique"},{"event":"Item Returned","measure":"unique","trailing":{"n":30,"unit":"day"}}],"from":"2011-04-10","to":"2011-09-20"}`,
		`{"kind":"trend","interval":"all","series":[{"measure":"distinct","property":"sku"},{"measure":"median","property":"unit_price"}],
			"filter":{"property":"description","op":"contains","value":"heart"}}`,
		`{"kind":"funnel","window":{"n":30,"unit":"day"},"hold":["sku"],"count":"attempts","steps":[{"event":"Item Purchased"},{"event":"Item Returned"}],
			"breakdown":{"property":"country"},"over_time":{"interval":"month"},"time_to_convert":{"bins":20},"list":{"step":2,"limit":50}}`,
		`{"kind":"funnel","order":"strict","steps":[{"filter":{"property":"quantity","op":">","value":50}},{"event":"Item Returned"},{}]}`,
		`{"kind":"segment","list":{"limit":1000},"people":{"all":[{"did":{"event":"Item Purchased"},"count":{"op":">=","value":50},"days":{"op":">","value":3}},
			{"did_not":{"event":"Item Returned"},"in":{"from":"2011-06-01T12:00:00Z"}}]}}`,
		`{"kind":"rfm","event":"Item Purchased","amount":"amount","frequency":"invoice","now":"2011-12-10","compare":{"now":"2011-09-01"}}`,
	} {
		want, got := askRetail[any](t, env, q), askRetail[any](t, real, q)
		if d := difference("", plain(want), plain(got)); d != "" {
			t.Errorf("%s: %s", q, d)
		}
	}
}
