package oracle

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// node is what stands for an event in a path.
type node struct {
	value any
	key   string // equal nodes have equal keys
	text  string // nodes are ordered by it
}

func (n *naive) node(q object, o occurrence) node {
	value := any(o.name)
	if by, ok := q["by"].(string); ok {
		value = o.props[by]
	}
	text, ok := textOf(value)
	if !ok && value != nil {
		text = jsonOf(value)
	}
	return node{value, same(value), text}
}

// counted is an edge or a path, and whose it is.
type counted struct {
	step   int
	nodes  []node
	count  float64
	people map[uint32]bool
}

func (c *counted) values() []any {
	out := []any{}
	for _, n := range c.nodes {
		out = append(out, n.value)
	}
	return out
}

// byCount orders by count falling, then by text.
func byCount(all map[string]*counted, limit int) []*counted {
	var out []*counted
	for _, c := range all {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *counted) int {
		order := cmp.Compare(b.count, a.count)
		for i := 0; order == 0 && i < max(len(a.nodes), len(b.nodes)); i++ {
			if i == len(a.nodes) || i == len(b.nodes) {
				return cmp.Compare(len(a.nodes), len(b.nodes))
			}
			order = cmp.Or(strings.Compare(a.nodes[i].text, b.nodes[i].text), cmp.Compare(kindOf(a.nodes[i].value), kindOf(b.nodes[i].value)))
		}
		return cmp.Or(order, cmp.Compare(a.step, b.step))
	})
	return out[:min(limit, len(out))]
}

func (n *naive) paths(q object) any {
	number := func(key string, def int) int {
		if f, ok := q[key].(float64); ok {
			return int(f)
		}
		return def
	}
	start, _ := q["start"].(object)
	end, _ := q["end"].(object)
	events, some := q["events"].([]any)
	isNode := func(o occurrence, p *someone) bool {
		if !some { // of the apps, and what is named
			return n.fits(object{}, o, p) || start != nil && n.fits(start, o, p) || end != nil && n.fits(end, o, p)
		}
		return slices.ContainsFunc(events, func(e any) bool { return n.fits(e.(object), o, p) })
	}
	inSession := func(o occurrence, p *someone) bool {
		return n.in(readSpan(q), o.time) && (n.fits(object{}, o, p) || isNode(o, p) ||
			start != nil && n.fits(start, o, p) || end != nil && n.fits(end, o, p))
	}
	edges, paths := map[string]*counted{}, map[string]*counted{}
	add := func(to map[string]*counted, step int, nodes []node, who uint32) {
		key := string(rune('0' + step))
		for _, one := range nodes {
			key += "\x00" + one.key
		}
		if to[key] == nil {
			to[key] = &counted{step: step, nodes: nodes, people: map[uint32]bool{}}
		}
		to[key].count++
		to[key].people[who] = true
	}
	for _, p := range n.living(q) {
		var mine []occurrence
		for _, o := range p.events {
			if inSession(o, p) {
				mine = append(mine, o)
			}
		}
		for _, session := range n.cutSessions(q, mine) {
			if start != nil {
				i := slices.IndexFunc(session, func(o occurrence) bool { return n.fits(start, o, p) })
				if i < 0 {
					continue
				}
				session = session[i:]
			}
			if end != nil {
				for len(session) > 0 && !n.fits(end, session[len(session)-1], p) {
					session = session[:len(session)-1]
				}
			}
			var way []node
			for _, o := range session {
				if !isNode(o, p) {
					continue
				}
				one := n.node(q, o)
				if q["collapse"] != false && len(way) > 0 && way[len(way)-1].key == one.key {
					continue
				}
				way = append(way, one)
			}
			if depth := number("depth", 5); len(way) > depth && end != nil {
				way = way[len(way)-depth:]
			} else if len(way) > depth {
				way = way[:depth]
			}
			if len(way) == 0 {
				continue
			}
			add(paths, 0, way, p.number)
			for i := range way[1:] {
				step := i + 1
				if q["by_step"] == false {
					step = 0
				}
				add(edges, step, way[i:i+2], p.number)
			}
		}
	}
	limit := number("limit", 100)
	edgeList, pathList := []any{}, []any{}
	for _, c := range byCount(edges, limit) {
		e := object{"from": c.nodes[0].value, "to": c.nodes[1].value, "count": c.count, "people": len(c.people)}
		if c.step > 0 {
			e["step"] = c.step
		}
		edgeList = append(edgeList, e)
	}
	for _, c := range byCount(paths, limit) {
		pathList = append(pathList, object{"nodes": c.values(), "count": c.count, "people": len(c.people)})
	}
	return object{"edges": edgeList, "paths": pathList}
}

// cutSessions cuts one person's events, which are in order.
func (n *naive) cutSessions(q object, events []occurrence) [][]occurrence {
	var out [][]occurrence
	if property, ok := q["session"].(string); ok {
		at := map[string]int{}
		for _, o := range events {
			v := o.props[property]
			if v == nil {
				continue
			}
			i, ok := at[same(v)]
			if !ok {
				i = len(out)
				at[same(v)] = i
				out = append(out, nil)
			}
			out[i] = append(out[i], o)
		}
		return out
	}
	count, unit := 30.0, "minute"
	if g, ok := q["within"].(object); ok {
		count, unit = g["n"].(float64), g["unit"].(string)
	}
	for i, o := range events {
		if i == 0 || o.time > n.shift(events[i-1].time, count, unit, 1) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], o)
	}
	return out
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// kindOf orders values of one text.
func kindOf(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int, float64:
		return 2
	case string:
		return 3
	case time.Time:
		return 4
	case []any:
		return 5
	}
	return 6
}
