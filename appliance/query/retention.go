package query

// maxCohorts bounds the buckets of a retention, whose values grow with their
// square.
const maxCohorts = 1000

// retention is a question of kind retention.
type retention struct {
	start, back *ref
	recurring   bool
	interval    unit
	first       instant // in the first bucket
	buckets     int     // 0 = as many as the range has
	unbounded   bool
	within      period
	people      *expr
	list        *rowList
}

type rowList struct {
	row int // from 1
	limits
}

// RetentionResult is the answer to a retention.
type RetentionResult struct {
	Rows   []RetentionRow     `json:"rows"`
	People *[]RetentionPerson `json:"people,omitzero"`
}

// RetentionRow is those of one bucket: value k of them came back k buckets on.
// Value 0 is their number.
type RetentionRow struct {
	Bucket string  `json:"bucket"`
	Size   int64   `json:"size"`
	Values []int64 `json:"values"`
}

// RetentionPerson is one person of a row: 1 in every value that they count in.
type RetentionPerson struct {
	Identity string `json:"identity"`
	Values   []int  `json:"values"`
}

func (c *parser) retention(f *fields) (question, error) {
	r := &retention{}
	for _, part := range []struct {
		key string
		to  **ref
	}{{"start", &r.start}, {"return", &r.back}} {
		n, err := f.need(part.key)
		if err != nil {
			return nil, err
		}
		if *part.to, err = c.onlyRef(n); err != nil {
			return nil, err
		}
	}
	mode, err := f.take("mode").oneOf(0, "first_time", "recurring")
	if err != nil {
		return nil, err
	}
	r.recurring = mode == 1
	if r.interval, err = f.interval("interval", unitDay); err != nil {
		return nil, err
	}
	if r.within, err = c.period(f); err != nil {
		return nil, err
	}
	if r.first, err = f.take("first").instant(); err != nil {
		return nil, err
	}
	buckets := f.take("buckets")
	if r.buckets, err = buckets.int(0, 1, maxCohorts); err != nil {
		return nil, err
	}
	if r.interval == unitAll && r.buckets > 1 {
		return nil, buckets.bad("there is one bucket where the interval is all")
	}
	if r.unbounded, err = f.take("unbounded").bool(); err != nil {
		return nil, err
	}
	if r.people, err = c.people(f.take("people")); err != nil {
		return nil, err
	}
	return r, c.rowList(r, f.take("list"))
}

func (c *parser) rowList(r *retention, n node) error {
	if n.absent() {
		return nil
	}
	f, err := n.fields()
	if err != nil {
		return err
	}
	row, err := f.need("row")
	if err != nil {
		return err
	}
	l := &rowList{}
	if l.row, err = row.int(0, 1, maxCohorts); err != nil {
		return err
	}
	if l.limits, err = f.limits(); err != nil {
		return err
	}
	r.list = l
	return f.done()
}
