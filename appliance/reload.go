package appliance

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/console"
	"github.com/cloisterhq/cloister/config"
)

// Reload reads the configuration again and carries out what changed: what is
// new is built and proven first, then swapped in, then what it replaces is
// drained. On any failure the old configuration stays in force, whole. What
// cannot change while the appliance runs is named in Restart and left as it is.
func (a *appliance) Reload(ctx context.Context) (console.Reloaded, error) {
	a.reloads.Lock()
	defer a.reloads.Unlock()
	var text strings.Builder
	next, ds := config.Load(a.configPaths(), config.LoadOptions{Connectors: a.host, DataDir: a.dataDir()})
	if ds.HasErrors() {
		if err := ds.WriteText(&text, false); err != nil {
			return console.Reloaded{}, err
		}
		return console.Reloaded{}, &console.BadConfig{Text: text.String()}
	}
	old := a.cfg.Load()
	out := console.Reloaded{Applied: []string{}, Restart: append([]string{}, needRestart(old, next)...)}
	keepUntilRestart(old, next)
	plan, err := a.houses.prove(ctx, old, next)
	if err != nil {
		return console.Reloaded{}, &console.BadConfig{Text: err.Error()}
	}
	a.cfg.Store(next)
	out.Applied = append(out.Applied, a.houses.carryOut(ctx, next, plan)...)
	if old.Appliance.LogLevel != next.Appliance.LogLevel && a.o.Level != nil {
		a.o.Level.Set(next.Appliance.LogLevel)
		out.Applied = append(out.Applied, "appliance log_level")
	}
	a.log.Info("the configuration was read again", "applied", out.Applied, "restart", out.Restart)
	return out, nil
}

// keepUntilRestart puts back what only takes effect at the next start, so that
// nothing that is opened meanwhile follows half of it.
func keepUntilRestart(old, next *config.Config) {
	url, level := next.Appliance.PublicURL, next.Appliance.LogLevel
	next.Appliance = old.Appliance
	next.Appliance.PublicURL, next.Appliance.LogLevel = url, level
	next.Keyring, next.Listeners = old.Keyring, old.Listeners
}

func (a *appliance) configPaths() []string {
	if a.o.Demo != nil {
		return []string{a.demoPath()}
	}
	return a.o.ConfigPaths
}

// needRestart names what changed and only takes effect at the next start.
func needRestart(old, next *config.Config) (out []string) {
	if old.Appliance.Name != next.Appliance.Name || old.Appliance.DiskReserve != next.Appliance.DiskReserve ||
		old.Appliance.DataDir != next.Appliance.DataDir || !slices.Equal(old.Appliance.Connectors, next.Appliance.Connectors) {
		out = append(out, "appliance")
	}
	if old.Keyring.File != next.Keyring.File {
		out = append(out, "keyring")
	}
	for _, l := range next.Listeners {
		was := old.Listener(l.Name)
		l.Range, was.Range = config.Range{}, config.Range{}
		l.Limits.Range, was.Limits.Range = config.Range{}, config.Range{}
		if l.TLS != nil && was.TLS != nil {
			t, w := *l.TLS, *was.TLS
			t.Range, w.Range = config.Range{}, config.Range{}
			l.TLS, was.TLS = &t, &w
		}
		if !reflect.DeepEqual(l, was) {
			out = append(out, fmt.Sprintf("listener %q", l.Name))
		}
	}
	for _, was := range old.Listeners { // that for mail is not there where nobody writes it
		if !slices.ContainsFunc(next.Listeners, func(l config.Listener) bool { return l.Name == was.Name }) {
			out = append(out, fmt.Sprintf("listener %q", was.Name))
		}
	}
	return out
}

// change is what becomes of one publisher.
type change struct {
	name       string
	old        *house            // nil = it is new
	next       *config.Publisher // nil = it goes
	rooms      bool              // its rooms must be opened again
	started    []running         // connectors that were started for it
	connectors []running         // all it has from now on
	opened     *house            // it is new, and open already
}

