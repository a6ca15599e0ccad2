package query

import (
	"errors"
	"fmt"
)

// Codes of an Error.
const (
	CodeSyntax  = "syntax"        // the body is not JSON, or not strict JSON
	CodeUnknown = "unknown_field" // a field that the question does not have
	CodeMissing = "missing"       // a field that the question needs
	CodeType    = "wrong_type"    // a field of another type than needed
	CodeValue   = "bad_value"     // a value that is not allowed there
	CodeNotYet  = "not_yet"       // part of the contract that cannot be asked yet
	CodeBudget  = "budget"        // the question would pass its time, memory or row budget
)

// Error says why a question has no answer: it is the asker's to mend (HTTP
// 400), never a fault of the appliance. It quotes field names and values of
// the question, nothing of the data.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Path    string `json:"path"` // the field, as in "steps[2].filter.op"; "" = the whole question
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

func fail(code, path, format string, args ...any) error {
	return &Error{Code: code, Path: path, Message: fmt.Sprintf(format, args...)}
}

// errCells asks for the slower way of answering a breakdown: too many values
// times buckets to hold at once.
var errCells = errors.New("too many cells for one pass")
