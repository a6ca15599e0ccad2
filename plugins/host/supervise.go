package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// supervise keeps a process running until quit. It owns the process.
func (c *Connector) supervise() {
	defer close(c.gone)
	var failures []time.Time
	for {
		c.mu.Lock()
		p := c.proc
		c.mu.Unlock()
		why := error(nil)
		if p != nil {
			c.clear("connector.down", "connector.quarantined")
			why = c.watch(p)
			c.takeProcess(why)
			if why == nil { // quit
				p.end()
				c.clearAll()
				return
			}
			p.stop()
		} else {
			why = c.begin(c.ctx)
			if c.ctx.Err() != nil {
				if p := c.takeProcess(nil); p != nil {
					p.end()
				}
				c.clearAll()
				return
			}
			if why == nil {
				c.mu.Lock()
				if c.ran {
					c.restarts++
				}
				c.ran = true
				c.mu.Unlock()
				c.h.o.Logger.Info("a connector was started", "connector", c.i.subject(), "plugin", c.i.Plugin)
				continue
			}
		}
		now := c.h.o.Now()
		failures = append(failures, now)
		for len(failures) > 0 && now.Sub(failures[0]) > c.h.o.timing.window {
			failures = failures[1:]
		}
		if !c.pause(failures, why) {
			c.clearAll()
			return
		}
	}
}

// pause waits before the next try, longer the more there were. It says false
// when no further try is wanted.
func (c *Connector) pause(failures []time.Time, why error) bool {
	t := c.h.o.timing
	text := connectorpb.Clean(why.Error(), connectorpb.MaxError)
	var wait time.Duration
	// A program that is not the right one does not become it by trying.
	weak, unchecked := errors.Is(why, ErrWeak), errors.Is(why, ErrUnchecked)
	refused := errors.Is(why, ErrChecksum) || errors.Is(why, ErrUnsafe) || weak || unchecked
	c.mu.Lock()
	c.failed++
	if refused || len(failures) >= t.strikes {
		c.set(Quarantined, text)
		wait = t.parole
	} else {
		c.set(Restarting, text)
		wait = min(t.backoff<<(len(failures)-1), t.max)
		wait += time.Duration(rand.Float64() * 0.2 * float64(wait)) // not all at once
	}
	state := c.state
	c.mu.Unlock()
	if state == Quarantined {
		summary := fmt.Sprintf("Connector %s failed %d times in %s and is left alone: %s", c.i.subject(), len(failures), t.window, text)
		hint := fmt.Sprintf("Messages wait meanwhile. See the log for what the connector printed; then check it in the console, which starts it again. It is tried every %s.", t.parole)
		if refused {
			summary = fmt.Sprintf("Connector %s is not started: %s", c.i.subject(), text)
			hint = "Messages wait meanwhile. Find out who changed the file; put the right one in its place, or its checksum into the configuration. Then check the connector in the console, which starts it again."
		}
		if weak {
			hint = "Messages wait meanwhile. Run the appliance where connectors can be confined as is required, or require less."
		}
		if unchecked {
			hint = "Messages wait meanwhile. cloister reload checks the settings, and starts it."
		}
		c.clear("connector.down")
		c.raise("connector.quarantined", health.Degraded, summary, hint)
	} else {
		c.raise("connector.down", health.Degraded,
			fmt.Sprintf("Connector %s is being restarted: %s", c.i.subject(), text), "Messages wait meanwhile. If it stays, see the log for what the connector printed.")
	}
	c.h.o.Logger.Warn("a connector failed", "connector", c.i.subject(), "plugin", c.i.Plugin, "state", string(state), "again_in", wait.Round(time.Millisecond).String(), "error", text)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.wake:
	case <-c.ctx.Done():
		return false
	}
	return true
}

// watch waits for a process's end and says why it came; nil means quit.
func (c *Connector) watch(p *process) error {
	t := c.h.o.timing
	ctx, cancel := context.WithCancel(c.ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer cancel()
	checked := make(chan error, 1)
	check := func() { busy.Go(func() { checked <- p.check(ctx) }) }
	check()
	var recheck <-chan time.Time

	pinged := make(chan error, 1)
	tick := time.NewTicker(t.pingEvery)
	defer tick.Stop()
	pinging, missed := false, 0
	look := time.NewTicker(temporaryEvery)
	defer look.Stop()
	ping := func() {
		pinging = true
		busy.Go(func() { pinged <- p.ping(ctx) })
	}
	for {
		select {
		case <-c.ctx.Done():
			return nil
		case <-p.run.exited:
			return fmt.Errorf("%w: it %s", ErrBroken, p.run.ending())
		case q := <-c.hung:
			if q != p {
				continue // of an earlier process
			}
			return fmt.Errorf("%w: a batch was not answered in time", ErrBroken)
		case <-tick.C:
			if !pinging {
				ping()
			}
		case <-look.C:
			if what := p.run.overfull(); what != "" {
				return fmt.Errorf("%w: its temporary folder holds %s", ErrBroken, what)
			}
		case err := <-pinged:
			pinging = false
			if err == nil {
				missed = 0
				continue
			}
			if missed++; missed < 2 {
				ping()
				continue
			}
			// One that has just ended does not answer either, and that it ended says more.
			if status.Code(err) != codes.DeadlineExceeded {
				p.run.await(t.kill)
			}
			if _, ended := p.run.ended(); ended {
				return fmt.Errorf("%w: it %s", ErrBroken, p.run.ending())
			}
			return fmt.Errorf("%w: it does not answer: %w", ErrBroken, err)
		case err := <-checked:
			if err == nil || status.Code(err) == codes.Unimplemented {
				c.reached(nil)
				recheck = nil
				continue
			}
			if ctx.Err() == nil {
				c.reached(err)
			}
			recheck = time.After(t.recheck)
		case <-recheck:
			recheck = nil
			check()
		}
	}
}

// reached notes whether the provider was reached, nil = it was.
func (c *Connector) reached(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	c.mu.Lock()
	c.unreachable = why
	c.mu.Unlock()
	if err == nil {
		c.clear("connector.unreachable")
		return
	}
	c.raise("connector.unreachable", health.Warning,
		fmt.Sprintf("Connector %s does not reach its provider: %s", c.i.subject(), why), "Look at its settings, at the provider, and at the firewall between.")
}

func (c *Connector) raise(code string, s health.Severity, summary, hint string) {
	c.mu.Lock()
	c.raised[code] = true
	c.mu.Unlock()
	c.h.o.Board.Raise(health.Problem{Code: code, Subject: c.i.subject(), Severity: s, Summary: summary, Hint: hint})
}

// clear takes back what this connector raised.
func (c *Connector) clear(codes ...string) {
	for _, code := range codes {
		c.mu.Lock()
		was := c.raised[code]
		delete(c.raised, code)
		c.mu.Unlock()
		if was {
			c.h.o.Board.Clear(code, c.i.subject())
		}
	}
}

func (c *Connector) clearAll() {
	c.clear("connector.down", "connector.quarantined", "connector.unreachable")
}
