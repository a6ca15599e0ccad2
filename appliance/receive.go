package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cloisterhq/cloister/appliance/receipts"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
)

// source finds a connector for the door of providers.
func (a *appliance) source(publisher, name string) (receipts.Source, bool) {
	one := a.houses.find(publisher)
	if one == nil {
		return receipts.Source{}, false
	}
	c := one.senders.find("", name)
	if c == nil {
		return receipts.Source{}, false
	}
	return one.source(c), true
}

// source is a connector as the door of providers knows it.
func (o *house) source(c *host.Connector) receipts.Source {
	i := c.Instance()
	s := receipts.Source{Publisher: o.cfg.Name, Channel: i.Channel, Name: i.Name, Connector: receiver{c}}
	if p := o.rooms.now.Load(); p != nil {
		s.Tell = func(ctx context.Context, rs []connector.Receipt) error {
			return p.Delivery().Receipts(ctx, i.Channel, i.Name, rs)
		}
	}
	return s
}

// sourcesOfMail finds the connectors that a domain's mail is for.
func (a *appliance) sourcesOfMail(domain string) (out []receipts.Source) {
	for _, one := range a.houses.list() {
		for _, c := range one.senders.all() {
			if c.Returns() && slices.Contains(c.Given().MailDomains, domain) {
				out = append(out, one.source(c))
			}
		}
	}
	return out
}

// receiver is a connector, with the host's errors as the door knows them.
type receiver struct{ *host.Connector }

func (r receiver) Receipts(ctx context.Context, w connector.Webhook) (connector.Answer, error) {
	a, err := r.Connector.Receipts(ctx, w)
	return a, known(err)
}

func (r receiver) Returned(ctx context.Context, m connector.Mail) ([]connector.Receipt, error) {
	rs, err := r.Connector.Returned(ctx, m)
	return rs, known(err)
}

func (r receiver) Collect(ctx context.Context, ack string) ([]connector.Receipt, string, error) {
	rs, token, err := r.Connector.Collect(ctx, ack)
	return rs, token, known(err)
}

func known(err error) error {
	switch {
	case errors.Is(err, host.ErrUnsupported):
		return fmt.Errorf("%w: %w", receipts.ErrUnsupported, err)
	case errors.Is(err, host.ErrNotRunning), errors.Is(err, host.ErrClosed):
		return fmt.Errorf("%w: %w", receipts.ErrAway, err)
	}
	return err
}

// collecting is what goes on to fetch receipts from a publisher's connectors: one
// goroutine each, which ends by itself where there is nothing to fetch.
type collecting struct {
	mu    sync.Mutex
	begun map[*host.Connector]stop
}

// stop ends one, and waits for it.
type stop func()

// only has it go on for these connectors and no others. run is not to return
// before its context ends, unless it is of no more use.
func (g *collecting) only(these []*host.Connector, run func(context.Context, *host.Connector)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, end := range g.begun {
		if !slices.Contains(these, c) {
			end()
			delete(g.begun, c)
		}
	}
	for _, c := range these {
		if g.begun[c] != nil {
			continue
		}
		if g.begun == nil {
			g.begun = make(map[*host.Connector]stop)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			run(ctx, c)
		}()
		g.begun[c] = func() { cancel(); <-ended }
	}
}

// collect has receipts fetched from these connectors and no others.
func (o *house) collect(these []*host.Connector) {
	o.senders.collecting.only(these, func(ctx context.Context, c *host.Connector) {
		o.a.providers.Collect(ctx, func() receipts.Source { return o.source(c) })
	})
}
