package query

import "unsafe"

// told is what is counted of one stage: events, and the persons they are about.
type told struct {
	events, people int64
	last           uint32
}

// add counts an event. All of a person's come together.
func (t *told) add(who uint32) {
	t.events++
	if t.last != who {
		t.last = who
		t.people++
	}
}

func (t *told) merge(o *told) {
	t.events += o.events
	t.people += o.people
}

// messageCell is what is told of the messages with one value.
type messageCell struct {
	stages  [stages]told
	reasons [2]map[uint32]*told // of failed and held, by the reason's number
}

const messageCellBytes = int64(unsafe.Sizeof(messageCell{})) + 64

func (m *messageCell) add(s stage, who, reason uint32) (fresh bool) {
	m.stages[s].add(who)
	if s != stageFailed && s != stageHeld {
		return false
	}
	by := &m.reasons[s-stageFailed]
	if *by == nil {
		*by = map[uint32]*told{}
	}
	t := (*by)[reason]
	if t == nil {
		t, fresh = &told{}, true
		(*by)[reason] = t
	}
	t.add(who)
	return fresh
}

func (m *messageCell) merge(o *messageCell) {
	for s := range m.stages {
		m.stages[s].merge(&o.stages[s])
	}
	for i, by := range o.reasons {
		for reason, t := range by {
			if m.reasons[i] == nil {
				m.reasons[i] = map[uint32]*told{}
			}
			if m.reasons[i][reason] == nil {
				m.reasons[i][reason] = &told{}
			}
			m.reasons[i][reason].merge(t)
		}
	}
}

// messageReport is the consumer that counts what is told of the messages.
type messageReport struct {
	groups  *grouper
	total   messageCell
	parts   map[tuple]*messageCell
	exposed []uint32 // who got a message, or would have
	reasons int64    // counted apart
	hold    holding
}

func newMessageReport(q *run, c *campaignQuestion) *messageReport {
	r := &messageReport{parts: map[tuple]*messageCell{}, hold: holding{q: q}}
	if c.breakdown.any() {
		r.groups = newGrouper(c.breakdown.dims, q.values, nil)
	}
	return r
}

func (r *messageReport) take(hits []hit, s *store) error {
	const exposing = 1<<stageSent | 1<<stageFailed | 1<<stageControl
	mask := uint64(0)
	for i := range hits {
		h := &hits[i]
		mask |= h.mask
		ids := s.idsOf(h)
		r.count(&r.total, h, ids[0])
		if r.groups == nil {
			continue
		}
		for _, g := range r.groups.of(ids[1:]) {
			t := r.groups.tuples[g]
			if r.parts[t] == nil {
				r.parts[t] = &messageCell{}
			}
			r.count(r.parts[t], h, ids[0])
		}
	}
	if mask&exposing != 0 {
		r.exposed = append(r.exposed, hits[0].who)
	}
	return r.reserve()
}

func (r *messageReport) count(m *messageCell, h *hit, reason uint32) {
	for st := range stages {
		if h.mask>>st&1 != 0 && m.add(st, h.who, reason) {
			r.reasons++
		}
	}
}

func (r *messageReport) merge(o *messageReport) {
	r.total.merge(&o.total)
	for t, m := range o.parts {
		if r.parts[t] == nil {
			r.parts[t] = &messageCell{}
		}
		r.parts[t].merge(m)
	}
	r.reasons += o.reasons
}

func (r *messageReport) reserve() error {
	const reasonBytes = 80
	return r.hold.upTo(int64(len(r.parts))*messageCellBytes + r.reasons*reasonBytes + int64(cap(r.exposed))*4)
}
