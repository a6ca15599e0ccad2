package badinput

import (
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

var idle = flag.Int("idle", 1000, "how many connections idle at once")

// table is what was tried, by line of the catalogue.
type table struct {
	t *testing.T
	d *daemon

	memory int // of the daemon at the start, in MiB

	mu    sync.Mutex
	lines []string
	rows  map[string]*row
}

type row struct{ tried, asStated, crashed, fives int }

// line begins a line of the catalogue; what is tried in it may go on beside
// other lines.
func (b *table) line(name string) *line {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rows[name] == nil {
		b.rows[name] = &row{}
		b.lines = append(b.lines, name)
	}
	return &line{b, name}
}

type line struct {
	b    *table
	name string
}

// want notes one try, and whether it was answered as stated.
func (l *line) want(what string, a answer, ok bool) {
	l.b.t.Helper()
	l.b.mu.Lock()
	r := l.b.rows[l.name]
	r.tried++
	if a.status >= 500 {
		r.fives++
	}
	if ok {
		r.asStated++
	}
	gone := l.b.d.crashed()
	if gone {
		r.crashed++
	}
	l.b.mu.Unlock()
	if gone {
		l.b.t.Fatalf("%s, %s: the daemon ended:\n%.4000s", l.name, what, l.b.d.log)
	}
	if !ok || a.status >= 500 {
		l.b.t.Errorf("%s, %s: %d %.300s", l.name, what, a.status, a.body)
	}
}

// status wants one of a few.
func (l *line) status(what string, a answer, any ...int) {
	l.b.t.Helper()
	ok := false
	for _, s := range any {
		ok = ok || s == a.status
	}
	l.want(what, a, ok)
}

// print shows the table.
func (b *table) print() {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "tried\tas stated\tcrashed\t5xx\t \n")
	var sum row
	for _, name := range b.lines {
		r := b.rows[name]
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t %s\n", r.tried, r.asStated, r.crashed, r.fives, name)
		sum.tried, sum.asStated, sum.crashed, sum.fives = sum.tried+r.tried, sum.asStated+r.asStated, sum.crashed+r.crashed, sum.fives+r.fives
	}
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t in all\n", sum.tried, sum.asStated, sum.crashed, sum.fives)
	_ = w.Flush()
	fmt.Fprintf(&out, "memory of the daemon: %d MiB at the start, %d at the end, %d at most\n", b.memory, b.d.memory("VmRSS:"), b.d.memory("VmHWM:"))
	b.t.Log("\n" + out.String())
}

// TestBadInput is the catalogue. What takes seconds because it waits runs
// beside the rest.
func TestBadInput(t *testing.T) {
	d := startDaemon(t)
	b := &table{t: t, d: d, memory: d.memory("VmRSS:"), rows: map[string]*row{}}
	defer b.print()
	var slow sync.WaitGroup
	for _, f := range []func(*table){slowHeaders, slowBody, slowReader, idleConnections, slowWebhook} {
		slow.Go(func() { f(b) })
	}
	for _, f := range []func(*table){
		syntax, sizes, bombs, depth, numbers, characters, shapes, noIDs, times, names, framing,
		templates, escaping, headers, pages, cells, configurations, strangers, guessing, sites, links, members, absent, floods, webhooks, returnedMail,
	} {
		f(b)
	}
	slow.Wait()
	log(b)
}
