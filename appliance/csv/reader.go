package csv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Bounds of what is read.
const (
	MaxRecord = 1 << 20 // bytes of a record
	MaxCells  = 4096    // of a record
	firstBuf  = 64 << 10
)

// What can be wrong with a record: Record.Err.
var (
	ErrTooLong   = fmt.Errorf("longer than %d bytes", MaxRecord)
	ErrTooMany   = fmt.Errorf("more than %d cells", MaxCells)
	ErrUnclosed  = errors.New("a quote is not closed, or not within 1 MiB")
	ErrBehind    = errors.New(`something stands behind a closing quote; within quotes a quote is written twice`)
	ErrReturn    = errors.New("a carriage return that ends no line")
	ErrNotUTF8   = errors.New("not valid UTF-8: is the file in another encoding?")
	ErrCharacter = errors.New("a NUL byte")
)

// ErrUTF16 ends reading: the whole file is in an encoding that is not read.
var ErrUTF16 = errors.New("the file is UTF-16; save it as UTF-8")

// Record is one record.
type Record struct {
	Line  int64    // that it begins at, counted from 1
	Lines int      // that it goes over
	Raw   []byte   // as it stands in the file, without its last line end; nil of one that is too long
	Cells []string // nil where Err is set
	Err   error
}

// Reader reads records: RFC 4180, with LF as well as CR LF, and with quotes in
// the middle of a cell that does not begin with one taken as they are. A byte
// order mark is passed over, and so are empty lines. What follows a record that
// cannot be read is read: after one whose quote is not closed, from its second
// line on. For one goroutine.
type Reader struct {
	r     io.Reader
	comma byte

	buf   []byte // what is read and not yet parsed is buf[at:]
	at    int
	end   error // of r
	line  int64
	begun bool
	text  []byte // of the cells, one behind the other
	ends  []int  // of the cells in text
}

// NewReader reads from r; comma is what stands between cells.
func NewReader(r io.Reader, comma byte) *Reader {
	return &Reader{r: r, comma: comma, buf: make([]byte, 0, firstBuf), line: 1}
}

// more reads on; it says whether there was more.
func (r *Reader) more() bool {
	if r.end != nil {
		return false
	}
	if r.at > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[r.at:])]
		r.at = 0
	}
	if len(r.buf) == cap(r.buf) {
		r.buf = append(make([]byte, 0, 2*cap(r.buf)), r.buf...)
	}
	for tries := 0; ; tries++ {
		n, err := r.r.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if err == nil && n == 0 && tries == 100 {
			err = io.ErrNoProgress
		}
		r.end = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
}

// begin passes over a byte order mark.
func (r *Reader) begin() error {
	r.begun = true
	for len(r.buf) < 3 && r.more() {
	}
	switch {
	case bytes.HasPrefix(r.buf, []byte("\xef\xbb\xbf")):
		r.at = 3
	case bytes.HasPrefix(r.buf, []byte("\xff\xfe")), bytes.HasPrefix(r.buf, []byte("\xfe\xff")):
		r.end = ErrUTF16
		return ErrUTF16
	}
	return nil
}

// Read fills rec with the next record, which is valid until the next Read. The
// error is io.EOF after the last one, ErrUTF16, or that of reading.
func (r *Reader) Read(rec *Record) error {
	if !r.begun {
		if err := r.begin(); err != nil {
			return err
		}
	}
	for {
		done, err := r.record(rec)
		if err != nil || done {
			return err
		}
	}
}

