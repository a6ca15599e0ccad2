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
	"strings"
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
	return &bodyError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// statusOf is what to answer to a request that cannot be read.
func statusOf(err error) int {
	var b *bodyError
	if errors.As(err, &b) {
		return b.status
	}
	return http.StatusBadRequest
}

// errBodies: too many bytes of bodies are in memory.
var errBodies = errors.New("too many bodies at once")

// readBody reads a whole body, decompressed, within limit bytes, and gives a
// parser at its beginning. The error is a *bodyError, or errBodies. A bomb is
// stopped while it streams. release must be called when nothing uses the body
// any more, nor anything that the parser made of it.
func (d *Door) readBody(w http.ResponseWriter, r *http.Request, limit int64) (p *parser, release func(), err error) {
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	if len(r.Header.Values("Content-Encoding")) > 1 {
		encoding = "more than one"
	}
	plain := r.Body
	if encoding == "" {
		// Some browser libraries pack and do not say so, to spare a preflight.
		// No JSON and no form begins like this.
		in := bufio.NewReaderSize(r.Body, 16)
		if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
			encoding = "gzip"
		}
		plain = readCloser{in, r.Body}
	}
	// How much it will be is not known before it is read, unless it is said.
	reserve := limit
	if n := r.ContentLength; n >= 0 && n <= limit {
		if reserve = n; encoding != "" && encoding != "identity" {
			reserve = min(limit, max(smallBody, maxRatio*n))
		}
	}
	if d.bodies.Add(reserve) > d.o.MaxBodies {
		d.bodies.Add(-reserve)
		return nil, nil, errBodies
	}
	buf := d.buffers.Get().(*bytes.Buffer)
	var body string
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		err = tooLarge(limit)
	} else {
		body, err = unpack(buf, &counter{r: http.MaxBytesReader(w, plain, limit)}, encoding, limit, reserve)
	}
	if err != nil {
		d.giveBack(buf)
		d.bodies.Add(-reserve)
		return nil, nil, err
	}
	p = d.parsers.Get().(*parser)
	p.begin(body)
	return p, func() {
		p.forget()
		d.parsers.Put(p)
		d.giveBack(buf) // another body will lie where this one does
		d.bodies.Add(-reserve)
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

// unpack reads all of raw, decompressed, into buf: size bytes or a little more,
// if that is below limit. The text is buf's own bytes.
func unpack(buf *bytes.Buffer, raw *counter, encoding string, limit, size int64) (string, error) {
	var in io.Reader = raw
	switch encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return "", unreadable(err, "gzip")
		}
		in = z
	case "deflate":
		z, err := zlib.NewReader(raw)
		if err != nil {
			return "", unreadable(err, "deflate")
		}
		in = z
	case "zstd":
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return "", unreadable(err, "zstd")
		}
		defer z.Close()
		in = z
	default:
		return "", &bodyError{http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Encoding %.40q is not supported; one of gzip, deflate, zstd and identity is", encoding)}
	}
	if size < limit {
		buf.Grow(int(size) + bytes.MinRead)
	}
	for {
		n, err := io.CopyN(buf, in, 64<<10)
		if got := int64(buf.Len()); got > limit || got > smallBody && got > maxRatio*raw.n {
			return "", tooLarge(limit)
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
	return &bodyError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes, or unpacks to more", limit)}
}

func unreadable(err error, what string) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(large.Limit)
	}
	return badBody("the %s cannot be read: %v", what, err)
}
