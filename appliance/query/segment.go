package query

import "github.com/RoaringBitmap/roaring/v2"

// segmentQuestion is a question of kind segment.
type segmentQuestion struct {
	people *expr
	list   *limits
}

// SegmentResult is the answer to a segment.
type SegmentResult struct {
	Count     uint64            `json:"count"`
	Reachable map[string]uint64 `json:"reachable"` // people by channel
	People    *[]string         `json:"people,omitzero"`
}

func (c *parser) segmentQuestion(f *fields) (question, error) {
	s := &segmentQuestion{}
	var err error
	if s.people, err = c.people(f.take("people")); err != nil {
		return nil, err
	}
	n := f.take("list")
	if n.absent() {
		return s, nil
	}
	g, err := n.fields()
	if err != nil {
		return nil, err
	}
	l, err := g.limits()
	if err != nil {
		return nil, err
	}
	s.list = &l
	return s, g.done()
}

func (s *segmentQuestion) answer(q *run) (any, error) {
	people, err := q.people(s.people)
	if err != nil {
		return nil, err
	}
	out := &SegmentResult{Count: people.GetCardinality(), Reachable: map[string]uint64{}}
	for _, channel := range reachChannels {
		out.Reachable[channel] = 0
		if r := q.env.Data.People.Reachable(channel); r != nil {
			out.Reachable[channel] = roaring.And(r, people).GetCardinality()
		}
	}
	if s.list == nil {
		return out, nil
	}
	names, err := q.identities(people, *s.list, "list")
	out.People = &names
	return out, err
}
