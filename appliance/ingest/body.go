package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unsafe"

	"github.com/klauspost/compress/zstd"
)

// A compressed body may grow to its limit, but beyond smallBody not to more
// than maxRatio times what was sent.
const (
	smallBody = 1 << 20
	maxRatio  = 100
)

// bodyError is a body that cannot be read: what to answer, and why.
type bodyError struct {
	status  int
	message string
}

func (e *bodyError) Error() string { return e.message }

func badBody(format string, args ...any) error {
	return &bodyError{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

// statusOf is what to answer to a request that cannot be read.
func statusOf(err error) int {
	var b *bodyError
	if errors.As(err, &b) {
		return b.status
	}
	return http.StatusBadRequest
}

// readBody reads a whole body, decompressed, within limit bytes, and gives a
// parser at its beginning. The error is a *bodyError, or an *errBusy. A bomb is
// stopped while it streams, and so is who is slower than Options.Patience.
// release must be called when nothing uses the body any more, nor anything that
// the parser made of it.
func (d *Door) readBody(w http.ResponseWriter, r *http.Request, limit int64) (p *parser, release func(), err error) {
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	if len(r.Header.Values("Content-Encoding")) > 1 {
		encoding = "more than one"
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, nil, tooLarge(limit)
	}
	paced := &paced{body: r.Body, patience: d.o.Patience, control: http.NewResponseController(w)}
	defer paced.done()
	var plain io.ReadCloser = paced
	if encoding == "" {
		// Some browser libraries pack and do not say so, to spare a preflight.
		// No JSON and no form begins like this.
		in := bufio.NewReaderSize(paced, 16)
		if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
			encoding = "gzip"
		}
		plain = readCloser{in, r.Body}
	}
	v, buf := visitOf(r), d.buffers.Get().(*bytes.Buffer)
	u := unpacker{raw: counter{r: http.MaxBytesReader(w, plain, limit)}, limit: limit, hold: v.hold}
	if encoding == "" || encoding == "identity" {
		u.size = r.ContentLength
	}
	body, err := u.unpack(buf, encoding)
	if err != nil {
		d.giveBack(buf)
		v.drop(u.held)
		if paced.slow {
			w.Header().Set("Connection", "close")
			err = d.limited("", limitPace, 0)
		}
		return nil, nil, err
	}
	p = d.parsers.Get().(*parser)
	p.begin(body)
	return p, func() {
		p.forget()
		d.parsers.Put(p)
		d.giveBack(buf) // another body will lie where this one does
		v.drop(u.held)
	}, nil
}

// giveBack keeps a buffer of usual size for another body.
func (d *Door) giveBack(buf *bytes.Buffer) {
	if buf.Cap() <= smallBody {
		buf.Reset()
		d.buffers.Put(buf)
	}
}

type readCloser struct {
	io.Reader
	io.Closer
}

// step is how much of a body is read, and counted, at once.
const step = 64 << 10

// unpacker reads one body.
type unpacker struct {
	raw   counter
	limit int64             // bytes, unpacked
	size  int64             // what it says that it has, unpacked; 0 or less = it does not say
	hold  func(int64) error // counts bytes before they are there
	held  int64             // bytes counted so far
}

// unpack reads the whole body, decompressed, into buf. The text is buf's own
// bytes. What a body says of its size is believed only for the next step.
func (u *unpacker) unpack(buf *bytes.Buffer, encoding string) (string, error) {
	var in io.Reader = &u.raw
	switch encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return "", unreadable(err, "gzip")
		}
		in = z
	case "deflate":
		z, err := zlib.NewReader(in)
		if err != nil {
			return "", unreadable(err, "deflate")
		}
		in = z
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return "", unreadable(err, "zstd")
		}
		defer z.Close()
		in = z
	default:
		return "", &bodyError{status: http.StatusUnsupportedMediaType, message: fmt.Sprintf("Content-Encoding %.40q is not supported; one of gzip, deflate, zstd and identity is", encoding)}
	}
	for {
		next := int64(step)
		if left := u.size - int64(buf.Len()); u.size > 0 && left < step {
			next = left + 1 // which it should not have
		}
		if err := u.hold(next); err != nil {
			return "", err
		}
		u.held += next
		if buf.Len() == 0 {
			buf.Grow(int(next) + bytes.MinRead)
		}
		n, err := io.CopyN(buf, in, next)
		if got := int64(buf.Len()); got > u.limit || got > smallBody && got > maxRatio*u.raw.n {
			return "", tooLarge(u.limit)
		}
		if err == io.EOF {
			// Nothing writes to the buffer until it is given back.
			return unsafe.String(unsafe.SliceData(buf.Bytes()), buf.Len()), nil
		}
		if err != nil {
			return "", unreadable(err, "body")
		}
		if n == 0 {
			return "", unreadable(io.ErrNoProgress, "body")
		}
	}
}

// pace is how many bytes of a body have to come within the door's patience.
const pace = 10 << 10

// paced cuts a body that trickles: it ends with os.ErrDeadlineExceeded where
// less than pace came within the patience. Where the connection has no
// deadlines, as in some tests, nothing is cut.
type paced struct {
	body     io.Reader
	patience time.Duration
	control  *http.ResponseController
	since    int // bytes since the deadline was set
	set      bool
	slow     bool
}

func (p *paced) Read(b []byte) (int, error) {
	if !p.set || p.since >= pace {
		p.set, p.since = true, 0
		// The connection's deadlines are by the machine's clock, not the door's.
		_ = p.control.SetReadDeadline(time.Now().Add(p.patience))
	}
	n, err := p.body.Read(b)
	p.since += n
	p.slow = p.slow || errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

// Close makes it a body; the server closes what it reads.
func (p *paced) Close() error { return nil }

// done takes away a deadline that has not passed, since it would end the
// request when it does. One that has passed stays: the server may not wait for
// the rest either.
func (p *paced) done() {
	if p.set && !p.slow {
		_ = p.control.SetReadDeadline(time.Time{})
	}
}

// counter counts what passes.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func tooLarge(limit int64) error {
	return &bodyError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("the body is larger than %d bytes, or unpacks to more", limit)}
}

func unreadable(err error, what string) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(large.Limit)
	}
	return badBody("the %s cannot be read: %v", what, err)
}
