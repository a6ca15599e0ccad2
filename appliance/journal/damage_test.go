package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// blocks gives the stream's block files.
func (h *house) blocks(publisher string) []string {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.stream(publisher), "msgs", "*.blk"))
	if err != nil || len(paths) == 0 {
		h.t.Fatalf("no blocks: %v", err)
	}
	return paths
}

func (h *house) stream(publisher string) string {
	return filepath.Join(h.dir, "journal/nats/jetstream", publisher, "streams/journal")
}

func (h *house) mark(publisher string) string {
	return filepath.Join(h.dir, "journal/marks", publisher)
}

func (h *house) problem(code string) bool {
	for _, p := range h.board.Problems() {
		if p.Code == code {
			return true
		}
	}
	return false
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// filled makes a journal of records 1 to 50, one fact each, and closes it.
func filled(t *testing.T) *house {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	for i := 1; i <= 50; i++ {
		appendOne(t, j, fmt.Sprint(i))
	}
	h.close()
	return h
}

// offsetOf finds where the message of a sequence begins in a block.
func offsetOf(t *testing.T, b []byte, seq uint64) (from, to int) {
	t.Helper()
	for at := 0; at < len(b); {
		n := int(uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16)
		if uint64(b[at+4])|uint64(b[at+5])<<8 == seq {
			return at, at + n
		}
		at += n
	}
	t.Fatalf("record %d is not in the block", seq)
	return 0, 0
}

func TestDamageIsNoticedBeforeServing(t *testing.T) {
	cases := []struct {
		name    string
		damage  func(t *testing.T, h *house)
		missing string // "" = whatever
	}{
		{"a flipped bit in the middle", func(t *testing.T, h *house) {
			b := read(t, h.blocks("shop")[0])
			from, to := offsetOf(t, b, 20)
			b[(from+to)/2] ^= 1
			write(t, h.blocks("shop")[0], b)
		}, "[20]"},
		{"a flipped bit in a sequence", func(t *testing.T, h *house) {
			b := read(t, h.blocks("shop")[0])
			from, _ := offsetOf(t, b, 20)
			b[from+4] ^= 1
			write(t, h.blocks("shop")[0], b)
		}, "[20]"},
		{"a flipped bit in a length", func(t *testing.T, h *house) {
			b := read(t, h.blocks("shop")[0])
			from, _ := offsetOf(t, b, 20)
			b[from+2] ^= 0x40
			write(t, h.blocks("shop")[0], b)
		}, "[20 to 50]"},
		{"the last record", func(t *testing.T, h *house) {
			b := read(t, h.blocks("shop")[0])
			from, _ := offsetOf(t, b, 50)
			b[from+25] ^= 1
			write(t, h.blocks("shop")[0], b)
		}, "[50]"},
		{"cut short", func(t *testing.T, h *house) {
			b := read(t, h.blocks("shop")[0])
			from, _ := offsetOf(t, b, 31)
			write(t, h.blocks("shop")[0], b[:from+7])
		}, "[31 to 50]"},
		{"emptied", func(t *testing.T, h *house) { write(t, h.blocks("shop")[0], nil) }, "[1 to 50]"},
		{"deleted", func(t *testing.T, h *house) {
			if err := os.Remove(h.blocks("shop")[0]); err != nil {
				t.Fatal(err)
			}
		}, "[1 to 50]"},
		{"the whole stream deleted", func(t *testing.T, h *house) {
			if err := os.RemoveAll(h.stream("shop")); err != nil {
				t.Fatal(err)
			}
		}, "[1 to 50]"},
		{"the mark deleted", func(t *testing.T, h *house) {
			if err := os.Remove(h.mark("shop")); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"both copies of the mark", func(t *testing.T, h *house) {
			b := read(t, h.mark("shop"))
			b[20] ^= 1
			b[slotStride+20] ^= 1
			write(t, h.mark("shop"), b)
		}, ""},
		{"an older copy of the stream, written on", func(t *testing.T, h *house) {
			// What JetStream itself would leave of a damaged file: cut off,
			// and the sequences used again.
			mark := read(t, h.mark("shop"))
			b := read(t, h.blocks("shop")[0])
			from, _ := offsetOf(t, b, 31)
			write(t, h.blocks("shop")[0], b[:from])
			if err := os.Remove(h.stream("shop") + "/msgs/index.db"); err != nil {
				t.Fatal(err)
			}
			file, m, err := openMark(h.mark("shop"))
			if err != nil {
				t.Fatal(err)
			}
			m.last, m.tag = 30, [tagBytes]byte{}
			if err := errors.Join(file.write(m), file.close()); err != nil {
				t.Fatal(err)
			}
			h.open()
			j := h.journal("shop", StreamOptions{})
			for i := 31; i <= 50; i++ {
				appendOne(t, j, fmt.Sprint("other", i))
			}
			h.close()
			write(t, h.mark("shop"), mark)
		}, "[50]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := filled(t)
			c.damage(t, h)
			before := snapshot(t, h.stream("shop"))
			h.open()
			_, err := h.s.Journal("shop", h.keys("shop"), StreamOptions{})
			var damage *DamageError
			if !errors.Is(err, ErrDamaged) || !errors.As(err, &damage) {
				t.Fatalf("opened: %v", err)
			}
			if got := fmt.Sprint(damage.Missing); c.missing != "" && got != c.missing {
				t.Errorf("missing %s, not %s", got, c.missing)
			}
			if !h.problem(ProblemDamaged) {
				t.Error("no problem was raised")
			}
			// Another publisher is not concerned.
			appendOne(t, h.journal("bank", StreamOptions{}), "1")
			h.close()
			if after := snapshot(t, h.stream("shop")); after != before {
				t.Error("the stream's files were changed")
			}
		})
	}
}

// snapshot is every file in dir with its contents.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %x\n", path, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDamageThatCostsNothing(t *testing.T) {
	cases := []struct {
		name    string
		damage  func(t *testing.T, h *house)
		problem string
	}{
		{"a torn record behind the last", func(t *testing.T, h *house) {
			b := read(t, h.blocks("shop")[0])
			from, to := offsetOf(t, b, 50)
			next := append([]byte(nil), b[from:to]...)
			next[4]++ // what was being written as record 51
			write(t, h.blocks("shop")[0], append(b, next[:len(next)-5]...))
		}, ""},
		{"zeros behind the last", func(t *testing.T, h *house) {
			write(t, h.blocks("shop")[0], append(read(t, h.blocks("shop")[0]), make([]byte, 500)...))
		}, ""},
		{"a byte of meta.inf", func(t *testing.T, h *house) {
			b := read(t, h.stream("shop")+"/meta.inf")
			b[len(b)/2] ^= 1
			write(t, h.stream("shop")+"/meta.inf", b)
		}, ProblemRepaired},
		{"meta.sum deleted", func(t *testing.T, h *house) {
			if err := os.Remove(h.stream("shop") + "/meta.sum"); err != nil {
				t.Fatal(err)
			}
		}, ProblemRepaired},
		{"index.db", func(t *testing.T, h *house) {
			b := read(t, h.stream("shop")+"/msgs/index.db")
			b[len(b)/2] ^= 1
			write(t, h.stream("shop")+"/msgs/index.db", b)
		}, ""},
		{"index.db deleted", func(t *testing.T, h *house) {
			if err := os.Remove(h.stream("shop") + "/msgs/index.db"); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"a mark that lags, as after a crash", func(t *testing.T, h *house) {
			s, err := surveyBlocks(h.stream("shop")+"/msgs", streamName, 40, false)
			if err != nil || !s.found {
				t.Fatal(err)
			}
			file, m, err := openMark(h.mark("shop"))
			if err != nil {
				t.Fatal(err)
			}
			m.last, m.tag = 40, s.tag
			if err := errors.Join(file.write(m), file.close()); err != nil {
				t.Fatal(err)
			}
			h.open()
			h.journal("shop", StreamOptions{})
			h.close()
		}, ""},
		{"one copy of the mark", func(t *testing.T, h *house) {
			b := read(t, h.mark("shop"))
			b[20] ^= 1
			write(t, h.mark("shop"), b)
		}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := filled(t)
			c.damage(t, h)
			for _, more := range []string{"51", "52", "53"} {
				h.open()
				j := h.journal("shop", StreamOptions{})
				appendOne(t, j, more)
				h.close()
			}
			h.open()
			ids, _ := readIDs(t, h.journal("shop", StreamOptions{}), Cursor{})
			if len(ids) != 53 || ids[49] != "50" || ids[52] != "53" {
				t.Fatalf("read %v", ids)
			}
			if c.problem != "" && !h.problem(c.problem) {
				t.Error("no problem was raised")
			}
		})
	}
}

