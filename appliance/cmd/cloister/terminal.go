package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal says whether somebody looks at w. NO_COLOR and TERM=dumb mean that
// they want neither colour nor lines that change.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// colour says whether w may be coloured.
func colour(w io.Writer) bool { return terminal(w) }
