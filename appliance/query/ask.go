// Package query answers questions about a publisher's people and what they
// did, exactly as the question contract says: a question is JSON, strictly
// read; an answer is exact or there is none. One file a kind of question.
//
// A question is parsed into typed structs, planned into passes over the rows,
// and each pass runs partition by partition on a few workers. A bad question,
// or one that would pass its budget, is an *Error; any other error is a fault
// of what lies below (a damaged block, a cancelled context).
package query

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Data is what questions are asked of: two snapshots of the same moment. The
// caller releases them after the answer.
type Data struct {
	History History
	People  People
}

// Env is everything that a question depends on beside its own text.
type Env struct {
	Data     Data
	Location *time.Location   // the publisher's time zone, which is history's too; nil = UTC
	Now      func() time.Time // nil = the clock
	// Segment gives the people expression of a saved segment; nil = there are none.
	Segment func(name string) (json []byte, ok bool)
	// Goal gives what a campaign is for; nil = nobody says.
	Goal func(campaign string) (goal Goal, ok bool)
	// RFMs gives the saved rfm questions by name; nil = there are none.
	RFMs func() map[string][]byte
	// Find gives the number of the person with an identity or anonymous id, as of Data.
	Find func(identity string) (person uint32, ok bool)
	// Workers is how many partitions are read at the same time; 0 = as many as
	// Share has slots, or 2.
	Workers int
	// MaxRows bounds the rows that one question may read, in all its passes; 0 = no bound.
	MaxRows int64
	// Memory bounds the bytes that one question may hold; 0 = 1 GiB. It is at
	// most half of what all may hold that Share is with.
	Memory int64
	// Share is the question's part of a budget that it has with others, nil = none.
	Share *Share
	// Deadline bounds the time of one question; 0 = none but the context's.
	Deadline time.Duration
}

func (e Env) withDefaults() Env {
	if e.Location == nil {
		e.Location = time.UTC
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Memory <= 0 {
		e.Memory = 1 << 30
	}
	workers := 2
	if s := e.Share; s != nil {
		workers = s.b.slots
		e.Memory = min(e.Memory, s.b.memory/2)
		if e.Deadline <= 0 || s.within > 0 {
			e.Deadline = s.within
		}
	}
	if e.Workers <= 0 {
		e.Workers = workers
	}
	return e
}

// Answer is the answer to one question. It is never part of one.
type Answer struct {
	Kind   string
	Result any // marshals to the kind's result
	Now    time.Time
	Took   time.Duration
	Rows   int64 // rows read, in all passes
}

// MarshalJSON is the answer as the contract has it.
func (a *Answer) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Kind    string `json:"kind"`
		Result  any    `json:"result"`
		Now     string `json:"now"`
		TookMs  int64  `json:"took_ms"`
		Rows    int64  `json:"rows_read"`
		Partial bool   `json:"partial"`
	}{a.Kind, a.Result, a.Now.Format(time.RFC3339Nano), a.Took.Milliseconds(), a.Rows, false})
}

// run is one question being answered.
type run struct {
	ctx      context.Context
	env      *Env
	cal      calendar
	now      int64
	leaves   int
	values   *dictionary
	scored   map[*rfm][]*roaring.Bitmap // saved rfms that were asked for: their groups
	appNames []string                   // of the apps' events, once asked for
	everyone *roaring.Bitmap            // winners, the erased left out
	alive    bitset                     // the same
	plain    bitset                     // of these, all whose rows lie under one number
	known    uint32                     // the largest of everyone
	odd      [event.Partitions][]uint32
	started  time.Time
	rows     atomic.Int64
	memory   atomic.Int64
	slot     *slot // of what one goroutine does, between its passes
	outer    context.Context
}

// question is a parsed question of one kind.
type question interface {
	answer(q *run) (any, error)
}

// Ask answers one question. The error is an *Error where the question is at
// fault. Safe for concurrent use, also with the same Data.
func Ask(ctx context.Context, body []byte, env Env) (*Answer, error) {
	env = env.withDefaults()
	c := &parser{}
	kind, asked, err := c.question(body, &env)
	if err != nil {
		return nil, err
	}
	q, cancel := newRun(ctx, c, &env)
	defer cancel()
	if err := q.resume(); err != nil {
		return nil, q.explain(err)
	}
	result, err := asked.answer(q)
	if err != nil {
		return nil, q.explain(err)
	}
	return &Answer{Kind: kind, Result: result, Now: q.cal.at(q.now), Took: env.Now().Sub(q.started), Rows: q.rows.Load()}, nil
}

// Evaluate gives the numbers of the people that an expression P means: living
// winners. The bitmap belongs to the caller.
func Evaluate(ctx context.Context, people []byte, env Env) (*roaring.Bitmap, error) {
	env = env.withDefaults()
	c := &parser{}
	e, err := c.expression(people, &env)
	if err != nil {
		return nil, err
	}
	q, cancel := newRun(ctx, c, &env)
	defer cancel()
	if err := q.resume(); err != nil {
		return nil, q.explain(err)
	}
	found, err := q.people(e)
	if err != nil {
		return nil, q.explain(err)
	}
	return found.Clone(), nil
}

