package config

import (
	"cmp"
	"slices"
)

// Severity of a Diagnostic.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning" // the configuration can be used
)

// Diagnostic is one thing to tell the operator.
type Diagnostic struct {
	Severity Severity
	Code     string // stable: E1012, W1302
	Summary  string // what is wrong
	Detail   string // what is allowed, and what to do
	In       string // the block: publisher "acme", key "app"; "" = the file
	Place    Place
	Also     []Place // other places that belong to it
}

// Place is a part of a file, with the text of its first line. Secrets in that
// text are masked.
type Place struct {
	Range  Range
	Source string // without the line's end; "" = there is none
	Note   string // of Also: what is there

	from, to int // the part of Source that is meant, in bytes
}

// Diagnostics are in the order of files and lines.
type Diagnostics []Diagnostic

// HasErrors says whether the configuration cannot be used.
func (ds Diagnostics) HasErrors() bool { return ds.Count(Error) > 0 }

// Count counts those of a severity.
func (ds Diagnostics) Count(s Severity) int {
	n := 0
	for _, d := range ds {
		if d.Severity == s {
			n++
		}
	}
	return n
}

// sorted puts diagnostics in the order of the files as they were read.
func (ds Diagnostics) sorted(files []string) Diagnostics {
	order := make(map[string]int, len(files))
	for i, f := range files {
		order[f] = i + 1
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(order[a.Place.Range.Filename], order[b.Place.Range.Filename]),
			cmp.Compare(a.Place.Range.Start.Byte, b.Place.Range.Start.Byte),
			cmp.Compare(a.Code, b.Code),
		)
	})
	return ds
}
