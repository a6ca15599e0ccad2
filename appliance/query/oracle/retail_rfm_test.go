package oracle

import (
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/query"
)

// retailRFM asks how recent, frequent and large the orders of real customers
// are, and counts the same in loops of its own.
func retailRFM(t *testing.T, lines []retail, env query.Env) {
	const question = `{"kind":"rfm","event":"Item Purchased","amount":"amount","frequency":"invoice","now":"2011-12-10","compare":{"now":"2011-09-01"}}`
	got := askRetail[*query.RFMResult](t, env, question)
	now, before := customers(lines, env.Location, "2011-12-10"), customers(lines, env.Location, "2011-09-01")
	for i, thresholds := range [][]float64{got.Thresholds.R, got.Thresholds.F, got.Thresholds.M} {
		if !slices.Equal(thresholds, now.thresholds[i]) {
			t.Errorf("thresholds %v, want %v", thresholds, now.thresholds[i])
		}
	}
	type tally struct {
		people int64
		amount float64
	}
	cells, groups := map[[3]int]tally{}, map[string]tally{}
	type move struct{ from, to string }
	moves := map[move]int64{}
	for user, c := range now.by {
		x := cells[c.scores]
		cells[c.scores] = tally{x.people + 1, x.amount + c.value[2]}
		name := grid[5-c.scores[0]][c.scores[1]-1]
		y := groups[name]
		groups[name] = tally{y.people + 1, y.amount + c.value[2]}
		from := ""
		if b := before.by[user]; b != nil {
			from = grid[5-b.scores[0]][b.scores[1]-1]
		}
		moves[move{from, name}]++
	}
	if len(got.Cells) != len(cells) || len(cells) < 60 {
		t.Errorf("%d cells, want %d", len(got.Cells), len(cells))
	}
	for _, c := range got.Cells {
		if want := cells[[3]int{c.R, c.F, c.M}]; c.People != want.people || !near(c.Amount, want.amount) {
			t.Errorf("cell %+v, want %+v", c, want)
		}
	}
	for _, g := range got.Groups {
		if want := groups[g.Name]; g.People != want.people || !near(g.Amount, want.amount) || g.People == 0 {
			t.Errorf("group %+v, want %+v", g, want)
		}
		t.Logf("%-20s %5d people %12.2f", g.Name, g.People, g.Amount)
	}
	if len(*got.Transitions) != len(moves) {
		t.Errorf("%d transitions, want %d", len(*got.Transitions), len(moves))
	}
	for _, m := range *got.Transitions {
		from := ""
		if m.From != nil {
			from = *m.From
		}
		if want := moves[move{from, m.To}]; m.People != want {
			t.Errorf("%d from %q to %q, want %d", m.People, from, m.To, want)
		}
	}
}

type customer struct {
	value  [3]float64 // days, invoices, amount
	scores [3]int
}

type scoredCustomers struct {
	by         map[string]*customer
	thresholds [3][]float64
}

// customers scores those who bought before a day.
func customers(lines []retail, zone *time.Location, today string) scoredCustomers {
	end, err := time.ParseInLocation(time.DateOnly, today, zone)
	if err != nil {
		panic(err)
	}
	last, invoices, sums := map[string]time.Time{}, map[string]map[string]bool{}, map[string]*big.Rat{}
	for _, l := range lines {
		if l.name != "Item Purchased" || l.at.After(end) {
			continue
		}
		if invoices[l.user] == nil {
			invoices[l.user], sums[l.user] = map[string]bool{}, new(big.Rat)
		}
		invoices[l.user][l.invoice] = true
		sums[l.user].Add(sums[l.user], new(big.Rat).SetFloat64(l.amount))
		if l.at.After(last[l.user]) {
			last[l.user] = l.at
		}
	}
	out := scoredCustomers{by: map[string]*customer{}}
	values := [3][]float64{}
	for user := range invoices {
		y, m, d := last[user].In(zone).Date()
		c := &customer{}
		c.value[0] = math.Round(end.Sub(time.Date(y, m, d, 0, 0, 0, 0, zone)).Hours() / 24)
		c.value[1] = float64(len(invoices[user]))
		c.value[2], _ = sums[user].Float64()
		out.by[user] = c
		for i, v := range c.value {
			values[i] = append(values[i], v)
		}
	}
	for i := range values {
		slices.Sort(values[i])
		for _, share := range []int{20, 40, 60, 80} {
			at := slices.IndexFunc(values[i], func(v float64) bool {
				atOrBelow, _ := slices.BinarySearchFunc(values[i], v, func(a, b float64) int {
					if a <= b {
						return -1
					}
					return 1
				})
				return atOrBelow*100 >= share*len(values[i])
			})
			out.thresholds[i] = append(out.thresholds[i], values[i][at])
		}
	}
	for _, c := range out.by {
		for i, v := range c.value {
			c.scores[i] = 1
			for _, t := range out.thresholds[i] {
				if t < v {
					c.scores[i]++
				}
			}
		}
		c.scores[0] = 6 - c.scores[0]
	}
	return out
}
