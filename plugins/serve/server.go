package serve

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// server answers connector.v1 with a connector.
type server struct {
	connectorpb.UnimplementedConnectorServer
	c connector.Connector

	mu    sync.Mutex
	stage stage
}

type stage int

const (
	fresh stage = iota
	configuring
	ready
	drained
)

func newServer(c connector.Connector) *server { return &server{c: c} }

func (s *server) Describe(context.Context, *connectorpb.DescribeRequest) (*connectorpb.DescribeReply, error) {
	schema, err := connectorpb.FromSchema(s.c.Schema())
	if err != nil {
		return nil, status.Errorf(codes.Internal, "the connector's schema: %v", err)
	}
	_, receives := s.c.(connector.Receiver)
	_, forgets := s.c.(connector.Forgetter)
	_, returns := s.c.(connector.Returner)
	_, collects := s.c.(connector.Collector)
	return &connectorpb.DescribeReply{
		Description: connectorpb.FromDescription(s.c.Describe()), Schema: schema,
		Receives: receives, Forgets: forgets, Returns: returns, Collects: collects,
	}, nil
}

func (s *server) Configure(ctx context.Context, r *connectorpb.ConfigureRequest) (*connectorpb.ConfigureReply, error) {
	s.mu.Lock()
	if s.stage != fresh {
		s.mu.Unlock()
		return nil, status.Error(codes.FailedPrecondition, "configured already")
	}
	s.stage = configuring
	s.mu.Unlock()
	settings, err := connectorpb.DecodeSettings(s.c.Schema(), r.GetSettingsJson())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	problems, err := s.c.Configure(ctx, settings)
	if err != nil {
		return nil, failure(err)
	}
	reply := &connectorpb.ConfigureReply{}
	wrong := false
	for _, p := range problems {
		reply.Problems = append(reply.Problems, connectorpb.FromProblem(p))
		wrong = wrong || p.Severity == connector.SeverityError
	}
	if wrong {
		return reply, nil
	}
	if w, ok := s.c.(connector.WebPusher); ok {
		reply.WebPushKey = w.WebPushKey()
	}
	if r, ok := s.c.(connector.Returner); ok {
		reply.MailDomains = r.MailDomains()
	}
	s.mu.Lock()
	s.stage = ready
	s.mu.Unlock()
	return reply, nil
}

// ready refuses a call that comes before Configure or after Drain.
func (s *server) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.stage {
	case ready:
		return nil
	case drained:
		return status.Error(codes.FailedPrecondition, "drained")
	}
	return status.Error(codes.FailedPrecondition, "not configured")
}

func (s *server) Check(ctx context.Context, _ *connectorpb.CheckRequest) (*connectorpb.CheckReply, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := s.c.Check(ctx); err != nil {
		return nil, failure(err)
	}
	return &connectorpb.CheckReply{}, nil
}

func (s *server) Send(ctx context.Context, r *connectorpb.SendRequest) (*connectorpb.SendReply, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	batch := make([]connector.Message, 0, len(r.GetMessages()))
	for _, m := range r.GetMessages() {
		batch = append(batch, connectorpb.ToMessage(m))
	}
	if len(batch) == 0 {
		return &connectorpb.SendReply{}, nil
	}
	outcomes, err := s.c.Send(ctx, batch)
	if err != nil {
		return nil, failure(err)
	}
	reply := &connectorpb.SendReply{}
	for _, o := range outcomes {
		reply.Outcomes = append(reply.Outcomes, connectorpb.FromOutcome(o))
	}
	return reply, nil
}

func (s *server) Receipts(ctx context.Context, r *connectorpb.ReceiptsRequest) (*connectorpb.ReceiptsReply, error) {
	receiver, ok := s.c.(connector.Receiver)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this connector's provider sends no receipts")
	}
	if err := s.ready(); err != nil {
		return nil, err
	}
	answer, err := receiver.Receipts(ctx, connectorpb.ToWebhook(r))
	if err != nil {
		return nil, failure(err)
	}
	return connectorpb.FromAnswer(answer), nil
}

func (s *server) Returned(ctx context.Context, r *connectorpb.ReturnedRequest) (*connectorpb.ReceiptsReply, error) {
	returner, ok := s.c.(connector.Returner)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "no mail comes back to this connector")
	}
	if err := s.ready(); err != nil {
		return nil, err
	}
	receipts, err := returner.Returned(ctx, connector.Mail{From: r.GetFrom(), To: r.GetTo(), Message: r.GetMessage()})
	if err != nil {
		return nil, failure(err)
	}
	return connectorpb.FromAnswer(connector.Answer{Receipts: receipts}), nil
}

func (s *server) Collect(ctx context.Context, r *connectorpb.CollectRequest) (*connectorpb.CollectReply, error) {
	collector, ok := s.c.(connector.Collector)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this connector has no receipts to collect")
	}
	if err := s.ready(); err != nil {
		return nil, err
	}
	receipts, token, err := collector.Collect(ctx, r.GetAck())
	if err != nil {
		return nil, failure(err)
	}
	return &connectorpb.CollectReply{Receipts: connectorpb.FromAnswer(connector.Answer{Receipts: receipts}).GetReceipts(), Token: token}, nil
}

func (s *server) Forget(ctx context.Context, r *connectorpb.ForgetRequest) (*connectorpb.ForgetReply, error) {
	forgetter, ok := s.c.(connector.Forgetter)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this connector keeps nothing")
	}
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := forgetter.Forget(ctx, r.GetAddresses()); err != nil {
		return nil, failure(err)
	}
	return &connectorpb.ForgetReply{}, nil
}

func (s *server) Drain(ctx context.Context, _ *connectorpb.DrainRequest) (*connectorpb.DrainReply, error) {
	s.mu.Lock()
	was := s.stage
	s.stage = drained
	s.mu.Unlock()
	if was != ready {
		return &connectorpb.DrainReply{}, nil
	}
	if err := s.c.Drain(ctx); err != nil {
		return nil, failure(err)
	}
	return &connectorpb.DrainReply{}, nil
}

// failure is the connector's own error on the wire.
func failure(err error) error {
	code := codes.Unknown
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.Aborted // not DeadlineExceeded, which means that we hung
	}
	if errors.Is(err, connector.ErrForged) {
		code = codes.PermissionDenied
	}
	return status.Error(code, connectorpb.Clean(err.Error(), connectorpb.MaxError))
}
