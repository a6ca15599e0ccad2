package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// How much of what a connector prints is taken.
const (
	logLine  = 2 << 10   // bytes of a line; the rest of it is dropped
	logRate  = 2 << 10   // bytes a second into the log: 7 MiB an hour
	logBurst = 64 << 10  // bytes at once
	readRate = 128 << 10 // bytes a second off the pipe, 1 MiB at once; faster writers wait: sifting takes of the processor that collecting needs
)

// ration puts what a connector prints into the log, as much as is sensible.
type ration struct {
	to      *slog.Logger
	allowed *rate.Limiter
	speed   *rate.Limiter

	mu      sync.Mutex
	dropped int64 // lines since the last report
	told    time.Time
}

func newRation(to *slog.Logger) *ration {
	return &ration{to: to, allowed: rate.NewLimiter(logRate, logBurst), speed: rate.NewLimiter(readRate, 1<<20)}
}

// read reads standard error to its end.
func (r *ration) read(from io.Reader) {
	defer r.report(true)
	in := bufio.NewReaderSize(from, logLine)
	rest := false // of a line that was too long
	for {
		line, err := in.ReadSlice('\n')
		// Never in error: lines are far shorter than the burst.
		_ = r.speed.WaitN(context.Background(), len(line))
		if len(line) > 0 && !rest {
			r.line(line)
		}
		rest = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !rest {
			return
		}
	}
}

// slow is a process's own standard output, which go-plugin reads as fast as it
// comes and drops after the first line.
type slow struct {
	io.ReadCloser
	speed *rate.Limiter
}

func newSlow(from io.ReadCloser) *slow {
	return &slow{from, rate.NewLimiter(readRate, 1<<20)}
}

func (s *slow) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p[:min(len(p), 64<<10)])
	_ = s.speed.WaitN(context.Background(), n) // never in error: n is less than the burst
	return n, err
}

// stream takes what comes in pieces and makes lines of it. It is one
// goroutine's.
type stream struct {
	log  *ration
	line []byte
	skip bool // the rest of a line that was too long
}

// Write implements io.Writer; it never fails, and blocks whoever writes too fast.
func (s *stream) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		_ = s.log.speed.WaitN(context.Background(), min(len(part), logBurst))
		whole := part[len(part)-1] == '\n'
		if !s.skip {
			s.line = append(s.line, part[:min(len(part), logLine-len(s.line))]...)
		}
		if whole || len(s.line) == logLine {
			if !s.skip {
				s.log.line(s.line)
			}
			s.line, s.skip = s.line[:0], !whole
		}
	}
	return len(p), nil
}

func (r *ration) line(raw []byte) {
	if !r.allowed.AllowN(time.Now(), len(raw)+64) {
		r.mu.Lock()
		r.dropped++
		r.mu.Unlock()
		r.report(false)
		return
	}
	r.report(false)
	level, msg, attrs := parseLine(raw)
	if msg == "" && len(attrs) == 0 {
		return
	}
	r.to.LogAttrs(context.Background(), level, msg, attrs...)
}

// report says, at most once a minute and at the end, how much was dropped.
func (r *ration) report(last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped == 0 || (!last && time.Since(r.told) < time.Minute) {
		return
	}
	r.to.Warn("the connector prints more than is taken into the log", "dropped_lines", r.dropped)
	r.dropped, r.told = 0, time.Now()
}

// parseLine reads a line of log: JSON as slog and hclog write it, or text.
func parseLine(raw []byte) (slog.Level, string, []slog.Attr) {
	var m map[string]any
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		text := connectorpb.Clean(string(raw), logLine)
		level := slog.LevelInfo
		if strings.HasPrefix(text, "panic:") || strings.HasPrefix(text, "fatal error:") {
			level = slog.LevelError
		}
		return level, text, nil
	}
	take := func(names ...string) string {
		for _, n := range names {
			if v, ok := m[n].(string); ok {
				delete(m, n)
				return v
			}
		}
		return ""
	}
	level := slog.LevelInfo
	switch strings.ToLower(take("level", "@level")) {
	case "trace", "debug":
		level = slog.LevelDebug
	case "warn", "warning":
		level = slog.LevelWarn
	case "error", "fatal", "critical":
		level = slog.LevelError
	}
	msg := connectorpb.Clean(take("msg", "@message", "message"), logLine)
	take("time", "@timestamp", "timestamp")
	take("@module")
	var attrs []slog.Attr
	for k, v := range m {
		attrs = append(attrs, slog.String(connectorpb.Clean(k, 64), connectorpb.Clean(fmt.Sprint(v), 512)))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return level, msg, attrs[:min(len(attrs), 16)]
}
