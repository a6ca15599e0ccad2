package main

import (
	"context"
	"runtime"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// smtp hands e-mail to a relay.
//
// Failure rules: a message counts as accepted when the relay has said so after
// its last byte. A connection that is lost before that byte sent nothing; one
// that is lost between it and the answer leaves that message, and no other,
// unknown. When the time of a batch is over, what was not begun comes again.
type smtp struct {
	c     config
	pool  *pool
	cores chan struct{}    // one for each message that is being composed
	now   func() time.Time // nil = time.Now
}

// Describe implements connector.Connector.
func (s *smtp) Describe() connector.Description {
	return connector.Description{
		Name:     "smtp",
		Version:  "0.1.0",
		Summary:  "Sends e-mail through an SMTP relay.",
		Channels: []string{"email"},
		Batch:    200,
		Network:  true,
	}
}

// Configure implements connector.Connector.
func (s *smtp) Configure(_ context.Context, settings connector.Settings) ([]connector.Problem, error) {
	c, problems := read(settings)
	s.c = c
	s.pool = newPool(&s.c)
	s.cores = make(chan struct{}, runtime.GOMAXPROCS(0))
	return problems, nil
}

// Check implements connector.Connector: it connects, encrypts, signs in, and
// sends nothing.
func (s *smtp) Check(ctx context.Context) error {
	k, err := s.c.dial(ctx)
	if err != nil {
		return err
	}
	k.quit()
	return nil
}

func (s *smtp) time() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}

// Drain implements connector.Connector.
func (s *smtp) Drain(context.Context) error {
	s.pool.close()
	return nil
}
