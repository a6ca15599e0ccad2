package query

// sessionRule says what a session is: a person's events with no longer gap
// between them, or their events of one value of a property.
type sessionRule struct {
	gap      span
	property string // "" = by gap
}

// sessionRule reads the rule; gap is the name of the field that holds the gap.
func (c *parser) sessionRule(f *fields, gap string) (sessionRule, error) {
	rule := sessionRule{gap: span{30, unitMinute}}
	longest, session := f.take(gap), f.take("session")
	var err error
	switch {
	case !longest.absent() && !session.absent():
		return rule, longest.bad("sessions end by a gap or by a property, not by both")
	case !longest.absent():
		rule.gap, err = longest.span()
	case !session.absent():
		rule.property, err = session.propertyName()
	}
	return rule, err
}

// dims is what a pass has to read for the rule, after what it reads already.
func (r sessionRule) dims(dims ...dimension) []dimension {
	if r.property != "" {
		dims = append(dims, dimension{key: r.property})
	}
	return dims
}

// cutter cuts the hits of one person after another into sessions.
type cutter struct {
	rule  sessionRule
	cal   calendar
	dim   int   // where hits carry the rule's property
	hits  []hit // of the person at hand
	from  int   // the place in order where the next session begins
	order []int32
	ends  []int32 // by property: where in order each session ends
	at    int     // by property: of the next session, in ends
	of    []int32 // by property: the session of each hit, -1 = none
	known map[uint32]int32
}

func newCutter(rule sessionRule, cal calendar, dim int) *cutter {
	return &cutter{rule: rule, cal: cal, dim: dim, known: map[uint32]int32{}}
}

// begin turns to a person's hits, which are in order.
func (c *cutter) begin(hits []hit, s *store) {
	c.hits, c.from, c.at = hits, 0, 0
	if c.rule.property != "" {
		c.byProperty(s)
		return
	}
	for len(c.order) < len(hits) {
		c.order = append(c.order, int32(len(c.order)))
	}
}

// next is another session, as the places of its hits in their order, nil if
// there is none. It is valid until the next begin.
func (c *cutter) next() []int32 {
	from := c.from
	switch {
	case c.rule.property != "":
		if c.at == len(c.ends) {
			return nil
		}
		c.from = int(c.ends[c.at])
		c.at++
	case from == len(c.hits):
		return nil
	default:
		to := from + 1
		for to < len(c.hits) && c.hits[to].time <= c.cal.add(c.hits[to-1].time, c.rule.gap, 1) {
			to++
		}
		c.from = to
	}
	return c.order[from:c.from]
}

// byProperty puts events of one value together, also those with others between
// them. An event without the property is in no session.
func (c *cutter) byProperty(s *store) {
	clear(c.known)
	c.of, c.ends = cleared(c.of, len(c.hits)), c.ends[:0]
	last, at := uint32(0), int32(-1)
	for i := range c.hits {
		id := s.idsOf(&c.hits[i])[c.dim]
		if id != last {
			last = id
			known := false
			if at, known = c.known[id]; id == 0 {
				at = -1
			} else if !known {
				at = int32(len(c.ends))
				c.known[id] = at
				c.ends = append(c.ends, 0)
			}
		}
		if c.of[i] = at; at >= 0 {
			c.ends[at]++
		}
	}
	// A counting sort: ends are the beginnings first.
	sum := int32(0)
	for i, n := range c.ends {
		c.ends[i] = sum
		sum += n
	}
	c.order = cleared(c.order, int(sum))
	for i, at := range c.of {
		if at >= 0 {
			c.order[c.ends[at]] = int32(i)
			c.ends[at]++
		}
	}
}

// bytes is what the cutter holds, about.
func (c *cutter) bytes() int64 { return 4*int64(cap(c.order)+cap(c.of)) + 24*int64(cap(c.ends)) }
