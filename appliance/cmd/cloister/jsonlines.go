package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/cloisterhq/cloister/appliance/csv"
)

// jsonLines are the lines of an NDJSON file. In a file of rejects they are what
// was refused, mended or not.
type jsonLines struct {
	r       *bufio.Reader
	rejects bool
	end     error
}

// begin passes over a byte order mark, and looks whether it is a file of
// rejects.
func (l *jsonLines) begin() error {
	head, err := l.r.Peek(256 << 10)
	if len(head) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return csv.ErrUTF16
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		head = head[3:]
		if _, err := l.r.Discard(3); err != nil {
			return err
		}
	}
	first, _, _ := bytes.Cut(bytes.TrimLeft(head, "\r\n"), []byte("\n"))
	_, l.rejects = unwrapped(first)
	// The whole of a very long first line was not seen: it begins like one.
	l.rejects = l.rejects || len(first) > 200<<10 && bytes.HasPrefix(first, []byte(`{"line":`))
	return nil
}

// unwrapped is the record of a line of a file of rejects.
func unwrapped(line []byte) ([]byte, bool) {
	var r struct {
		Line   *int64          `json:"line"`
		Error  *string         `json:"error"`
		Record json.RawMessage `json:"record"`
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil || r.Line == nil || r.Error == nil || r.Record == nil {
		return nil, false
	}
	var text string
	if json.Unmarshal(r.Record, &text) == nil {
		return []byte(text), true
	}
	return r.Record, true
}

func (l *jsonLines) next() (entry, error) {
	if l.end != nil {
		return entry{}, l.end
	}
	line, long, err := l.readLine()
	if err != nil {
		l.end = err
		// A last line may be without its end.
		if !errors.Is(err, io.EOF) || len(line) == 0 && !long {
			return entry{}, err
		}
	}
	e := entry{text: line, lines: 1}
	if long {
		return entry{lines: 1, refused: "the line is longer than 1 MiB"}, nil
	}
	if l.rejects && len(bytes.TrimSpace(line)) > 0 {
		record, ok := unwrapped(line)
		switch {
		case !ok:
			e.refused, e.text = `the file is one of rejects, and this line is not {"line", "error", "record"}`, nil
			e.raw = line
		case bytes.IndexByte(record, '\n') >= 0:
			e.refused, e.text, e.raw = "the record is more than a line", nil, record
		case len(record) == 0:
			e.refused, e.text, e.raw = "the record is not here: it was too long", nil, record
		default:
			e.text = record
		}
	}
	return e, nil
}

// readLine reads a line without its end. A line that is too long is read to its
// end and not kept.
func (l *jsonLines) readLine() (line []byte, long bool, err error) {
	for {
		piece, err := l.r.ReadSlice('\n')
		if !long {
			line = append(line, piece...)
		}
		if len(line) > lineBytes {
			line, long = nil, true
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimRight(line, "\r\n"), long, err
	}
}
