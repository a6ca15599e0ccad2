package oracle

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
)

// grid is the published map, as DESIGN.md draws it: the best r first, f rising.
var grid = [5][5]string{
	{"New Users", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"},
	{"Promising", "Potential Loyalists", "Potential Loyalists", "Loyal Users", "Loyal Users"},
	{"About to Sleep", "About to Sleep", "Needing Attention", "Loyal Users", "Loyal Users"},
	{"Hibernating", "Hibernating", "At Risk", "At Risk", "Cannot Lose Them"},
	{"Hibernating", "Hibernating", "At Risk", "At Risk", "Cannot Lose Them"},
}

var gridNames = []string{"Champions", "Loyal Users", "Potential Loyalists", "New Users", "Promising", "Needing Attention",
	"About to Sleep", "At Risk", "Cannot Lose Them", "Hibernating"}

// scored is one person of an rfm.
type scored struct {
	who        *someone
	days, f, m float64
	scores     [3]int
	group      string
}

// rfmOf scores people as of a moment, and gives the three lists of thresholds.
func (n *naive) rfmOf(q object, now int64) (all []*scored, thresholds [3][]float64) {
	bins := 5
	if b, ok := q["bins"].(float64); ok {
		bins = int(b)
	}
	for _, p := range n.living(q) {
		var last int64
		distinct, sum := map[string]bool{}, new(big.Rat)
		events := 0
		for _, o := range n.within(q, one(q), p) {
			if o.time > now {
				continue
			}
			events++
			last = o.time
			if f, ok := numberOf(o.props[q["amount"].(string)]); ok {
				sum.Add(sum, new(big.Rat).SetFloat64(f))
			}
			if property, ok := q["frequency"].(string); ok && property != "events" && o.props[property] != nil {
				distinct[same(o.props[property])] = true
			}
		}
		if events == 0 {
			continue
		}
		s := &scored{who: p, f: float64(events)}
		s.m, _ = sum.Float64()
		if property, ok := q["frequency"].(string); ok && property != "events" {
			s.f = float64(len(distinct))
		}
		s.days = math.Round(parseDate(n.dateOf(now)).Sub(parseDate(n.dateOf(last))).Hours() / 24)
		all = append(all, s)
	}
	value := []func(*scored) float64{func(s *scored) float64 { return s.days }, func(s *scored) float64 { return s.f }, func(s *scored) float64 { return s.m }}
	for i, of := range value {
		thresholds[i] = []float64{}
		for k := 1; k < bins && len(all) > 0; k++ {
			least := math.Inf(1) // the smallest value with k/bins of all at or below it
			for _, s := range all {
				atOrBelow := 0
				for _, o := range all {
					if of(o) <= of(s) {
						atOrBelow++
					}
				}
				if atOrBelow*bins >= k*len(all) {
					least = min(least, of(s))
				}
			}
			thresholds[i] = append(thresholds[i], least)
		}
		for _, s := range all {
			s.scores[i] = 1
			for _, t := range thresholds[i] {
				if i == 0 && t >= of(s) || i > 0 && t < of(s) {
					s.scores[i]++
				}
			}
		}
	}
	for _, s := range all {
		s.group = groupOf(q, s.scores, bins)
	}
	return all, thresholds
}

// groupsOf are the groups of a saved rfm: the one named, or the only one.
func (n *naive) groupsOf(o object) map[*someone]string {
	name, named := o["of"].(string)
	for only := range n.w.rfms {
		if !named {
			name = only
		}
	}
	if groups, ok := n.groups[name]; ok {
		return groups
	}
	var q object
	if err := json.Unmarshal(n.w.rfms[name], &q); err != nil {
		panic(err)
	}
	inner := *n
	inner.top, _ = q["filter"].(object)
	groups := map[*someone]string{}
	all, _ := inner.rfmOf(q, n.now)
	for _, s := range all {
		groups[s.who] = s.group
	}
	if n.groups == nil {
		n.groups = map[string]map[*someone]string{}
	}
	n.groups[name] = groups
	return groups
}

// groupOf is the first group whose scores these are.
func groupOf(q object, scores [3]int, bins int) string {
	own, ok := q["groups"].([]any)
	if !ok {
		of5 := func(score int) int { return int(math.Floor(float64(score-1)*4/float64(bins-1)+0.5)) + 1 }
		return grid[5-of5(scores[0])][of5(scores[1])-1]
	}
	for _, g := range own {
		fits := true
		for i, key := range []string{"r", "f", "m"} {
			if ends, ok := g.(object)[key].([]any); ok {
				fits = fits && float64(scores[i]) >= ends[0].(float64) && float64(scores[i]) <= ends[1].(float64)
			}
		}
		if fits {
			return g.(object)["name"].(string)
		}
	}
	panic("in no group")
}

func (n *naive) rfm(q object) any {
	all, thresholds := n.rfmOf(q, n.now)
	names := gridNames
	if own, ok := q["groups"].([]any); ok {
		names = nil
		for _, g := range own {
			names = append(names, g.(object)["name"].(string))
		}
	}
	out := object{"thresholds": object{"r": thresholds[0], "f": thresholds[1], "m": thresholds[2]}}
	// A cell and its scores as one number, for their order.
	people, amounts, group := map[int]float64{}, map[int]float64{}, map[int]string{}
	for _, s := range all {
		cell := s.scores[0]*10000 + s.scores[1]*100 + s.scores[2]
		people[cell]++
		amounts[cell] += s.m
		group[cell] = s.group
	}
	var order []int
	for cell := range people {
		order = append(order, cell)
	}
	slices.Sort(order)
	cells, groups := []any{}, []any{}
	for _, cell := range order {
		cells = append(cells, object{"r": cell / 10000, "f": cell / 100 % 100, "m": cell % 100, "people": people[cell], "amount": amounts[cell]})
	}
	for _, name := range names {
		count, amount, places := 0.0, 0.0, []any{}
		for _, cell := range order {
			if group[cell] == name {
				count += people[cell]
				amount += amounts[cell]
				places = append(places, []any{cell / 10000, cell / 100 % 100, cell % 100})
			}
		}
		groups = append(groups, object{"name": name, "people": count, "amount": amount, "cells": places})
	}
	out["cells"], out["groups"] = cells, groups
	if c, ok := q["compare"].(object); ok {
		out["transitions"] = n.moved(q, all, names, n.momentOf(c))
	}
	return out
}

// momentOf is the now of an object: an instant, or the beginning of a day.
func (n *naive) momentOf(o object) int64 {
	now := o["now"].(string)
	if len(now) == 10 {
		return n.dayStart(now).UnixMicro()
	}
	return *readSpan(object{"from": now}).from
}

// moved counts who went from which group to which since a moment.
func (n *naive) moved(q object, all []*scored, names []string, at int64) []any {
	before, _ := n.rfmOf(q, at)
	counts := map[[2]string]int{}
	for _, s := range all {
		from := ""
		for _, b := range before {
			if b.who == s.who {
				from = b.group
			}
		}
		counts[[2]string{from, s.group}]++
	}
	out := []any{}
	for _, from := range append(slices.Clone(names), "") {
		for _, to := range names {
			k := counts[[2]string{from, to}]
			if k == 0 {
				continue
			}
			t := object{"from": nil, "to": to, "people": k}
			if from != "" {
				t["from"] = from
			}
			out = append(out, t)
		}
	}
	return out
}
