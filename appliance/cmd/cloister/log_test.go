package main

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestJournald(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(newJournald(&b, slog.LevelInfo)).With("room", "x")
	l.Debug("hidden")
	l.Info("said", "n", 1)
	l.WithGroup("g").Error("worse\nsecond line", "n", 2)
	want := "<6>msg=said room=x n=1\n<3>msg=\"worse\\nsecond line\" room=x g.n=2\n"
	if b.String() != want {
		t.Errorf("%q, not %q", b.String(), want)
	}
}
