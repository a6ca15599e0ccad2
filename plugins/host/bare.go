package host

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// Bare is a connector's process without anything in between: nothing is
// matched, bounded, retried or restarted. It is for the conformance suite.
type Bare struct {
	p *process
	a *about
}

// Bare starts a process of a plugin, confined as an instance with these
// settings is but not configured. End it with Kill.
func (h *Host) Bare(ctx context.Context, plugin string, s connector.Settings) (*Bare, error) {
	bin, err := h.open(plugin, "")
	if err != nil {
		return nil, err
	}
	defer bin.Close()
	a, err := h.describe(ctx, bin)
	if err != nil {
		return nil, err
	}
	policy, _ := a.policy(s, nil) // what is wrong with it, the connector is to say itself
	for _, dir := range a.folders(s) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("connector %q: %w", plugin, err)
		}
		policy.Write = append(policy.Write, dir)
	}
	p, err := h.launch(ctx, bin, plugin, policy)
	if err != nil {
		return nil, err
	}
	return &Bare{p, a}, nil
}

// Receives says whether the connector implements connector.Receiver.
func (b *Bare) Receives() bool { return b.a.receives }

// Forgets says whether the connector implements connector.Forgetter.
func (b *Bare) Forgets() bool { return b.a.forgets }

// Returns says whether the connector implements connector.Returner.
func (b *Bare) Returns() bool { return b.a.returns }

// Collects says whether the connector implements connector.Collector.
func (b *Bare) Collects() bool { return b.a.collects }

// Configure hands over settings.
func (b *Bare) Configure(ctx context.Context, s connector.Settings) ([]connector.Problem, error) {
	return b.p.configure(ctx, s)
}

// Check tries to reach the provider.
func (b *Bare) Check(ctx context.Context) error { return b.p.check(ctx) }

// Send sends a batch in one call. An outcome that is outside the contract's
// bounds is an error.
func (b *Bare) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	req := &connectorpb.SendRequest{}
	for _, m := range batch {
		req.Messages = append(req.Messages, connectorpb.FromMessage(m))
	}
	r, err := call(ctx, b.p.h.o.timing.send, func(ctx context.Context) (*connectorpb.SendReply, error) { return b.p.rpc.Send(ctx, req) })
	if err != nil {
		return nil, rpcError(err)
	}
	var outs []connector.Outcome
	for i, q := range r.GetOutcomes() {
		o := connectorpb.ToOutcome(q)
		if o.Reason != q.GetReason() {
			return nil, fmt.Errorf("outcome %d: the reason is longer than %d bytes or not one line of text", i, connectorpb.MaxReason)
		}
		if o.Result == connector.Refused && string(o.Class) != q.GetClass() {
			return nil, fmt.Errorf("outcome %d: class %q is not one of the contract's", i, connectorpb.Clean(q.GetClass(), 64))
		}
		if o.Result == connector.Accepted && o.ProviderID != q.GetProviderId() {
			return nil, fmt.Errorf("outcome %d: the provider's id is longer than %d bytes or not one line of text", i, connectorpb.MaxProviderID)
		}
		outs = append(outs, o)
	}
	return outs, nil
}

// Receipts hands over a provider's request.
func (b *Bare) Receipts(ctx context.Context, w connector.Webhook) error {
	_, err := call(ctx, b.p.h.o.timing.receipts, func(ctx context.Context) (*connectorpb.ReceiptsReply, error) {
		return b.p.rpc.Receipts(ctx, connectorpb.FromWebhook(w))
	})
	return rpcError(err)
}

// Returned hands over a mail that came back.
func (b *Bare) Returned(ctx context.Context, m connector.Mail) error {
	_, err := call(ctx, b.p.h.o.timing.receipts, func(ctx context.Context) (*connectorpb.ReceiptsReply, error) {
		return b.p.rpc.Returned(ctx, &connectorpb.ReturnedRequest{From: m.From, To: m.To, Message: m.Message})
	})
	return rpcError(err)
}

// Collect waits for receipts.
func (b *Bare) Collect(ctx context.Context, ack string) ([]connector.Receipt, string, error) {
	r, err := call(ctx, b.p.h.o.timing.collect, func(ctx context.Context) (*connectorpb.CollectReply, error) {
		return b.p.rpc.Collect(ctx, &connectorpb.CollectRequest{Ack: ack})
	})
	return connectorpb.ToReceipts(r.GetReceipts()), r.GetToken(), rpcError(err)
}

// Forget has addresses forgotten.
func (b *Bare) Forget(ctx context.Context, addresses []string) error {
	_, err := call(ctx, b.p.h.o.timing.forget, func(ctx context.Context) (*connectorpb.ForgetReply, error) {
		return b.p.rpc.Forget(ctx, &connectorpb.ForgetRequest{Addresses: addresses})
	})
	return rpcError(err)
}

// Drain ends what was begun.
func (b *Bare) Drain(ctx context.Context) error {
	_, err := call(ctx, b.p.h.o.timing.drain, func(ctx context.Context) (*connectorpb.DrainReply, error) {
		return b.p.rpc.Drain(ctx, &connectorpb.DrainRequest{})
	})
	return rpcError(err)
}

// Alive says whether the process still answers.
func (b *Bare) Alive(ctx context.Context) error { return b.p.ping(ctx) }

// Kill ends the process and waits for it.
func (b *Bare) Kill() { b.p.stop() }

// WasPrecondition says whether an error means that the call came too early or
// too late.
func WasPrecondition(err error) bool { return status.Code(err) == codes.FailedPrecondition }
