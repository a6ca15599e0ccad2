package host

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// asked makes one call other than Send of a connector that can, what it is of
// whose doing ("receipts"). It fails with ErrUnsupported if the connector
// cannot, and with connector.ErrForged if it says that the provider did not
// send what it was given.
func asked[T any](ctx context.Context, c *Connector, what string, can func(*about) bool, limit time.Duration, f func(context.Context, connectorpb.ConnectorClient) (T, error)) (T, error) {
	var none T
	p, err := c.live()
	if err != nil {
		return none, fmt.Errorf("connector %s: %s: %w", c.i.subject(), what, err)
	}
	if !can(c.knows()) {
		return none, fmt.Errorf("connector %s: %s: %w", c.i.subject(), what, ErrUnsupported)
	}
	r, err := call(ctx, limit, func(ctx context.Context) (T, error) { return f(ctx, p.rpc) })
	switch {
	case status.Code(err) == codes.PermissionDenied:
		return none, fmt.Errorf("connector %s: %s: %w", c.i.subject(), what, connector.ErrForged)
	case err != nil:
		return none, fmt.Errorf("connector %s: %s: %w", c.i.subject(), what, rpcError(err))
	}
	return r, nil
}

// Receipts hands over a provider's raw request.
func (c *Connector) Receipts(ctx context.Context, w connector.Webhook) (connector.Answer, error) {
	r, err := asked(ctx, c, "receipts", func(a *about) bool { return a.receives }, c.h.o.timing.receipts,
		func(ctx context.Context, rpc connectorpb.ConnectorClient) (*connectorpb.ReceiptsReply, error) {
			return rpc.Receipts(ctx, connectorpb.FromWebhook(w))
		})
	if err != nil {
		return connector.Answer{}, err
	}
	return connectorpb.ToAnswer(r), nil
}

// Returned hands over a mail that came back, of which the first MaxMail bytes
// are enough.
func (c *Connector) Returned(ctx context.Context, m connector.Mail) ([]connector.Receipt, error) {
	r, err := asked(ctx, c, "returned mail", func(a *about) bool { return a.returns }, c.h.o.timing.receipts,
		func(ctx context.Context, rpc connectorpb.ConnectorClient) (*connectorpb.ReceiptsReply, error) {
			return rpc.Returned(ctx, &connectorpb.ReturnedRequest{From: m.From, To: m.To, Message: m.Message[:min(len(m.Message), connectorpb.MaxMail)]})
		})
	if err != nil {
		return nil, err
	}
	return connectorpb.ToReceipts(r.GetReceipts()), nil
}

// Collect waits for receipts that the connector got by its own connection.
// They come again until a later call gives their token as ack.
func (c *Connector) Collect(ctx context.Context, ack string) ([]connector.Receipt, string, error) {
	r, err := asked(ctx, c, "collecting receipts", func(a *about) bool { return a.collects }, c.h.o.timing.collect,
		func(ctx context.Context, rpc connectorpb.ConnectorClient) (*connectorpb.CollectReply, error) {
			return rpc.Collect(ctx, &connectorpb.CollectRequest{Ack: ack})
		})
	if err != nil {
		return nil, "", err
	}
	if n := len(r.GetReceipts()); n > connectorpb.MaxCollected {
		return nil, "", fmt.Errorf("connector %s: collecting receipts: %w: %d at once, at most %d are allowed", c.i.subject(), ErrBroken, n, connectorpb.MaxCollected)
	}
	return connectorpb.ToReceipts(r.GetReceipts()), r.GetToken(), nil
}

// Forget has the connector erase what it or its provider keeps of addresses.
func (c *Connector) Forget(ctx context.Context, addresses []string) error {
	_, err := asked(ctx, c, "forgetting", func(a *about) bool { return a.forgets }, c.h.o.timing.forget,
		func(ctx context.Context, rpc connectorpb.ConnectorClient) (*connectorpb.ForgetReply, error) {
			return rpc.Forget(ctx, &connectorpb.ForgetRequest{Addresses: addresses})
		})
	return err
}

// Given is what an instance said of itself when it was configured.
type Given struct {
	WebPushKey  string   // with which browsers subscribe; "" = it does no web push
	MailDomains []string // whose mail is to be given to Returned
}

// Given is known once the connector has run; it changes only with its settings.
func (c *Connector) Given() Given {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.given
}

// Receives says whether the connector reads its provider's webhook. It is known
// once the connector has run.
func (c *Connector) Receives() bool { a := c.knows(); return a != nil && a.receives }

// Collects says whether it is to be asked by Collect, known as Receives is.
func (c *Connector) Collects() bool { a := c.knows(); return a != nil && a.collects }

// Returns says whether it reads mail that came back, known as Receives is.
func (c *Connector) Returns() bool { a := c.knows(); return a != nil && a.returns }
