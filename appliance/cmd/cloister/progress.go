package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bar draws how far an import is, on a terminal only.
type bar struct {
	w     io.Writer
	name  string
	size  int64
	begun time.Time
	shown bool

	// at are the bytes of the file whose lines are in.
	at, lines, refused atomic.Int64
	trouble            atomic.Pointer[string]

	mu   sync.Mutex // guards w
	end  chan struct{}
	gone sync.WaitGroup
}

// startBar begins to draw. Call stop.
func startBar(w io.Writer, name string, size int64) *bar {
	b := &bar{w: w, name: plain(name), size: size, begun: time.Now(), shown: terminal(w), end: make(chan struct{})}
	if !b.shown {
		return b
	}
	b.gone.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-b.end:
				return
			case <-tick.C:
				b.draw()
			}
		}
	})
	return b
}

func (b *bar) add(at, lines, refused int64) {
	b.at.Store(at)
	b.lines.Add(lines)
	b.refused.Add(refused)
	b.trouble.Store(nil)
}

// waits tells why nothing moves.
func (b *bar) waits(err error) {
	text := plain(err.Error())
	if b.trouble.Swap(&text) == nil && !b.shown {
		b.note(b.name + ": waiting: " + text)
	}
}

// note writes a line of its own.
func (b *bar) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	fmt.Fprintln(b.w, text)
}

func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

func (b *bar) draw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	fmt.Fprint(b.w, b.text(time.Since(b.begun)))
}

const barWidth = 24

func (b *bar) text(since time.Duration) string {
	var out strings.Builder
	out.WriteString(b.name)
	at, lines := b.at.Load(), b.lines.Load()
	if b.size > 0 {
		part := min(float64(at)/float64(b.size), 1)
		full := int(part * barWidth)
		fmt.Fprintf(&out, " [%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100)
		if part > 0.02 && part < 1 {
			fmt.Fprintf(&out, ", %s left", time.Duration(float64(since)*(1-part)/part).Round(time.Second))
		}
	}
	fmt.Fprintf(&out, "  %s lines", thousands(lines))
	if s := since.Seconds(); s >= 1 {
		fmt.Fprintf(&out, ", %s/s", thousands(int64(float64(lines)/s)))
	}
	if n := b.refused.Load(); n > 0 {
		fmt.Fprintf(&out, ", %s refused", thousands(n))
	}
	if t := b.trouble.Load(); t != nil {
		text := []rune(*t)
		fmt.Fprintf(&out, "  waiting: %s", string(text[:min(len(text), 60)]))
	}
	return out.String()
}

// stop takes the bar away and waits for whoever drew it.
func (b *bar) stop() {
	close(b.end)
	b.gone.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