// record reads what may be a record; an empty line is none.
func (r *Reader) record(rec *Record) (ok bool, err error) {
	*rec = Record{Line: r.line, Lines: 1}
	n, next, perr := r.parse()
	if perr == nil && next == 0 {
		if r.end != nil && r.end != io.EOF {
			return false, r.end
		}
		return false, io.EOF
	}
	switch perr {
	case nil:
		rec.Raw = r.buf[r.at : r.at+n]
	case ErrTooLong:
		if err := r.skipLine(); err != nil {
			return false, err
		}
		rec.Err = perr
		return true, nil
	case ErrUnclosed:
		n, next = r.firstLine()
		if n > MaxRecord {
			perr = ErrTooLong
			if err := r.skipLine(); err != nil {
				return false, err
			}
			rec.Err = perr
			return true, nil
		}
		rec.Raw = r.buf[r.at : r.at+n]
	default:
		n, next = r.restOfLine(n)
		if n > MaxRecord {
			if err := r.skipLine(); err != nil {
				return false, err
			}
			rec.Err = ErrTooLong
			return true, nil
		}
		rec.Raw = r.buf[r.at : r.at+n]
	}
	r.at += next
	rec.Lines = bytes.Count(rec.Raw, []byte{'\n'}) + 1
	r.line += int64(rec.Lines)
	switch {
	case perr != nil:
		rec.Err = perr
		return true, nil
	case len(rec.Raw) == 0:
		return false, nil
	case !utf8.Valid(rec.Raw):
		rec.Err = ErrNotUTF8
	case bytes.IndexByte(rec.Raw, 0) >= 0:
		rec.Err = ErrCharacter
	default:
		text, from := string(r.text), 0
		rec.Cells = make([]string, len(r.ends))
		for i, end := range r.ends {
			rec.Cells[i] = text[from:end]
			from = end
		}
	}
	return true, nil
}

// byteAt gives the i-th byte from here; false where the file ends before.
func (r *Reader) byteAt(i int) (byte, bool) {
	for r.at+i >= len(r.buf) {
		if !r.more() {
			return 0, false
		}
	}
	return r.buf[r.at+i], true
}

// parse reads the cells of a record: n is its length without the line end, next
// where the one after it begins. With an error n is where it was found.
func (r *Reader) parse() (n, next int, err error) {
	r.text, r.ends = r.text[:0], r.ends[:0]
	const (
		start = iota // of a cell
		plain
		quoted
		closed // behind a quote within quotes: it is doubled, or closes
	)
	state := start
	for i := 0; ; i++ {
		if i > MaxRecord {
			if state == quoted {
				return i, i, ErrUnclosed
			}
			return i, i, ErrTooLong
		}
		c, ok := r.byteAt(i)
		if !ok {
			if r.end != io.EOF {
				return 0, 0, nil // what was read cannot be told from a part of it
			}
			if state == quoted {
				return i, i, ErrUnclosed
			}
			return i, i, r.cell()
		}
		if state == quoted {
			if c == '"' {
				state = closed
			} else {
				r.text = append(r.text, c)
			}
			continue
		}
		switch {
		case c == r.comma:
			if err := r.cell(); err != nil {
				return i, i, err
			}
			state = start
		case c == '\n':
			return i, i + 1, r.cell()
		case c == '\r':
			switch after, ok := r.byteAt(i + 1); {
			case ok && after == '\n':
				return i, i + 2, r.cell()
			case !ok && r.end == io.EOF:
				return i, i + 1, r.cell()
			}
			return i, i, ErrReturn
		case c == '"' && state == closed:
			r.text = append(r.text, c)
			state = quoted
		case c == '"' && state == start:
			state = quoted
		case state == closed:
			return i, i, ErrBehind
		default:
			r.text = append(r.text, c)
			state = plain
		}
	}
}

func (r *Reader) cell() error {
	if len(r.ends) == MaxCells {
		return ErrTooMany
	}
	r.ends = append(r.ends, len(r.text))
	return nil
}

// firstLine is the line that begins here: its length without and with its end.
func (r *Reader) firstLine() (n, next int) { return r.restOfLine(0) }

// restOfLine goes on to the end of the line that holds the i-th byte from here.
func (r *Reader) restOfLine(i int) (n, next int) {
	for ; ; i++ {
		c, ok := r.byteAt(i)
		switch {
		case !ok || i > MaxRecord:
			return i, i
		case c == '\n':
			if i > 0 && r.buf[r.at+i-1] == '\r' {
				return i - 1, i + 1
			}
			return i, i + 1
		}
	}
}

// skipLine passes over a line of any length.
func (r *Reader) skipLine() error {
	for {
		if at := bytes.IndexByte(r.buf[r.at:], '\n'); at >= 0 {
			r.at += at + 1
			r.line++
			return nil
		}
		r.at = len(r.buf)
		if !r.more() {
			r.line++
			if r.end != io.EOF {
				return r.end
			}
			return nil
		}
	}
}

// Behind gives what of a record's text stands behind its first n cells; nil if
// there are no more.
func Behind(raw []byte, n int, comma byte) []byte {
	inside := false
	for i, c := range raw {
		switch {
		case c == '"':
			inside = !inside
		case c == comma && !inside:
			if n--; n == 0 {
				return raw[i+1:]
			}
		}
	}
	return nil
}
