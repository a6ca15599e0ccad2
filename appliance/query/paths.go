package query

import (
	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// paths is a question of kind paths.
type paths struct {
	anchor   *ref   // the start, or the end; nil = none
	backward bool   // it is the end
	events   []*ref // the nodes; none = all
	by       string // "" = the event's name
	depth    int
	limit    int
	rule     sessionRule
	collapse bool
	bySteps  bool
	any      *ref // an event of the apps
	within   period
	people   *expr
}

// PathsResult is the answer to paths. The most frequent come first.
type PathsResult struct {
	Edges []PathEdge `json:"edges"`
	Paths []Path     `json:"paths"`
}

// PathEdge is how often one node followed another, and how many people's did.
type PathEdge struct {
	Step   int         `json:"step,omitzero"` // the place of From in its path, from 1; 0 = steps are added up
	From   event.Value `json:"from"`
	To     event.Value `json:"to"`
	Count  int64       `json:"count"`
	People int64       `json:"people"`
}

// Path is how many sessions went along some nodes, and how many people's did.
type Path struct {
	Nodes  []event.Value `json:"nodes"`
	Count  int64         `json:"count"`
	People int64         `json:"people"`
}

const (
	maxPathDepth  = 100
	maxPathEvents = maxRefs - 2 // beside any event, and start or end
)

func (c *parser) paths(f *fields) (question, error) {
	p := &paths{any: &ref{filter: c.top}}
	var err error
	start, end := f.take("start"), f.take("end")
	switch {
	case !start.absent() && !end.absent():
		return nil, end.bad("paths have a start or an end, not both")
	case !start.absent():
		p.anchor, err = c.onlyRef(start)
	case !end.absent():
		p.backward = true
		p.anchor, err = c.onlyRef(end)
	}
	if err != nil {
		return nil, err
	}
	n := f.take("events")
	list, err := n.list(maxPathEvents)
	if err != nil {
		return nil, err
	}
	if !n.absent() && len(list) == 0 {
		return nil, n.bad("name at least one event, or leave this out for all")
	}
	for _, e := range list {
		r, err := c.onlyRef(e)
		if err != nil {
			return nil, err
		}
		p.events = append(p.events, r)
	}
	if by := f.take("by"); !by.absent() {
		if p.by, err = by.propertyName(); err != nil {
			return nil, err
		}
	}
	if p.depth, err = f.take("depth").int(5, 1, maxPathDepth); err != nil {
		return nil, err
	}
	if p.limit, err = f.take("limit").int(100, 1, 10_000); err != nil {
		return nil, err
	}
	if p.rule, err = c.sessionRule(f, "within"); err != nil {
		return nil, err
	}
	if p.collapse, err = f.take("collapse").boolOr(true); err != nil {
		return nil, err
	}
	if p.bySteps, err = f.take("by_step").boolOr(true); err != nil {
		return nil, err
	}
	if p.within, err = c.period(f); err != nil {
		return nil, err
	}
	p.people, err = c.people(f.take("people"))
	return p, err
}

// pass reads what sessions are made of: the events of the apps, and what the
// question names beside them. Hits carry their node.
func (p *paths) pass(people *roaring.Bitmap) *pass {
	node := dimension{place: ofName}
	if p.by != "" {
		node = dimension{key: p.by}
	}
	refs := []*ref{p.any}
	if p.anchor != nil {
		refs = append(refs, p.anchor)
	}
	return &pass{refs: append(refs, p.events...), within: p.within, people: people, dims: p.rule.dims(node), grouped: p.grouped()}
}

// bits gives the bit of the start or the end, 0 if there is none, and those of
// nodes.
func (p *paths) bits() (anchor, nodes uint64) {
	named := 1
	if p.anchor != nil {
		anchor = 1 << 1
		named++
	}
	if len(p.events) == 0 {
		return anchor, 1 | anchor
	}
	return anchor, (1<<len(p.events) - 1) << named
}

func (p *paths) answer(q *run) (any, error) {
	people, err := q.limit(p.people)
	if err != nil {
		return nil, err
	}
	took, err := q.read(p.pass(people), func() consumer {
		if p.grouped() {
			return newPathGroups(q, p)
		}
		return newPathReport(q, p)
	})
	if err != nil {
		return nil, err
	}
	all := newPathTree(q, p.bySteps)
	for _, t := range took {
		o := t.(pathCounter).counted()
		if err := all.merge(o); err != nil {
			return nil, err
		}
		if err := q.reserve(-o.held); err != nil {
			return nil, err
		}
	}
	return p.result(q, all)
}
