package serve

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// What happens over the wire, with a real process, is tested in plugins/host;
// here is what a connector's author relies on.

func TestMain(m *testing.M) {
	if os.Getenv("SERVE_BY_HAND") != "" {
		Run(&relay{})
	}
	os.Exit(m.Run())
}

type relay struct {
	settings connector.Settings
	problems []connector.Problem
	err      error
	drained  int
	sent     int
}

func (r *relay) Describe() connector.Description {
	return connector.Description{Name: "relay", Version: "1.2.3", Summary: "Sends by relay.", Channels: []string{"sms"}, Batch: 7, Network: true}
}

func (r *relay) Schema() connector.Schema {
	return connector.Schema{Settings: []connector.Setting{{Name: "host", Type: connector.TypeString, Doc: "Host."}}}
}

func (r *relay) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	r.settings = s
	return r.problems, r.err
}

func (r *relay) Check(context.Context) error { return r.err }

func (r *relay) Send(_ context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	r.sent += len(batch)
	return []connector.Outcome{{ID: batch[0].ID, Result: connector.Accepted}}, r.err
}

func (r *relay) Drain(context.Context) error { r.drained++; return r.err }

func TestByHand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "SERVE_BY_HAND=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"relay 1.2.3: Sends by relay.", "connector of Cloister for sms", `connector "sms" "main"`, `plugin = "relay"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestStages(t *testing.T) {
	ctx := t.Context()
	r := &relay{}
	s := newServer(r)
	send := &connectorpb.SendRequest{Messages: []*connectorpb.Message{{Id: "a"}}}
	early := func() []error {
		_, a := s.Send(ctx, send)
		_, b := s.Check(ctx, nil)
		return []error{a, b}
	}
	for _, err := range early() {
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("before Configure: %v", err)
		}
	}
	d, err := s.Describe(ctx, nil)
	if err != nil || d.Description.Name != "relay" || !d.Description.Network || d.Receives || d.Forgets {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := s.Configure(ctx, &connectorpb.ConfigureRequest{SettingsJson: []byte(`{"host":"a"}`)}); err != nil || r.settings.Text("host") != "a" {
		t.Errorf("%v, settings %v", err, r.settings)
	}
	if _, err := s.Configure(ctx, &connectorpb.ConfigureRequest{SettingsJson: []byte(`{}`)}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("twice: %v", err)
	}
	if out, err := s.Send(ctx, send); err != nil || len(out.Outcomes) != 1 {
		t.Errorf("%v, %v", out, err)
	}
	if out, err := s.Send(ctx, &connectorpb.SendRequest{}); err != nil || len(out.Outcomes) != 0 || r.sent != 1 {
		t.Errorf("an empty batch: %v, %v", out, err)
	}
	if _, err := s.Receipts(ctx, nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("receipts: %v", err)
	}
	if _, err := s.Forget(ctx, nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("forget: %v", err)
	}
	for range 2 {
		if _, err := s.Drain(ctx, nil); err != nil {
			t.Error(err)
		}
	}
	if r.drained != 1 {
		t.Errorf("drained %d times", r.drained)
	}
	for _, err := range early() {
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("after Drain: %v", err)
		}
	}
}

// Settings that the connector rejects, or that cannot be, never let it send.
func TestNotReady(t *testing.T) {
	for name, c := range map[string]struct {
		r    *relay
		json string
	}{
		"problem":  {&relay{problems: []connector.Problem{{Path: []string{"host"}, Summary: "no"}}}, `{}`},
		"failure":  {&relay{err: errors.New("no")}, `{}`},
		"unknown":  {&relay{}, `{"port":5}`},
		"not JSON": {&relay{}, `{`},
	} {
		s := newServer(c.r)
		_, _ = s.Configure(t.Context(), &connectorpb.ConfigureRequest{SettingsJson: []byte(c.json)})
		if _, err := s.Send(t.Context(), &connectorpb.SendRequest{Messages: []*connectorpb.Message{{}}}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Drain(t.Context(), nil); err != nil || c.r.drained != 0 {
			t.Errorf("%s: drained %d times, %v", name, c.r.drained, err)
		}
	}
	// A warning does.
	s := newServer(&relay{problems: []connector.Problem{{Severity: connector.SeverityWarning}}})
	if _, err := s.Configure(t.Context(), &connectorpb.ConfigureRequest{SettingsJson: []byte(`{}`)}); err != nil || s.ready() != nil {
		t.Errorf("a warning: %v, %v", err, s.ready())
	}
}

// An error that is not the wire's own must not be taken for a hang.
func TestFailure(t *testing.T) {
	if err := failure(context.DeadlineExceeded); status.Code(err) != codes.Aborted {
		t.Errorf("got %v", err)
	}
	if err := failure(errors.New(strings.Repeat("a\nb", 5000))); len(err.Error()) > 1200 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

func TestMargin(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, time.Second: 200 * time.Millisecond, 10 * time.Second: 2 * time.Second, time.Hour: 2 * time.Second,
	} {
		if got := margin(left); got != want {
			t.Errorf("margin(%s) = %s, want %s", left, got, want)
		}
	}
}