func newRun(ctx context.Context, c *parser, env *Env) (*run, context.CancelFunc) {
	q := &run{outer: ctx, ctx: ctx, env: env, cal: c.cal, now: c.now, leaves: c.leaves, values: newDictionary(),
		started: env.Now()}
	cancel := func() {}
	switch {
	case env.Share != nil && env.Share.within > 0:
		q.ctx, cancel = context.WithDeadline(ctx, env.Share.until) // some of it went by waiting
	case env.Deadline > 0:
		q.ctx, cancel = context.WithTimeout(ctx, env.Deadline)
	}
	q.everyone = env.Data.People.Exists()
	q.alive = q.everyone.ToDense()
	q.plain = q.alive
	for p := range event.Partitions {
		for winner := range env.Data.People.Losers(p) {
			if len(q.alive) > 0 && &q.plain[0] == &q.alive[0] {
				q.plain = slices.Clone(q.alive)
			}
			if q.plain.has(winner) {
				q.plain[winner>>6] &^= 1 << (winner & 63)
			}
		}
	}
	if !q.everyone.IsEmpty() {
		q.known = q.everyone.Maximum()
	}
	q.odd = q.oddNumbers()
	return q, func() {
		cancel()
		q.pause()
		_ = q.reserve(-q.memory.Load()) // giving back does not fail
	}
}

// resume waits for a slot for the question itself, which it holds but for the
// time in which it waits for workers.
func (q *run) resume() (err error) {
	q.slot, err = q.env.Share.take(q.ctx)
	return err
}

func (q *run) pause() {
	if q.slot != nil {
		q.slot.give()
	}
}

// who is the person that a number stands for after merges, 0 if they were
// erased, or are newer than the people asked about.
func (q *run) who(raw uint32) uint32 {
	if q.alive.has(raw) {
		return raw
	}
	who := q.env.Data.People.Winner(raw)
	if !q.alive.has(who) || q.env.Data.People.Hidden(raw) {
		return 0
	}
	return who
}

// bitset is a set of numbers, for tight loops.
type bitset []uint64

func (b bitset) has(n uint32) bool { return int(n>>6) < len(b) && b[n>>6]>>(n&63)&1 != 0 }

// and gives the numbers that are in both.
func (b bitset) and(o bitset) bitset {
	out := make(bitset, min(len(b), len(o)))
	for i := range out {
		out[i] = b[i] & o[i]
	}
	return out
}

// count counts rows read against the budget.
func (q *run) count(n int) error {
	if rows := q.rows.Add(int64(n)); q.env.MaxRows > 0 && rows > q.env.MaxRows {
		return fail(CodeBudget, "", "the question reads more than the %d rows it may read: ask a shorter range or name the events", q.env.MaxRows)
	}
	return nil
}

// reserve counts bytes held against the budget; negative to give back.
func (q *run) reserve(n int64) error {
	err := q.env.Share.reserve(n)
	if held := q.memory.Add(n); n > 0 && held > q.env.Memory {
		return fail(CodeBudget, "", "the question needs more than the %d bytes of memory it may use: ask a shorter range or fewer values", q.env.Memory)
	}
	return err
}

// own says whether it was the question's deadline that ended, not the caller's.
func (q *run) own() bool { return q.env.Deadline > 0 && q.outer.Err() == nil }

// kinds are the questions that can be asked.
var kinds = map[string]func(*parser, *fields) (question, error){
	"trend":        (*parser).trend,
	"funnel":       (*parser).funnelQuestion,
	"segment":      (*parser).segmentQuestion,
	"retention":    (*parser).retention,
	"lifecycle":    (*parser).lifecycle,
	"stickiness":   (*parser).stickiness,
	"distribution": (*parser).distribution,
	"sessions":     (*parser).sessions,
	"paths":        (*parser).paths,
	"rfm":          (*parser).rfmQuestion,
	"campaign":     (*parser).campaign,
}

// askable names the kinds that can be asked, for whoever asks another.
func askable() string { return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ") }

func (c *parser) question(b []byte, env *Env) (kind string, asked question, err error) {
	f, err := body(bytes.TrimSpace(b))
	if err != nil {
		return "", nil, err
	}
	n, err := f.need("kind")
	if err != nil {
		return "", nil, err
	}
	if kind, err = n.text(); err != nil {
		return "", nil, err
	}
	parse := kinds[kind]
	if parse == nil {
		return "", nil, n.bad("%q is not a kind of question; these are: %s", clip(kind), askable())
	}
	if err := c.shared(f, env); err != nil {
		return "", nil, err
	}
	if asked, err = parse(c, f); err != nil {
		return "", nil, err
	}
	return kind, asked, f.done()
}