// nothing says that a publisher stays as it is.
func (c *change) nothing() bool {
	return !c.rooms && len(c.started) == 0 && sameRoutes(c.old.cfg.Connectors, c.next.Connectors) && sameDoor(&c.old.cfg, c.next)
}

// prove starts what a new configuration needs, without touching what runs:
// publishers that are new, and connectors. On an error nothing of it runs any
// more.
func (h *houses) prove(ctx context.Context, old, next *config.Config) (plan []change, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.undo(ctx, plan))
		}
	}()
	running := h.list()
	moved := publicURL(old) != publicURL(next)
	for i := range next.Publishers {
		p := &next.Publishers[i]
		c := change{name: p.Name, old: h.find(p.Name), next: p}
		if c.old == nil {
			if err = h.open(ctx, next, p, false); err == nil {
				c.opened = h.find(p.Name)
			}
		} else {
			c.rooms = moved || !reflect.DeepEqual(roomsOf(&c.old.cfg), roomsOf(p))
			err = c.startConnectors(ctx)
		}
		plan = append(plan, c)
		if err != nil {
			return plan, err
		}
	}
	for _, one := range running {
		if !slices.ContainsFunc(next.Publishers, func(p config.Publisher) bool { return p.Name == one.cfg.Name }) {
			plan = append(plan, change{name: one.cfg.Name, old: one})
		}
	}
	return plan, nil
}

// undo ends what prove started.
func (h *houses) undo(ctx context.Context, plan []change) error {
	var errs []error
	for _, c := range plan {
		if c.opened != nil {
			h.remove(ctx, c.opened)
		}
		for _, r := range c.started {
			errs = append(errs, r.conn.Close())
		}
	}
	return errors.Join(errs...)
}

// startConnectors starts those that do not run already as they are wanted.
func (c *change) startConnectors(ctx context.Context) error {
	for _, want := range c.next.Connectors {
		r, ok := c.old.senders.same(want)
		if !ok {
			var err error
			if r, err = c.old.senders.start(ctx, want); err != nil {
				return err
			}
			c.started = append(c.started, r)
		}
		c.connectors = append(c.connectors, r)
	}
	return nil
}

// carryOut swaps in what was proven.
func (h *houses) carryOut(ctx context.Context, cfg *config.Config, plan []change) (applied []string) {
	for _, c := range plan {
		what := fmt.Sprintf("publisher %q", c.name)
		switch {
		case c.opened != nil:
			what += " added"
		case c.next == nil:
			what += " removed; its data stays"
			h.remove(ctx, c.old)
		case c.nothing():
			continue
		default:
			h.change(ctx, cfg, c)
		}
		applied = append(applied, what)
	}
	return applied
}

// sameDoor says whether what apps meet is the same.
func sameDoor(a, b *config.Publisher) bool {
	return reflect.DeepEqual(rulesOf(a), rulesOf(b)) && a.WebPushKey == b.WebPushKey &&
		a.Limits.KeyRequests == b.Limits.KeyRequests && a.Limits.KeyRate == b.Limits.KeyRate && slices.EqualFunc(a.Keys, b.Keys, func(x, y config.Key) bool {
		return x.ID == y.ID && x.Secret == y.Secret && slices.Equal(x.Allow, y.Allow)
	})
}

// sameRoutes says whether delivery uses the same connectors in the same way.
func sameRoutes(a, b []config.Connector) bool {
	return slices.EqualFunc(a, b, func(x, y config.Connector) bool {
		return x.Channel == y.Channel && reflect.DeepEqual(routeOf(x), routeOf(y))
	})
}

// same finds a running connector that was started with the same configuration.
func (s *senders) same(want config.Connector) (running, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.running {
		if reflect.DeepEqual(instanceOf(s.publisher, r.cfg), instanceOf(s.publisher, want)) {
			r.cfg, r.route = want, routeOf(want) // how it is used may have changed all the same
			return r, true
		}
	}
	return running{}, false
}
