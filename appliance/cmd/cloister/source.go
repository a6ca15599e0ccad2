package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds of a part: what the daemon takes at once is 8 MiB.
const (
	partLines = 20_000
	partBytes = 4 << 20
	lineBytes = 1 << 20
)

// source is a file of lines.
type source struct {
	name string // without directories
	id   string // follows from the content
	size int64  // bytes as they lie on the disk, 0 = unknown
	at   atomic.Int64

	file  io.Closer
	zstd  *zstd.Decoder
	lines entries
	csv   *csvLines // nil = NDJSON
	line  int64     // number of the next line
	end   error
}

// entry is a line of the file, or several that are one record.
type entry struct {
	text    []byte // what is sent; nil = nothing
	raw     []byte // as it stands in the file, if that is something else
	lines   int
	refused string // why it cannot even be sent
}

// entries are read one after the other; what next gives is valid until it is
// called again. With io.EOF there is none.
type entries interface{ next() (entry, error) }

// openSource opens a file, or standard input for "-". With t it is CSV.
func openSource(path string, in io.Reader, t *csvLines) (*source, error) {
	s := &source{name: filepath.Base(path), line: 1, csv: t}
	if path == "-" {
		s.name = "stdin"
		var id [16]byte
		rand.Read(id[:]) // nothing can be sent again, so any will do
		s.id = hex.EncodeToString(id[:])
		return s, s.open(in)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	// All of it: two files that only begin alike must not have the same ids, or
	// the second one's lines would be taken for the first one's.
	h := sha256.New()
	s.size, err = io.Copy(h, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if t != nil {
		h.Write(t.fingerprint()) // read in another way it is something else
	}
	s.id, s.file = hex.EncodeToString(h.Sum(nil)[:16]), f
	if err := s.open(f); err != nil {
		s.close()
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return s, nil
}

// open looks at the first bytes: gzip, zstd, or neither.
func (s *source) open(raw io.Reader) error {
	counted := bufio.NewReaderSize(&counter{raw, &s.at}, 256<<10)
	magic, err := counted.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var r io.Reader = counted
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		if r, err = gzip.NewReader(counted); err != nil {
			return err
		}
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		if s.zstd, err = zstd.NewReader(counted, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1)); err != nil {
			return err
		}
		r = s.zstd
	}
	if s.csv != nil {
		s.lines = s.csv
		return s.csv.open(r)
	}
	lines := &jsonLines{r: bufio.NewReaderSize(r, 256<<10)}
	s.lines = lines
	return lines.begin()
}

func (s *source) close() {
	if s.zstd != nil {
		s.zstd.Close()
	}
	if s.file != nil {
		s.file.Close() // it was only read
	}
}

// counter counts what is read.
type counter struct {
	r  io.Reader
	at *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at.Add(int64(n))
	return n, err
}

// part is a run of lines that is sent at once.
type part struct {
	line, next int64     // its first line, and the next part's
	body       []byte    // empty if there is nothing to be sent
	refused    []refusal // what cannot even be sent
	last       bool      // of a list: it ends the upload
	at         int64     // bytes of the file that were read when it was whole

	raw  []byte // of entries that have one, one behind the other
	raws map[int64][2]int
}

// text is one entry of it, as it stands in the file.
func (p *part) text(line int64) string {
	if span, ok := p.raws[line]; ok {
		return string(p.raw[span[0]:span[1]])
	}
	rest := p.body
	for n := p.line; n < line; n++ {
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return ""
		}
		rest = after
	}
	one, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(one)
}

// next reads a part, leaving out the lines before first. With io.EOF there may
// be a last part.
func (s *source) next(first int64) (*part, error) {
	if s.end != nil {
		return nil, s.end
	}
	p := &part{}
	lines := 0
	for lines < partLines && len(p.body) < partBytes && len(p.raw) < partBytes {
		e, err := s.lines.next()
		if err != nil {
			s.end = err
			break
		}
		number := s.line
		s.line += int64(e.lines)
		if number < first {
			continue
		}
		if p.line == 0 {
			p.line = number
		}
		if e.refused != "" {
			p.refused = append(p.refused, refusal{Line: number, Error: e.refused})
		}
		if e.raw != nil {
			if p.raws == nil {
				p.raws = make(map[int64][2]int)
			}
			p.raws[number] = [2]int{len(p.raw), len(p.raw) + len(e.raw)}
			p.raw = append(p.raw, e.raw...)
		}
		p.body = append(p.body, e.text...)
		for range e.lines { // empty lines keep the count
			p.body = append(p.body, '\n')
		}
		lines += e.lines
	}
	p.next, p.at = s.line, s.at.Load()
	if len(bytes.TrimSpace(p.body)) == 0 {
		p.body = nil
	}
	if p.line == 0 {
		p = nil
	}
	return p, s.end
}
