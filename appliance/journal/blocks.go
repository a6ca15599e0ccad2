package journal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
	"golang.org/x/sys/unix"
)

// JetStream's files of messages, as of nats-server 2.15: a message is
// total length (4), sequence (8), time (8), length of subject (2), subject,
// with headers their length (4) and them, body, HighwayHash-64 (8). They are
// read here, and only read, before the server may open them: it would cut off
// whatever follows a damaged message. A test holds this against the server.
const (
	blockHeader   = 22
	blockHash     = 8
	blockMax      = 32 << 20
	headersBit    = 1 << 31 // of the length
	erasedBit     = 1 << 63 // of the sequence: overwritten
	tombstoneBit  = 1 << 62 // of the sequence: notes a deletion
	blockFileEnds = ".blk"
)

// survey is what a stream's files hold.
type survey struct {
	spans []Range // ascending, apart
	tag   [tagBytes]byte
	found bool           // the record that tag was asked of
	end   [tagBytes]byte // the tag of the last record
}

func (s *survey) add(seq uint64) {
	if n := len(s.spans); n > 0 {
		switch last := &s.spans[n-1].Last; {
		case seq == *last+1:
			*last = seq
			return
		case seq <= *last:
			return // the server too keeps to the first
		}
	}
	s.spans = append(s.spans, Range{seq, seq})
}

// missing lists what is not there of want.
func (s *survey) missing(want Range) []Range {
	var out []Range
	next := want.First
	for _, have := range s.spans {
		if have.Last < next {
			continue
		}
		if have.First > want.Last {
			break
		}
		if have.First > next {
			out = append(out, Range{next, have.First - 1})
		}
		next = have.Last + 1
	}
	if next <= want.Last {
		out = append(out, Range{next, want.Last})
	}
	return out
}

func (s *survey) last() uint64 {
	if len(s.spans) == 0 {
		return 0
	}
	return s.spans[len(s.spans)-1].Last
}

// surveyBlocks reads the stream's blocks in dir and checks every message; tagOf
// is the sequence whose record's end is wanted. uncached reads what is on the
// disk rather than in memory: after a failed sync the two may differ.
func surveyBlocks(dir, stream string, tagged uint64, uncached bool) (*survey, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), blockFileEnds); ok {
			if n, err := strconv.ParseUint(name, 10, 32); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.SortFunc(numbers, cmp.Compare)
	s := &survey{}
	var buf []byte
	for _, n := range numbers {
		path := filepath.Join(dir, strconv.FormatUint(n, 10)+blockFileEnds)
		if buf, err = readBlock(path, buf, uncached); err != nil {
			return nil, err
		}
		key := sha256.Sum256([]byte(stream + "-" + strconv.FormatUint(n, 10)))
		h, err := highwayhash.New64(key[:])
		if err != nil {
			return nil, err
		}
		s.block(buf, h, tagged)
	}
	return s, nil
}

func readBlock(path string, buf []byte, uncached bool) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if uncached {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return nil, fmt.Errorf("reading %s anew: %w", path, err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	if _, err := io.ReadFull(f, buf); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return buf, nil
}

// block adds the messages of one block. Behind a message that is damaged the
// next is looked for where its length says; behind a length that cannot be,
// nothing is found.
func (s *survey) block(b []byte, h hash.Hash64, tagged uint64) {
	for len(b) >= blockHeader+blockHash {
		length := binary.LittleEndian.Uint32(b)
		seq := binary.LittleEndian.Uint64(b[4:])
		subject := int(binary.LittleEndian.Uint16(b[20:]))
		headers := length&headersBit != 0
		length &^= headersBit
		if length > blockMax || int(length) > len(b) || int(length) < blockHeader+subject+blockHash {
			return
		}
		message := b[:length]
		b = b[length:]
		body := message[blockHeader+subject : length-blockHash]
		h.Reset()
		h.Write(message[4:20])
		h.Write(message[blockHeader : blockHeader+subject])
		if headers {
			if len(body) < 4 {
				continue
			}
			body = body[4:]
		}
		h.Write(body)
		if !bytes.Equal(h.Sum(nil), message[length-blockHash:]) || seq&(erasedBit|tombstoneBit) != 0 || seq == 0 {
			continue
		}
		s.add(seq)
		if seq == s.last() {
			s.end = tagOf(body)
		}
		if seq == tagged {
			s.tag, s.found = tagOf(body), true
		}
	}
}

// metaGood says whether the server will accept the stream's own description.
func metaGood(dir, stream string) (bool, error) {
	meta, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sum, err := os.ReadFile(filepath.Join(dir, "meta.sum"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	key := sha256.Sum256([]byte(stream))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		return false, err
	}
	h.Write(meta)
	return hex.EncodeToString(h.Sum(nil)) == string(sum), nil
}
