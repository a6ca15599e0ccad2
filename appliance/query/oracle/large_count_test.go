package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// largeCounts are what questions about a large history must answer, counted in
// loops made for them.
type largeCounts struct {
	countA, uniqueA, sum, median, p99, distinct []float64 // by day
	people                                      map[uint32]int
	values                                      map[int]int
	attempts, converted, sessions, longest      int
}

func dayOf(at int64) int { return int(time.UnixMicro(at).Sub(largeBase) / (24 * time.Hour)) }

func countLarge(events []happened) *largeCounts {
	d := &largeCounts{people: map[uint32]int{}, values: map[int]int{}}
	days := make([][]happened, largeDays)
	by := map[uint32][]happened{}
	for _, o := range events {
		days[dayOf(o.at)] = append(days[dayOf(o.at)], o)
		by[o.person] = append(by[o.person], o)
		d.people[o.person]++
		d.values[o.v]++
	}
	for _, day := range days {
		a, sum := 0, 0
		who, some := map[uint32]bool{}, map[int]bool{}
		var numbers []int
		for _, o := range day {
			if o.name == "A" {
				a++
				who[o.person] = true
			}
			sum += o.n
			some[o.v] = true
			numbers = append(numbers, o.n)
		}
		slices.Sort(numbers)
		k := len(numbers)
		d.countA, d.uniqueA = append(d.countA, float64(a)), append(d.uniqueA, float64(len(who)))
		d.sum, d.distinct = append(d.sum, float64(sum)), append(d.distinct, float64(len(some)))
		d.median = append(d.median, float64(numbers[(k-1)/2]+numbers[k/2])/2)
		d.p99 = append(d.p99, float64(numbers[(99*k+99)/100-1]))
	}
	for _, own := range by {
		slices.SortStableFunc(own, func(a, b happened) int { return cmp.Compare(a.at, b.at) })
		d.follow(own)
	}
	return d
}

// follow counts one person's attempts and sessions.
func (d *largeCounts) follow(own []happened) {
	next := int64(1 << 62) // time of the next B
	in := 0
	for i, o := range slices.Backward(own) {
		if o.name == "B" {
			next = o.at
		} else {
			d.attempts++
			if next-o.at <= 30_000_000 {
				d.converted++
			}
		}
		in++
		if i == 0 || o.at-own[i-1].at > 60_000_000 {
			d.sessions++
			d.longest = max(d.longest, in)
			in = 0
		}
	}
}

// busiest is the most rows in a day of a partition.
func (d *largeCounts) busiest(events []happened) int {
	rows := map[[2]int]int{}
	for _, o := range events {
		rows[[2]int{dayOf(o.at), event.PartitionOf(o.person)}]++
	}
	most := 0
	for _, n := range rows {
		most = max(most, n)
	}
	return most
}

type countedValue struct {
	text  string
	count int
}

// top are the values that most events have.
func (d *largeCounts) top(n int) []countedValue {
	var all []countedValue
	for v, count := range d.values {
		all = append(all, countedValue{fmt.Sprintf("v%05d", v), count})
	}
	slices.SortFunc(all, func(a, b countedValue) int {
		return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.text, b.text))
	})
	return all[:n]
}

// often counts who did B at least n times on the busy day.
func (d *largeCounts) often(events []happened, n int) int {
	times := map[uint32]int{}
	for _, o := range events {
		if o.name == "B" && dayOf(o.at) == busyDay {
			times[o.person]++
		}
	}
	people := 0
	for _, k := range times {
		if k >= n {
			people++
		}
	}
	return people
}
