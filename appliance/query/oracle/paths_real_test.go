package oracle

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/query"
)

// TestSparkifyPaths: the ways of a music app's users from Home on, by its own
// sessions and by pauses, counted by sorting.
func TestSparkifyPaths(t *testing.T) {
	lines, env := loadSet(t, "sparkify_log", 7770)
	byUser := map[string][]logged{}
	for _, l := range lines {
		byUser[l.user] = append(byUser[l.user], l)
	}
	for _, c := range []struct {
		name, question string
		same           func(a, b logged) bool // one session, of a user's lines by session and time, or by time
		order          func(a, b logged) int
	}{
		{"its sessions", `{"kind":"paths","start":{"event":"Home"},"session":"sessionId","depth":4,"limit":10000}`,
			func(a, b logged) bool { return a.session == b.session },
			func(a, b logged) int { return cmp.Or(cmp.Compare(a.session, b.session), a.at.Compare(b.at)) }},
		{"pauses", `{"kind":"paths","start":{"event":"Home"},"within":{"n":3,"unit":"minute"},"depth":4,"limit":10000}`,
			func(a, b logged) bool { return b.at.Sub(a.at) <= 3*time.Minute },
			func(a, b logged) int { return a.at.Compare(b.at) }},
	} {
		count, people, sessions := map[string]int64{}, map[string]map[string]bool{}, int64(0)
		for user, mine := range byUser {
			mine = slices.Clone(mine)
			slices.SortStableFunc(mine, c.order)
			var way []string
			end := func() {
				if len(way) > 0 {
					key := strings.Join(way[:min(4, len(way))], " > ")
					count[key]++
					if people[key] == nil {
						people[key] = map[string]bool{}
					}
					people[key][user] = true
					sessions++
				}
				way = nil
			}
			for i, l := range mine {
				if i > 0 && !c.same(mine[i-1], l) {
					end()
				}
				if len(way) == 0 && l.name == "Home" || len(way) > 0 && way[len(way)-1] != l.name {
					way = append(way, l.name)
				}
			}
			end()
		}
		a, err := query.Ask(t.Context(), []byte(c.question), env)
		if err != nil {
			t.Fatal(err)
		}
		r := a.Result.(*query.PathsResult)
		if len(r.Paths) != len(count) {
			t.Errorf("%s: %d paths, want %d", c.name, len(r.Paths), len(count))
		}
		for _, p := range r.Paths {
			var names []string
			for _, n := range p.Nodes {
				names = append(names, n.Text())
			}
			key := strings.Join(names, " > ")
			if p.Count != count[key] || p.People != int64(len(people[key])) {
				t.Errorf("%s: %s went %d by %d people, want %d by %d", c.name, key, p.Count, p.People, count[key], len(people[key]))
			}
		}
		first := slices.MinFunc(slices.Collect(maps.Keys(count)), func(a, b string) int { return cmp.Compare(count[b], count[a]) })
		t.Logf("by %s, in %v: %d sessions with Home went %d ways, most often %s (%d)", c.name, a.Took, sessions, len(count), first, count[first])
	}
}
