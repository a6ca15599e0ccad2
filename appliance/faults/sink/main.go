// Command sink is a connector that writes down which messages it was given, the
// moment it has each, and answers when it has the whole batch: what a provider
// knows of a campaign whose sender is killed. It knows no message again.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/serve"
)

func main() { serve.Run(&sink{}) }

type sink struct {
	dir  string
	each time.Duration // of work for a message
	act  string

	flood sync.Once
	open  sync.Once // not when settings are merely checked, without leave to write
	got   *os.File
	err   error
}

// Describe implements connector.Connector.
func (s *sink) Describe() connector.Description {
	return connector.Description{Name: "sink", Version: "0.1.0", Summary: "Writes down what it was given.", Channels: []string{"email", "push"}, Batch: 200}
}

// Schema implements connector.Connector.
func (s *sink) Schema() connector.Schema {
	return connector.Schema{Settings: []connector.Setting{
		{Name: "dir", Type: connector.TypeString, Required: true, Folder: true, Doc: "Folder of the file got, to which a line a message is appended: id and address."},
		{Name: "act", Type: connector.TypeString, Enum: acts, Doc: "What it does instead of its work."},
		{Name: "each", Type: connector.TypeNumber, Default: 1000.0, Doc: "Microseconds of work for a message."},
	}}
}

// Configure implements connector.Connector.
func (s *sink) Configure(_ context.Context, set connector.Settings) ([]connector.Problem, error) {
	s.act = set.Text("act")
	s.dir, s.each = set.Text("dir"), time.Duration(set.Number("each"))*time.Microsecond
	return nil, nil
}

// Check implements connector.Connector.
func (s *sink) Check(context.Context) error { return nil }

// Drain implements connector.Connector.
func (s *sink) Drain(context.Context) error { return nil }

// acts are ways to misbehave, once there is a batch.
var acts = []string{"", "crash", "hang", "leak", "flood"}

var leaked [][]byte

// misbehave returns where the batch may be worked off all the same.
func (s *sink) misbehave() {
	switch s.act {
	case "crash":
		os.Exit(3)
	case "hang":
		select {}
	case "leak":
		for range 64 {
			leaked = append(leaked, bytes.Repeat([]byte("leak"), 1<<18))
		}
	case "flood":
		s.flood.Do(func() {
			go func() {
				for line := bytes.Repeat([]byte("flood "), 200); ; {
					fmt.Fprintf(os.Stderr, "%s\n", line)
				}
			}()
		})
	}
}

// Send implements connector.Connector. One write is whole or not at all, and is
// there when the process is killed after it.
func (s *sink) Send(_ context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	s.misbehave()
	s.open.Do(func() {
		s.got, s.err = os.OpenFile(filepath.Join(s.dir, "got"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	})
	if s.err != nil {
		return nil, s.err
	}
	outs := make([]connector.Outcome, 0, len(batch))
	for _, m := range batch {
		time.Sleep(s.each)
		if _, err := fmt.Fprintf(s.got, "%s %s\n", m.ID, m.To); err != nil {
			return nil, err
		}
		outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Accepted, ProviderID: m.ID})
	}
	return outs, nil
}
