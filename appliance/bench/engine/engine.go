// Package engine is how the engines that are compared are talked to: each is a
// process of its own, so that its memory is its own, and takes one line of JSON
// on standard input for each line that it answers on standard output.
package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Request asks an engine for one thing. Which fields count depends on Op.
type Request struct {
	Op      string `json:"op"`                // "load", "open", "ask", and what an engine has beside these
	Dir     string `json:"dir,omitempty"`     // the engine's own
	File    string `json:"file,omitempty"`    // of events; or where to write a profile
	Events  int    `json:"events,omitempty"`  // in File
	Seed    uint64 `json:"seed,omitempty"`    // that File was made with
	Someone uint32 `json:"someone,omitempty"` // of whom Q9 asks
	// Words are the values that File has as numbers.
	Words    map[string][]string `json:"words,omitempty"`
	Question string              `json:"question,omitempty"` // "Q1"..
	Lines    bool                `json:"lines,omitempty"`    // give the answer itself, normalised
	Callers  int                 `json:"callers,omitempty"`
	Batch    int                 `json:"batch,omitempty"` // events at a time
	Bytes    int                 `json:"bytes,omitempty"` // of an event, or of a write
	Time     time.Duration       `json:"time,omitempty"`  // how long, in nanoseconds
	Rate     float64             `json:"rate,omitempty"`  // events per second
}

// Reply is what came of it.
type Reply struct {
	Error   string             `json:"error,omitempty"`
	NotYet  bool               `json:"not_yet,omitempty"` // the engine does not have this kind of question
	Nanos   int64              `json:"nanos,omitempty"`   // from the question to the rendered answer
	Rows    int64              `json:"rows,omitempty"`    // that the engine says it read
	Lines   []string           `json:"lines,omitempty"`
	Form    int                `json:"form,omitempty"` // which way of asking was the fastest, from 1
	Figures map[string]float64 `json:"figures,omitempty"`
	Text    map[string]string  `json:"text,omitempty"`
}

// Serve answers requests until standard input ends. An error of handle becomes
// a Reply's.
func Serve(handle func(*Request) (Reply, error)) error {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for dec := json.NewDecoder(in); dec.More(); {
		var r Request
		if err := dec.Decode(&r); err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		reply, err := handle(&r)
		if err != nil {
			reply.Error = err.Error()
		}
		if err := out.Encode(reply); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
	return nil
}
