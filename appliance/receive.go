package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	return a, unsupported(err)
}

func (r receiver) Returned(ctx context.Context, m connector.Mail) ([]connector.Receipt, error) {
	rs, err := r.Connector.Returned(ctx, m)
	return rs, unsupported(err)
}

func (r receiver) Collect(ctx context.Context, ack string) ([]connector.Receipt, string, error) {
	rs, token, err := r.Connector.Collect(ctx, ack)
	return rs, token, unsupported(err)
}

func unsupported(err error) error {
	if errors.Is(err, host.ErrUnsupported) {
		return fmt.Errorf("%w: %w", receipts.ErrUnsupported, err)
	}
	return err
}
