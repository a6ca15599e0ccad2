package config

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func bound(f float64) *float64 { return &f }

// fakeConnectors answers for two plugins as the real ones do.
type fakeConnectors struct {
	validated []connector.Settings
	weak      bool
}

func (f *fakeConnectors) Describe(_ context.Context, plugin string) (connector.Description, connector.Schema, error) {
	switch plugin {
	case "smtp":
		return connector.Description{Name: "smtp", Version: "1.0.0", Channels: []string{"email"}, Network: true}, connector.Schema{
			Settings: []connector.Setting{
				{Name: "host", Type: connector.TypeString, Required: true, Reach: true, Doc: "The relay."},
				{Name: "port", Type: connector.TypeNumber, Default: 587.0, Min: bound(1), Max: bound(65535)},
				{Name: "from", Type: connector.TypeString, Required: true, Pattern: "@", Doc: "The sender."},
				{Name: "username", Type: connector.TypeString, Deprecated: `the block auth`},
				{Name: "timeout", Type: connector.TypeDuration, Default: "30s"},
				{Name: "security", Type: connector.TypeString, Default: "starttls", Enum: []string{"starttls", "tls", "none"}},
				{Name: "verify", Type: connector.TypeBool, Default: true},
				{Name: "domains", Type: connector.TypeStrings},
				{Name: "headers", Type: connector.TypeMap},
			},
			Blocks: []connector.Block{{Name: "auth", Doc: "How to sign in.", Settings: []connector.Setting{
				{Name: "user", Type: connector.TypeString, Required: true, Min: bound(2)},
				{Name: "password", Type: connector.TypeString, Sensitive: true},
				{Name: "passwort", Type: connector.TypeString},
			}}},
		}, nil
	case "mailbox":
		return connector.Description{Name: "mailbox", Channels: []string{"email", "sms", "push", "webhook"}}, connector.Schema{
			Settings: []connector.Setting{{Name: "dir", Type: connector.TypeString, Required: true}},
		}, nil
	case "strict":
		return connector.Description{Name: "strict", Channels: []string{"sms"}, Network: true}, connector.Schema{
			Settings: []connector.Setting{{Name: "url", Type: connector.TypeString, Reach: true}},
			Blocks:   []connector.Block{{Name: "tls", Required: true, Settings: []connector.Setting{{Name: "mode", Type: connector.TypeString}}}},
		}, nil
	case "silent":
		return connector.Description{Name: "silent", Channels: []string{"sms"}, Network: true}, connector.Schema{}, nil
	case "ends":
		return connector.Description{Name: "ends", Channels: []string{"email"}}, connector.Schema{}, nil
	case "frozen":
		return connector.Description{}, connector.Schema{}, context.DeadlineExceeded
	}
	return connector.Description{}, connector.Schema{}, errors.New("there is no such connector: mailbox and smtp are there")
}

func (f *fakeConnectors) Pinned(plugin, sha256 string) error {
	if strings.HasPrefix(sha256, "0bad") {
		return fmt.Errorf("connector %q: it has another SHA-256", plugin)
	}
	return nil
}

func (f *fakeConnectors) Validate(_ context.Context, plugin string, s connector.Settings, require string) ([]connector.Problem, error) {
	f.validated = append(f.validated, s)
	if plugin == "ends" {
		return nil, errors.New("it ended with exit code 1 before it answered")
	}
	var out []connector.Problem
	if require == "hosts" && f.weak {
		out = append(out, connector.Problem{Summary: "the sandbox is too weak"})
	}
	switch {
	case plugin == "smtp" && strings.HasPrefix(s.Text("host"), "nowhere"):
		out = append(out, connector.Problem{Path: []string{"host"}, Summary: "the host does not exist", Detail: "Name a relay."})
	case plugin == "smtp" && s.Text("security") == "none":
		out = append(out, connector.Problem{Severity: connector.SeverityWarning, Path: []string{"security"}, Summary: "mail goes out in clear"})
	case plugin == "strict":
		out = append(out, connector.Problem{Path: []string{"tls", "mode"}, Summary: "mode is not known"})
	}
	if pw := s.Block("auth").Text("password"); plugin == "smtp" && strings.Contains(pw, "bad") {
		out = append(out, connector.Problem{Path: []string{"auth", "password"}, Summary: "the password " + pw + " is weak", Detail: pw})
	}
	return out, nil
}
