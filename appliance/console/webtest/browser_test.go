//go:build e2e

package webtest

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	daemonFlag  = flag.String("daemon", "../../../bin/cloister", "the daemon whose demo is started")
	consoleFlag = flag.String("console", "", "sign-in link of a console that runs already")
	shotsFlag   = flag.String("shots", "", "directory for screenshots; none are kept without it")
	axeFlag     = flag.String("axe", "../web/node_modules/axe-core/axe.min.js", "axe-core's script")
	chromeFlag  = flag.String("chrome", "chromium", "the browser's program")
)

const patience = 30 * time.Second

// browser is one signed-in browser window. What it complains about is kept
// until complaints is asked.
type browser struct {
	t      *testing.T
	ctx    context.Context
	origin string

	mu       sync.Mutex
	wrong    []string
	expected []string // parts of complaints that a test provokes on purpose
}

// open starts a browser, and the demo unless a console was named, and signs in.
// The link works once, so a test binary opens one browser.
func open(t *testing.T) *browser {
	t.Helper()
	link := *consoleFlag
	if link == "" {
		link = startDemo(t, *daemonFlag)
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" {
		t.Fatalf("the console's address %q is none", link)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(*chromeFlag), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, origin: u.Scheme + "://" + u.Host}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	b.do(chromedp.Navigate(link))
	b.until("signed in", `location.pathname.startsWith("/p/") && !!document.querySelector("main h1")`)
	return b
}

// note keeps what the page complains about, and requests that leave the house.
func (b *browser) note(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
		b.complain("uncaught: " + text)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" || ev.Type == "assert" {
			var text []string
			for _, a := range ev.Args {
				text = append(text, strings.TrimSpace(string(a.Value)+" "+a.Description))
			}
			b.complain("console: " + strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == "error" || ev.Entry.Source == "security" || ev.Entry.Source == "violation" {
			b.complain(fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		u := ev.Request.URL
		if !strings.HasPrefix(u, b.origin+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:"+b.origin) && u != "about:blank" {
			b.complain("a request to another host: " + u)
		}
	}
}

func (b *browser) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.expected {
		if strings.Contains(text, e) {
			return
		}
	}
	b.wrong = append(b.wrong, text)
}

// provoke says that complaints with this text are part of the test.
func (b *browser) provoke(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, text)
}

// complaints gives what was complained about since it was last asked.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.wrong
	b.wrong = nil
	return out
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("driving the browser: %v", err)
	}
}

// ask gives the value of a JavaScript expression, a promise's included.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("asking the page %.120s: %v", expression, err)
	}
	return v
}

// until waits for a JavaScript condition. A page that is just being replaced by
// another cannot be asked, so not every error ends the wait.
func (b *browser) until(what, condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Promise.resolve("+condition+").then((x) => !!x)", chromedp.EvalAwaitPromise))
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			text := ask[string](b, `location.href + "\n" + document.body.innerText.slice(0, 600)`)
			b.t.Fatalf("waited until %s, last error %v\nThe page is %s", what, err, text)
		}
	}
}

// settled: nothing on the page waits for anything any more.
const settled = `document.fonts.status === "loaded" && document.querySelector("h1") &&
	!document.querySelector(".skeleton, .wait, .stale, [aria-busy=true]") &&
	document.getAnimations().every((a) => a.playState !== "running" || a.effect.getTiming().iterations === Infinity)`

func (b *browser) visit(path string) {
	b.t.Helper()
	// Through an empty page, so that a new fragment is a new start, too.
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.origin+path))
	b.until(path+" has settled", settled)
}

// size sets the window, and a phone's touch and pixel ratio with it.
func (b *browser) size(width, height int64, phone bool) {
	b.t.Helper()
	o := []chromedp.EmulateViewportOption{}
	if phone {
		o = append(o, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.do(chromedp.EmulateViewport(width, height, o...))
}

// theme chooses as an operator would; the choice is remembered for later visits.
func (b *browser) theme(name string) {
	b.t.Helper()
	ask[bool](b, fmt.Sprintf(`(localStorage.setItem("cloister.theme", %q), true)`, name))
}

// still turns animations off, as an operator's system can.
func (b *browser) still() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		b.t.Fatalf("asking for reduced motion: %v", err)
	}
}

// shoot keeps a picture of the whole page.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if *shotsFlag == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("taking a picture of %s: %v", name, err)
	}
	if err := os.MkdirAll(*shotsFlag, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shotsFlag, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
