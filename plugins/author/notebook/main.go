// notebook appends messages to a file: the smallest connector in Go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/serve"
)

func main() { serve.Run(&sender{}) }

type sender struct{ folder string }

func (s *sender) Describe() connector.Description {
	return connector.Description{
		Name: "notebook", Version: "0.1.0", Summary: "Writes short messages into a file.", Channels: []string{"sms"}, Batch: 100,
	}
}

func (s *sender) Schema() connector.Schema {
	return connector.Schema{Settings: []connector.Setting{
		{Name: "folder", Type: connector.TypeString, Doc: "The folder of the file.", Required: true, Folder: true},
	}}
}

func (s *sender) Configure(_ context.Context, set connector.Settings) ([]connector.Problem, error) {
	s.folder = set.Text("folder")
	if !filepath.IsAbs(s.folder) {
		return []connector.Problem{{Path: []string{"folder"}, Summary: "not an absolute path", Detail: "write a path that begins with /"}}, nil
	}
	return nil, nil
}

func (s *sender) Check(context.Context) error {
	if _, err := os.ReadDir(s.folder); err != nil {
		return errors.New("the folder cannot be read")
	}
	return nil
}

func (s *sender) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	outs := make([]connector.Outcome, len(batch))
	for i, m := range batch {
		outs[i] = s.one(ctx, m)
	}
	return outs, nil
}

var address = regexp.MustCompile(`^\+[0-9]{5,15}$`)

func (s *sender) one(ctx context.Context, m connector.Message) connector.Outcome {
	out := connector.Outcome{ID: m.ID, Result: connector.Accepted}
	switch {
	case m.Channel != "sms":
		out.Result, out.Class, out.Reason = connector.Refused, connector.ClassConfig, "only sms"
	case !address.MatchString(m.To):
		out.Result, out.Class, out.Reason = connector.Refused, connector.ClassAddress, "not a number"
	case broken(m):
		out.Result, out.Class, out.Reason = connector.Refused, connector.ClassContent, "a line break in a header"
	case ctx.Err() != nil: // out of time: what was not begun comes again
		out.Result = connector.Again
	default:
		s.write(m, &out)
	}
	return out
}

// broken says whether a line break is where it could end a header.
func broken(m connector.Message) bool {
	texts := []string{m.To, m.ToName, m.Subject}
	for _, h := range m.Headers {
		texts = append(texts, h.Name, h.Value)
	}
	return slices.ContainsFunc(texts, func(s string) bool { return strings.ContainsAny(s, "\r\n") })
}

// write appends the message, or says what became of it.
func (s *sender) write(m connector.Message, out *connector.Outcome) {
	line, err := json.Marshal(map[string]any{"id": m.ID, "to": m.To, "text": m.Text})
	if err != nil {
		out.Result, out.Class, out.Reason = connector.Refused, connector.ClassContent, "it cannot be written as JSON"
		return
	}
	f, err := os.OpenFile(filepath.Join(s.folder, "messages.jsonl"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil { // nothing has left: it may be tried again
		out.Result, out.Reason = connector.Again, "the file cannot be opened"
		return
	}
	_, err = f.Write(append(line, '\n'))                // one write: several batches come at once
	if err := errors.Join(err, f.Close()); err != nil { // perhaps it is there
		out.Result, out.Reason = connector.Unknown, "the file could not be written"
	}
}

func (s *sender) Drain(context.Context) error { return nil }
