package conformance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/sandbox"
	"github.com/cloisterhq/cloister/plugins/serve"
)

// The test program is the connectors, each with the mistake that its name says.
func TestMain(m *testing.M) {
	sandbox.Exec()
	if os.Getenv("CLOISTER_CONNECTOR") != "" {
		serve.Run(&author{mistake: filepath.Base(os.Args[0])})
	}
	os.Exit(m.Run())
}

type author struct {
	mistake  string
	provider string
}

func (a *author) Describe() connector.Description {
	d := connector.Description{Name: a.mistake, Version: "1.0.0", Summary: "For tests.", Channels: []string{"email"}, Network: true}
	switch a.mistake {
	case "misnamed":
		d.Name = "other"
	case "unversioned":
		d.Version = "new"
	case "pushaddress", "secondchannel":
		d.Channels = []string{"email", "push"}
	case "offchannel":
		d.Channels = []string{"fax"}
	}
	return d
}

func (a *author) Schema() connector.Schema {
	s := connector.Schema{Settings: []connector.Setting{{Name: "host", Type: connector.TypeString, Doc: "Host.", Required: true}}}
	if slices.Contains([]string{"none", "patient", "presumptuous"}, a.mistake) {
		s.Settings = append(s.Settings, connector.Setting{Name: "provider", Type: connector.TypeString, Doc: "The provider, as HOST:PORT.", Reach: true, Default: "provider.example:7070"})
	}
	switch a.mistake {
	case "twice":
		s.Settings = append(s.Settings, s.Settings[0])
	case "defaultsecret":
		s.Settings = append(s.Settings, connector.Setting{Name: "key", Type: connector.TypeString, Doc: "Key.", Sensitive: true, Default: "hush"})
	case "pattern":
		s.Settings[0].Pattern = "("
	}
	return s
}

func (a *author) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	a.provider = s.Text("provider")
	switch host := s.Text("host"); {
	case a.mistake == "crashonempty" && host == "":
		os.Exit(1)
	case host == "relay" && a.mistake == "picky":
		return []connector.Problem{{Path: []string{"host"}, Summary: "not my host"}}, nil
	case host == "wrong" && a.mistake == "uncomplaining":
	case host == "wrong" && a.mistake == "wrongpath":
		return []connector.Problem{{Path: []string{"hots"}, Summary: "no"}}, nil
	case host == "wrong" || host == "":
		return []connector.Problem{{Path: []string{"host"}, Summary: "not a host"}}, nil
	}
	return nil, nil
}

func (a *author) Check(context.Context) error {
	if a.mistake == "unreachable" {
		return errors.New("nobody there")
	}
	return nil
}

func (a *author) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	var outs []connector.Outcome
	for _, m := range batch {
		o := connector.Outcome{ID: m.ID, Result: connector.Accepted}
		if !a.said(ctx) {
			o = connector.Outcome{ID: m.ID, Result: connector.Unknown}
		}
		if m.Channel == "push" && (a.mistake == "pushaddress" || a.mistake == "secondchannel") {
			if a.mistake == "secondchannel" && strings.ContainsAny(m.To, "\r\n") {
				o = connector.Outcome{ID: m.ID, Result: connector.Unknown}
			} else if a.mistake != "pushaddress" && strings.ContainsAny(m.To, "\r\n") {
				o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassContent, Reason: "a line break"}
			}
			outs = append(outs, o)
			continue
		}
		broken := strings.ContainsAny(m.To+m.ToName+m.Subject, "\r\n") || slices.ContainsFunc(m.Headers, func(h connector.Header) bool { return strings.ContainsAny(h.Name+h.Value, "\r\n") })
		switch {
		case a.mistake == "fussy" && m.Channel != "email":
			return nil, errors.New("what is this")
		case m.Channel != "email":
			o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassConfig, Reason: "no such channel"}
		case broken && a.mistake != "credulous":
			o = connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassContent, Reason: "a line break"}
		case a.mistake == "crashontext" && strings.Contains(m.Text, "\x00"):
			panic("on purpose")
		}
		outs = append(outs, o)
	}
	switch a.mistake {
	case "forgetful":
		outs = outs[1:]
	case "shuffled":
		slices.Reverse(outs)
	case "slow":
		if len(batch) == 100 {
			time.Sleep(silence + time.Second)
		}
	}
	return outs, nil
}

// said asks the provider, if it is elsewhere than in the defaults, and waits for
// its answer as long as there is time.
func (a *author) said(ctx context.Context) bool {
	if a.provider == "" || a.provider == "provider.example:7070" || a.mistake == "presumptuous" {
		return true
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", a.provider)
	if err != nil {
		return false
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok && a.mistake != "patient" {
		_ = c.SetReadDeadline(deadline) // a connection has one
	}
	n, _ := c.Read(make([]byte, 1))
	return n > 0
}

func (a *author) Receipts(context.Context, connector.Webhook) (connector.Answer, error) {
	if a.mistake == "trusting" {
		return connector.Answer{}, nil
	}
	return connector.Answer{}, connector.ErrForged
}

func (a *author) Drain(context.Context) error {
	if a.mistake == "undrainable" {
		return errors.New("cannot")
	}
	return nil
}

// Each mistake is found by the demand that is meant to find it.
func TestFindsMistakes(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for mistake, want := range map[string]string{
		"none":          "",
		"misnamed":      "its description is complete",
		"unversioned":   "its description is complete",
		"offchannel":    "its description is complete",
		"twice":         "its schema is sound",
		"defaultsecret": "its schema is sound",
		"pattern":       "its schema is sound",
		"crashonempty":  "it survives empty settings",
		"uncomplaining": "it complains of wrong settings",
		"wrongpath":     "it complains of wrong settings",
		"picky":         "it takes good settings",
		"unreachable":   "it answers a check",
		"forgetful":     "it answers a batch in order",
		"shuffled":      "it answers a batch in order",
		"fussy":         "it refuses another channel's message",
		"credulous":     "it refuses line breaks in headers and addresses",
		"crashontext":   "it takes any text",
		"pushaddress":   "it refuses line breaks in headers and addresses",
		"secondchannel": "it refuses line breaks in headers and addresses",
		"slow":          "it answers before its deadline",
		"patient":       "it answers while its provider is silent",
		"presumptuous":  "it answers while its provider is silent",
		"undrainable":   "it drains",
		"trusting":      "it does not trust an unsigned webhook",
	} {
		t.Run(mistake, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			path := filepath.Join(t.TempDir(), mistake)
			if err := os.WriteFile(path, append(raw, mistake...), 0o755); err != nil {
				t.Fatal(err)
			}
			results, err := Run(t.Context(), Target{
				Path: path, Settings: connector.Settings{"host": "relay"}, Reachable: true,
				Wrong: []connector.Settings{{"host": "wrong"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Why == "" || r.Where == "" {
					t.Errorf("%s: no reason, or no place that demands it", r.Name)
				}
			}
			found := want == ""
			for _, r := range results {
				found = found || (r.Name == want && r.Err != nil)
				if want == "" && r.Err != nil {
					t.Errorf("%s: %v", r.Name, r.Err)
				}
			}
			if !found {
				t.Errorf("not found by %q", want)
			}
		})
	}
}
