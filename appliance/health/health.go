// Package health keeps what is wrong right now as data: a code to match on, a
// sentence for the operator, and what to do about it. It holds no history and
// starts nothing; whoever finds a problem raises it and clears it again.
package health

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Severity says how much of the appliance a problem takes away.
type Severity uint8

// The severities, from least to worst.
const (
	Warning  Severity = iota + 1 // nothing is lost yet; somebody should look
	Degraded                     // part of the work has stopped
	Down                         // the subject does no work at all
)

// String gives the severity's name in lower case.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Degraded:
		return "degraded"
	case Down:
		return "down"
	}
	return "unknown"
}

// MarshalText writes the severity's name, as String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing that is wrong. It is shown to operators, so it must
// hold neither secrets nor personal data.
type Problem struct {
	Code     string    `json:"code"`              // stable, for machines: "journal.full"
	Subject  string    `json:"subject,omitempty"` // what it concerns: a publisher, a connector
	Severity Severity  `json:"severity"`
	Since    time.Time `json:"since"`          // when it was first raised
	Summary  string    `json:"summary"`        // one sentence: what is wrong
	Hint     string    `json:"hint,omitempty"` // one sentence: what to do
}

// MaxProblems bounds a Board. Past it new problems are counted, not kept: a
// machine with a thousand troubles does not need the next one's text.
const MaxProblems = 1024

// key tells problems apart.
type key struct{ code, subject string }

// Board holds the problems there are now. It is safe for concurrent use.
type Board struct {
	now func() time.Time

	mu       sync.Mutex
	problems map[key]Problem
	unkept   uint64
}

// NewBoard makes an empty board. now is asked when a problem without Since is
// first raised; nil means time.Now.
func NewBoard(now func() time.Time) *Board {
	if now == nil {
		now = time.Now
	}
	return &Board{now: now, problems: make(map[key]Problem)}
}

// Raise puts p on the board. If a problem with the same code and subject is
// there already it is replaced, but keeps the earlier Since. A Severity of
// zero counts as Warning.
func (b *Board) Raise(p Problem) {
	if p.Severity == 0 {
		p.Severity = Warning
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := key{p.Code, p.Subject}
	old, there := b.problems[k]
	switch {
	case there:
		p.Since = old.Since
	case len(b.problems) >= MaxProblems:
		b.unkept++
		return
	case p.Since.IsZero():
		p.Since = b.now()
	}
	b.problems[k] = p
}

// Clear takes the problem with this code and subject off the board; it does
// nothing if there is none.
func (b *Board) Clear(code, subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.problems, key{code, subject})
}

// Problems gives a copy of what is on the board, worst first, then oldest
// first, then by code and subject.
func (b *Board) Problems() []Problem {
	b.mu.Lock()
	out := make([]Problem, 0, len(b.problems))
	for _, p := range b.problems {
		out = append(out, p)
	}
	b.mu.Unlock()
	slices.SortFunc(out, func(x, y Problem) int {
		return cmp.Or(
			cmp.Compare(y.Severity, x.Severity),
			x.Since.Compare(y.Since),
			cmp.Compare(x.Code, y.Code),
			cmp.Compare(x.Subject, y.Subject),
		)
	})
	return out
}

// Unkept counts the problems that were raised while the board was full.
func (b *Board) Unkept() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unkept
}