// A cursor that the journal never gave is damage too: something is gone, here
// or where the cursor was kept.
func TestStrangeCursors(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	appendOne(t, j, "1")
	for _, c := range []Cursor{{j.End().Incarnation + 1, 1}, {j.End().Incarnation, 2}, {0, 1}} {
		if _, err := j.Read(context.Background(), c, 1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// What survey reads must be what the server writes, headers and deletions too.
func TestSurveyAgreesWithTheEngine(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{MaxBytes: 1 << 20})
	for i := 1; i <= 300; i++ {
		appendOne(t, j, fmt.Sprint(i), strings.Repeat("x", i%7))
	}
	if err := j.Trim(context.Background(), Cursor{j.End().Incarnation, 123}); err != nil {
		t.Fatal(err)
	}
	tag := j.mark.tag
	dir := filepath.Join(j.streamDir(), "msgs")
	for _, uncached := range []bool{false, true} {
		s, err := surveyBlocks(dir, streamName, 300, uncached)
		if err != nil {
			t.Fatal(err)
		}
		if !s.found || s.tag != tag || s.last() != 300 || len(s.missing(Range{124, 300})) != 0 {
			t.Fatalf("surveyed %v, found %v", s.spans, s.found)
		}
		if got := fmt.Sprint(s.missing(Range{290, 310})); got != "[301 to 310]" {
			t.Fatalf("missing %s", got)
		}
	}
	h.close()
	h.open()
	j = h.journal("shop", StreamOptions{MaxBytes: 1 << 20})
	if j.Begin().Sequence != 123 || j.End().Sequence != 300 {
		t.Fatalf("%v to %v", j.Begin(), j.End())
	}
	if _, err := j.Read(context.Background(), Cursor{j.End().Incarnation, 122}, 1); !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	if _, err := j.Read(context.Background(), Cursor{}, 1); !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	if ids, _ := readIDs(t, j, j.Begin()); len(ids) != 2*177 || ids[0] != "124" {
		t.Fatalf("%d facts from %s", len(ids), ids[0])
	}
}
