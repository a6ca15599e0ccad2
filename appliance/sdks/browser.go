package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// visitTime is how long a visit to a page may take until it says that it is done.
const visitTime = 30 * time.Second

// page opens pages/NAME in Chromium as often as visits says, the number of the
// visit in its address; what a visit left undone may be sent by the next. The
// page comes from an origin of its own, with the SDK's own files beside it. It
// sets window.calls when it has made its calls, and the SDK has nothing left
// that the page could wait for.
func page(name string, visits int) func(context.Context, *trial) (int, error) {
	return func(ctx context.Context, t *trial) (calls int, err error) {
		files := http.NewServeMux()
		files.Handle("/npm/", http.StripPrefix("/npm/", http.FileServer(http.Dir("node_modules"))))
		files.Handle("/", http.FileServer(http.Dir("pages")))
		origin := httptest.NewServer(files)
		t.after(origin.Close)
		b, err := t.open(ctx)
		if err != nil {
			return 0, err
		}
		t.after(b.close) // the last visit stays open while questions are asked
		for visit := range visits {
			// Some SDKs give up a page that finds no settings, so nothing may be
			// on its way any more that kills the daemon.
			t.recorder.quiet(ctx)
			if err := t.daemon.wait(); err != nil {
				return calls, err
			}
			// localhost, not 127.0.0.1: another origin than the daemon's whatever the port.
			where := strings.Replace(origin.URL, "127.0.0.1", "localhost", 1) + "/" + name + "?" + url.Values{
				"url": {t.url}, "key": {key}, "visit": {fmt.Sprint(visit)},
			}.Encode()
			n, err := b.visit(where)
			if err != nil {
				return calls, fmt.Errorf("pages/%s, visit %d: %w; the page said: %s", name, visit, err, strings.Join(b.complaints(), " | "))
			}
			calls += n
		}
		t.errors = append(t.errors, b.complaints()...)
		return calls, nil
	}
}

// browser is a window of a Chromium of its own, which takes any certificate.
type browser struct {
	ctx   context.Context
	close func()

	mu   sync.Mutex
	said []string // exceptions that nobody caught
}

// userAgent is Chromium's without the word Headless.
const userAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"

func (t *trial) open(ctx context.Context) (*browser, error) {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(t.chrome), chromedp.Env("TZ=Europe/Berlin"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		// Some libraries are silent in a browser that is driven by a program.
		chromedp.Flag("enable-automation", false), chromedp.Flag("disable-blink-features", "AutomationControlled"), chromedp.UserAgent(userAgent),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	alloc, stop := chromedp.NewExecAllocator(ctx, opts...)
	tab, cancel := chromedp.NewContext(alloc)
	b := &browser{ctx: tab, close: func() { cancel(); stop() }}
	if err := chromedp.Listen(tab, b.note); err != nil {
		b.close()
		return nil, fmt.Errorf("starting the browser: %w", err)
	}
	return b, nil
}

func (b *browser) note(ev any) {
	e, ok := ev.(*runtime.EventExceptionThrown)
	if !ok {
		return
	}
	text := e.ExceptionDetails.Text
	if x := e.ExceptionDetails.Exception; x != nil {
		text += " " + x.Description
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, fmt.Sprintf("the page threw: %.300s", text))
}

func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said
}

// visit opens a page and gives how many calls it made.
func (b *browser) visit(where string) (calls int, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, visitTime)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate(where)); err != nil {
		return 0, err
	}
	// Not chromedp.Poll: on a busy machine it asks in the page that was left, and
	// gives up.
	ask := chromedp.Evaluate[int](fmt.Sprintf("location.href === %q ? window.calls ?? 0 : 0", where))
	for {
		n, err := chromedp.Run(ctx, ask)
		if n > 0 && err == nil {
			return n, nil
		}
		select {
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
