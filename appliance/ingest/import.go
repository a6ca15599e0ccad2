package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
)

// Bounds of an import.
const (
	// importText is how much text is decoded and appended at once: decoded it
	// takes some six times as much, in several places at once.
	importText = 256 << 10
	// importChunk is how much it is for a line that is longer. No line may be
	// longer than that.
	importChunk = 1 << 20
	// MaxRefusedLines is how many lines of one call may be refused before it
	// ends: what has more is no such file.
	MaxRefusedLines = 100_000
	// importPatience is how long a journal that takes nothing is waited for.
	importPatience = time.Minute
)

// ErrRefusedLines ends an import with more than MaxRefusedLines.
var ErrRefusedLines = errors.New("too many lines are refused")

// LineError says why a line was not taken. It quotes names, never values.
type LineError struct {
	Line    int64  `json:"line"` // counted from 1 in the file
	Message string `json:"error"`
}

func (e LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// ImportEvents takes events from lines of JSON,
//
//	{"user", "anonymous", "event", "ts", "props", "times": [key..], "id"}
//
// of which user or anonymous, event and ts (RFC 3339) are needed, times names
// the props that are instants, and appends them in their order, marked as
// imported. source names the file, and firstLine is the number that body begins
// with (from 1): a line without id has the id import:SOURCE:LINE, so that
// importing a part again is harmless.
// taken counts the lines that are on disk, refused those that cannot be taken;
// empty lines are neither. The error, of reading body, of the journal, of ctx
// or ErrRefusedLines, is what ended it early: lines behind the last ones taken
// or refused may not have been looked at. A journal that is overloaded is
// waited for.
func (d *Door) ImportEvents(ctx context.Context, pub *Publisher, source string, firstLine int64, body io.Reader) (taken int, refused []LineError, err error) {
	return d.importLines(ctx, pub, source, firstLine, body, (*lineDecoder).event)
}

// ImportProfiles takes profiles from lines of JSON, otherwise as ImportEvents:
//
//	{"user", "profile": {..}, "consent": [{"purpose", "channel", "granted", "source", "version"}],
//	 "channels": {"email": "a@b", "sms": "+1..", "push": {"platform", "token", "keys"}},
//	 "identities": [..], "devices": [..], "created"}
//
// or flat, {"user", and attributes}. anonymous may stand for user, a channel
// may have a list, and ts, by default created and else now, says when it became
// known; a consent may say so of itself, in since. identities are further ones
// of the user, who must be the first of them, and devices those of the user.
func (d *Door) ImportProfiles(ctx context.Context, pub *Publisher, source string, firstLine int64, body io.Reader) (taken int, refused []LineError, err error) {
	return d.importLines(ctx, pub, source, firstLine, body, (*lineDecoder).profile)
}

// chunk is a run of whole lines on its way through.
type chunk struct {
	buf   []byte
	lines []byte // the part of buf that is whole lines
	first int64  // number of its first line
	long  bool   // its one line is too long

	facts   []event.Fact
	taken   int          // lines
	slabP   []event.Prop // what they are cut from, kept for the next chunk
	slabV   []event.Value
	held    []Held
	refused []LineError
	told    []Refused     // the same, with the lines themselves, which are parts of buf
	ready   chan struct{} // closed when it is decoded
}

// importLines reads, decodes on every core, and appends: each in its order.
func (d *Door) importLines(ctx context.Context, pub *Publisher, source string, firstLine int64, body io.Reader, decode func(*lineDecoder, *event.Fact, string) error) (taken int, refused []LineError, err error) {
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	work := make(chan *chunk)
	inOrder := make(chan *chunk, workers)
	pool := sync.Pool{New: func() any { return &chunk{buf: make([]byte, 0, importText)} }}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	var readErr error // set before inOrder is closed
	running.Go(func() {
		defer close(inOrder)
		defer close(work)
		readErr = readChunks(body, firstLine, func() *chunk { return pool.Get().(*chunk) }, func(c *chunk) error {
			c.ready = make(chan struct{})
			for _, to := range []chan *chunk{inOrder, work} {
				select {
				case to <- c:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range workers {
		running.Go(func() {
			l := &lineDecoder{now: d.o.Now(), rules: pub.Rules, hold: pub.Hold, limits: pub.Rules.limits(), prefix: "import:" + source + ":"}
			for c := range work {
				l.decode(c, decode)
				close(c.ready)
			}
		})
	}
	for c := range inOrder {
		select {
		case <-c.ready:
		case <-ctx.Done():
			return taken, refused, ctx.Err()
		}
		if err := patient(ctx, pub, c); err != nil {
			return taken, refused, fmt.Errorf("appending lines from %d on: %w", c.first, err)
		}
		taken += c.taken
		refused = append(refused, c.refused...)
		pub.tell(c.told)
		if len(refused) > MaxRefusedLines {
			return taken, refused, fmt.Errorf("%w: %d", ErrRefusedLines, len(refused))
		}
		// Nothing of it is used any more: facts are encoded when Append returns.
		pool.Put(c)
	}
	if readErr != nil {
		return taken, refused, fmt.Errorf("reading lines: %w", readErr)
	}
	return taken, refused, nil
}

// patient appends, and while the journal takes nothing tries again. Facts that
// were perhaps written have ids.
func patient(ctx context.Context, pub *Publisher, c *chunk) error {
	const wait = 100 * time.Millisecond
	for tries := importPatience / wait; ; tries-- {
		err := pub.append(ctx, c.held, c.facts)
		if tries == 0 || !errors.Is(err, journal.ErrOverloaded) && !errors.Is(err, journal.ErrUnavailable) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// readChunks cuts r into chunks of whole lines and gives them away.
func readChunks(r io.Reader, line int64, get func() *chunk, give func(*chunk) error) error {
	c := get()
	c.buf = c.buf[:0]
	skipping := false // the rest of a line that is too long
	for {
		n, err := io.ReadFull(r, c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return err
		}
		if skipping {
			at := bytes.IndexByte(c.buf, '\n')
			if at < 0 && !end {
				c.buf = c.buf[:0]
				continue
			}
			c.buf = c.buf[:copy(c.buf, c.buf[at+1:])]
			if at < 0 {
				return nil
			}
			skipping = false
			line++
			continue
		}
		whole := bytes.LastIndexByte(c.buf, '\n') + 1
		if end {
			whole = len(c.buf)
		}
		if whole == 0 && !end && cap(c.buf) < importChunk {
			c.buf = append(make([]byte, 0, min(4*cap(c.buf), importChunk)), c.buf...)
			continue
		}
		c.first, c.long = line, false
		if whole == 0 && !end { // full, and not one line's end
			c.long, skipping = true, true
			whole = len(c.buf)
		}
		if whole == 0 {
			return nil
		}
		next := get()
		next.buf = append(next.buf[:0], c.buf[whole:]...)
		c.lines = c.buf[:whole]
		line += int64(bytes.Count(c.lines, []byte{'\n'}))
		if err := give(c); err != nil || end {
			return err
		}
		c = next
	}
}

// lineDecoder makes facts of lines. Each worker has its own.
type lineDecoder struct {
	now    time.Time
	rules  *Rules
	hold   *Hold
	limits event.Limits
	prefix string // of ids

	p     parser
	ids   []byte       // the ids of a chunk
	timed bool         // the line has a ts
	times event.Value  // the keys of what are instants
	more  []event.Fact // what else the line says, behind its own fact
}

// decode fills c.facts and c.refused.
func (l *lineDecoder) decode(c *chunk, decode func(*lineDecoder, *event.Fact, string) error) {
	c.facts, c.taken, c.held, c.refused, c.told = c.facts[:0], 0, nil, nil, nil
	if c.long {
		c.refuse(c.first, "", &event.Refusal{Code: event.RefusedTooLong, Field: "line", Message: fmt.Sprintf("longer than %d bytes", importChunk)})
		return
	}
	// The facts share the chunk's memory, which nobody writes until they are
	// appended; the values cut from slabs keep those alive likewise.
	text := unsafe.String(unsafe.SliceData(c.lines), len(c.lines))
	l.p.wholeP, l.p.slabP, l.p.wholeV, l.p.slabV = c.slabP, c.slabP, c.slabV, c.slabV
	l.ids = make([]byte, 0, 64<<10)
	for line := c.first; len(text) > 0; line++ {
		one, rest := text, ""
		if at := bytes.IndexByte(unsafe.Slice(unsafe.StringData(text), len(text)), '\n'); at >= 0 {
			one, rest = text[:at], text[at+1:]
		}
		text = rest
		l.p.s, l.p.i, l.p.props, l.p.values = one, 0, l.p.props[:0], l.p.values[:0]
		if l.p.peek() == 0 && l.p.i == len(one) {
			continue
		}
		f, v := event.Fact{Flags: event.Imported}, verdict{}
		l.more = l.more[:0]
		err := decode(l, &f, one)
		if err == nil {
			if f.ID == "" {
				f.ID = l.id(line)
			}
			v, err = l.rules.apply(&f, l.now, l.limits)
		}
		for i := range l.more {
			if err == nil {
				var also verdict
				l.more[i].ID = f.ID + ":" + strconv.Itoa(i+1)
				also, err = l.rules.apply(&l.more[i], l.now, l.limits)
				v.hold |= also.hold
			}
		}
		if err == nil && v.hold != 0 && !l.hold.Room() {
			err = errHoldFull
		}
		switch {
		case err == errInactive:
			c.note(line, one, err)
			continue
		case err != nil:
			c.refuse(line, one, err)
			continue
		case v.off != nil:
			c.note(line, one, v.off)
		}
		if v.hold != 0 {
			c.taken++
			c.held = append(c.held, Held{Dialect: "import", Kinds: v.hold, Facts: append([]event.Fact{f}, l.more...)})
			continue
		}
		c.taken++
		c.facts = append(append(c.facts, f), l.more...)
	}
	c.slabP, c.slabV = l.p.wholeP, l.p.wholeV
}

// id makes the id of a line that has none.
func (l *lineDecoder) id(line int64) string {
	if cap(l.ids)-len(l.ids) < len(l.prefix)+20 {
		l.ids = make([]byte, 0, max(64<<10, len(l.prefix)+20))
	}
	start := len(l.ids)
	l.ids = strconv.AppendInt(append(l.ids, l.prefix...), line, 10)
	// What is written once is not written again: ids only grows.
	return unsafe.String(&l.ids[start], len(l.ids)-start)
}

// refuse notes a line that cannot be taken; its text is "" where it is not at hand.
func (c *chunk) refuse(line int64, text string, err error) {
	c.refused = append(c.refused, LineError{line, err.Error()})
	c.told = append(c.told, lineRefused(line, text, err))
}

// note notes a line that the sender may take for accepted.
func (c *chunk) note(line int64, text string, err error) {
	one := lineRefused(line, text, err)
	one.Accepted = true
	c.told = append(c.told, one)
}

func lineRefused(line int64, text string, err error) Refused {
	one := Refused{Dialect: "import", Index: int(line) - 1, Err: err}
	if text != "" {
		one.Record = event.OfText(strings.ToValidUTF8(text, "\uFFFD"))
	}
	return one
}
