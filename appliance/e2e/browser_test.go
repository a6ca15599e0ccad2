//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var chrome = flag.String("chrome", "chromium", "the browser's program")

// tab is a browser's window on a site of its own, which the test serves. What
// the browser complains about is kept.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site string

	mu    sync.Mutex
	wrong []string
}

// browse starts a browser, and a site of which page gives the HTML and the
// policy that it is served with.
func browse(t *testing.T, site http.Handler) *tab {
	t.Helper()
	srv := httptest.NewServer(site)
	t.Cleanup(srv.Close)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(*chrome), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-component-update", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, site: srv.URL}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return b
}

// another opens a second tab of the same browser.
func (b *tab) another() *tab {
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	other := &tab{t: b.t, ctx: ctx, site: b.site}
	if err := chromedp.Listen(ctx, other.note); err != nil {
		b.t.Fatalf("opening a tab: %v", err)
	}
	return other
}

func (b *tab) note(ev any) {
	text := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = "uncaught: " + ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type != "error" && ev.Type != "warning" && ev.Type != "assert" {
			return
		}
		for _, a := range ev.Args {
			text += strings.TrimSpace(string(a.Value)+" "+a.Description) + " "
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level != "error" && ev.Entry.Source != "security" && ev.Entry.Source != "violation" {
			return
		}
		text = fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, text)
}

// complaints gives what the browser complained about since it was last asked.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.wrong
	b.wrong = nil
	return out
}

func (b *tab) visit(path string) {
	b.t.Helper()
	b.open(b.site + path)
}

func (b *tab) open(address string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		b.t.Fatalf("opening %s: %v", address, err)
	}
}

// eval gives the value of a JavaScript expression, a promise's included.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("asking the page %.120s: %v", expression, err)
	}
	return v
}

// run evaluates what has no value.
func (b *tab) run(statement string) {
	b.t.Helper()
	eval[bool](b, "(async () => {"+statement+"; return true })()")
}
