package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// senders are one publisher's connectors, swapped when the configuration
// changes. Delivery chooses among them.
type senders struct {
	host      *host.Host
	publisher string
	log       *slog.Logger

	mu      sync.RWMutex // held for reading by every use, so that a swap waits for none but sees all
	running []running

	collecting collecting
}

// running is one connector with the configuration that started it.
type running struct {
	cfg   config.Connector
	route delivery.Route
	conn  *host.Connector
}

// errNoConnector: a connector is not configured any more.
var errNoConnector = errors.New("this connector is not configured any more")

func (s *senders) start(ctx context.Context, c config.Connector) (running, error) {
	conn, err := s.host.Start(ctx, instanceOf(s.publisher, c))
	if err != nil {
		return running{}, fmt.Errorf("publisher %q, connector %q %q: %w", s.publisher, c.Channel, c.Name, err)
	}
	return running{cfg: c, route: routeOf(c), conn: conn}, nil
}

// startAnyway starts a connector, or has it started as soon as that works. One that
// could not be asked about its settings is not waited for once more.
func (s *senders) startAnyway(ctx context.Context, c config.Connector) (running, error) {
	if !c.Unchecked {
		r, err := s.start(ctx, c)
		if err == nil {
			return r, nil
		}
		s.log.Error("a connector did not start; trying again", "connector", c.Name, "error", err)
	}
	conn, err := s.host.StartLater(instanceOf(s.publisher, c))
	return running{cfg: c, route: routeOf(c), conn: conn}, err
}

func instanceOf(publisher string, c config.Connector) host.Instance {
	return host.Instance{
		Publisher: publisher, Channel: c.Channel, Name: c.Name, Plugin: c.Plugin, SHA256: c.SHA256, Unchecked: c.Unchecked,
		// Rates are delivery's, which holds no attempts while it waits.
		Settings: c.Settings, Platforms: c.Platforms, Hosts: c.Hosts, OwnNetwork: c.OwnNetwork,
		Require: sandbox.Grade(max(0, slices.Index(config.Grades, c.Require))),
		Limits:  sandbox.Limits{Memory: uint64(c.Bounds.Memory), Threads: uint64(c.Bounds.Threads), Processor: c.Bounds.Processor},
	}
}

// Routes are the connectors of a channel, in the order of the configuration.
func (s *senders) Routes(channel string) []delivery.Route {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []delivery.Route
	for _, r := range s.running {
		if r.cfg.Channel == channel {
			out = append(out, r.route)
		}
	}
	return out
}

// routeOf is what delivery chooses by.
func routeOf(c config.Connector) delivery.Route {
	r := delivery.Route{Name: c.Name, Platforms: c.Platforms, Classes: c.Classes, Weight: c.Weight, Standby: c.Standby, Rate: c.Rate}
	for _, d := range c.Domains {
		r.Domains = append(r.Domains, delivery.DomainRate{Domains: d.Names, Rate: d.Rate})
	}
	return r
}

// Send hands a batch to a connector.
func (s *senders) Send(ctx context.Context, channel, name string, batch []connector.Message) ([]connector.Outcome, error) {
	c := s.find(channel, name)
	if c == nil {
		return nil, &delivery.Unsent{Err: errNoConnector} // it was removed a moment ago
	}
	outs, err := c.Send(ctx, batch)
	if unsent := (*host.NotSent)(nil); errors.As(err, &unsent) {
		err = &delivery.Unsent{Err: unsent.Err}
	}
	return outs, err
}

// Forget tells every connector of a channel that these addresses are to be
// forgotten.
func (s *senders) Forget(ctx context.Context, addresses []event.Address) error {
	byChannel := map[string][]string{}
	for _, a := range addresses {
		byChannel[a.Channel] = append(byChannel[a.Channel], a.Value)
	}
	s.mu.RLock()
	all := slices.Clone(s.running)
	s.mu.RUnlock()
	var errs []error
	for _, r := range all {
		if list := byChannel[r.cfg.Channel]; len(list) > 0 {
			if err := r.conn.Forget(ctx, list); err != nil && !errors.Is(err, host.ErrUnsupported) {
				errs = append(errs, fmt.Errorf("connector %q: %w", r.cfg.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// put sets the connectors of a house that is being built.
func (s *senders) put(all []running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = all
}

// swap puts others in place of the running ones and drains those that go.
func (s *senders) swap(ctx context.Context, next []running) {
	s.mu.Lock()
	old := s.running
	s.running = next
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, r := range old {
		if slices.ContainsFunc(next, func(n running) bool { return n.conn == r.conn }) {
			continue
		}
		wg.Go(func() {
			if err := r.conn.Drain(ctx); err != nil {
				s.log.Warn("a connector was not drained in time; what it was sending is unknown", "connector", r.cfg.Name, "error", err)
			}
		})
	}
	wg.Wait()
}

// statuses describes the running connectors.
func (s *senders) statuses() []host.Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]host.Status, 0, len(s.running))
	for _, r := range s.running {
		out = append(out, r.conn.Status())
	}
	return out
}

// find gives a connector by name; channel "" is any.
func (s *senders) find(channel, name string) *host.Connector {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.running {
		if r.cfg.Name == name && (channel == "" || r.cfg.Channel == channel) {
			return r.conn
		}
	}
	return nil
}

// webPushKey is that of the first connector that has one, "" = there is none,
// or it has not run yet.
func (s *senders) webPushKey() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.running {
		if key := r.conn.Given().WebPushKey; key != "" {
			return key
		}
	}
	return ""
}

// webPushKeys are those of the connectors that have one, by their names.
func (s *senders) webPushKeys() map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := map[string]string{}
	for _, r := range s.running {
		if key := r.conn.Given().WebPushKey; key != "" {
			keys[r.cfg.Name] = key
		}
	}
	return keys
}

// all gives the connectors that run, or are to.
func (s *senders) all() []*host.Connector {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return conns(s.running)
}

func conns(of []running) []*host.Connector {
	out := make([]*host.Connector, 0, len(of))
	for _, r := range of {
		out = append(out, r.conn)
	}
	return out
}
