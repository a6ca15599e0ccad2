package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
)

// newLogger writes text for people, lines with a priority for the journal of
// systemd, and JSON for everything else.
func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	switch {
	case journal(w):
		return slog.New(newJournald(w, level))
	case terminal(w):
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// journal says whether w is the journal of systemd itself, and not a file that a
// service writes to: the variable names the device and the inode.
func journal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journald writes what the journal reads: <N> is the priority, and the time is
// the journal's own.
type journald struct {
	w    io.Writer
	mu   *sync.Mutex // guards buf and w
	buf  *bytes.Buffer
	text slog.Handler // into buf
}

func newJournald(w io.Writer, level slog.Leveler) *journald {
	buf := &bytes.Buffer{}
	return &journald{w: w, mu: &sync.Mutex{}, buf: buf, text: slog.NewTextHandler(buf, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

func (j *journald) Enabled(ctx context.Context, l slog.Level) bool { return j.text.Enabled(ctx, l) }

func (j *journald) WithAttrs(as []slog.Attr) slog.Handler {
	return &journald{w: j.w, mu: j.mu, buf: j.buf, text: j.text.WithAttrs(as)}
}

func (j *journald) WithGroup(name string) slog.Handler {
	return &journald{w: j.w, mu: j.mu, buf: j.buf, text: j.text.WithGroup(name)}
}

func (j *journald) Handle(ctx context.Context, r slog.Record) error {
	priority := 7
	switch {
	case r.Level >= slog.LevelError:
		priority = 3
	case r.Level >= slog.LevelWarn:
		priority = 4
	case r.Level >= slog.LevelInfo:
		priority = 6
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf.Reset()
	fmt.Fprintf(j.buf, "<%d>", priority)
	if err := j.text.Handle(ctx, r); err != nil {
		return err
	}
	_, err := j.w.Write(j.buf.Bytes())
	return err
}
