package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// mailbox keeps each message as a file in a folder. It is for demonstrations
// and tests: a message that is in the folder counts as accepted.
//
// Failure rules: a file is there whole or not at all; a message that could not
// be written was not sent, so it comes again; the same message id is the same
// file. Files are not synced: a power cut may take the last seconds' messages.
type mailbox struct {
	dir  string
	keep int
	now  func() time.Time // nil = time.Now

	mu    sync.Mutex
	names []string          // of the files, oldest first
	have  map[string]string // the file of a message, by tail; nil = the folder was not read yet
}

var _ connector.Forgetter = (*mailbox)(nil)

// Describe implements connector.Connector.
func (m *mailbox) Describe() connector.Description {
	return connector.Description{
		Name:     "mailbox",
		Version:  "0.1.0",
		Summary:  "Keeps messages as files in a folder instead of sending them, for demonstrations and tests.",
		Channels: []string{"email", "sms", "push", "webhook"},
		Batch:    200,
	}
}

// Schema implements connector.Connector.
func (m *mailbox) Schema() connector.Schema {
	one, most := 1.0, 100_000.0
	return connector.Schema{Settings: []connector.Setting{
		{
			Name: "dir", Type: connector.TypeString, Required: true, Folder: true,
			Doc: "Absolute path of the folder that takes the messages; it is made if it is missing.",
		},
		{
			Name: "keep", Type: connector.TypeNumber, Default: 1000.0, Min: &one, Max: &most,
			Doc: "How many messages are kept; the oldest go first.",
		},
	}}
}

// Configure implements connector.Connector.
func (m *mailbox) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	m.dir, m.keep = s.Text("dir"), int(s.Number("keep"))
	if m.keep == 0 {
		m.keep = 1000
	}
	if !filepath.IsAbs(m.dir) {
		return []connector.Problem{{Path: []string{"dir"}, Summary: "not an absolute path", Detail: "Write it from the root, such as /var/lib/cloister/mailbox."}}, nil
	}
	return nil, nil
}

// Check implements connector.Connector: it writes a file and removes it.
func (m *mailbox) Check(context.Context) error {
	f, err := os.CreateTemp(m.dir, ".check-*")
	if err != nil {
		return reason("writing to the folder", err)
	}
	f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return reason("removing from the folder", err)
	}
	return nil
}

// reason is err without the file's name.
func reason(doing string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// file is what one file holds; README.md is its description.
type file struct {
	ID          string            `json:"id"`
	Channel     string            `json:"channel"`
	To          string            `json:"to"`
	ToName      string            `json:"to_name,omitempty"`
	Platform    string            `json:"platform,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Text        string            `json:"text,omitempty"`
	HTML        string            `json:"html,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Data        map[string]string `json:"data,omitempty"`
	Unsubscribe string            `json:"unsubscribe,omitempty"`
	Link        string            `json:"link,omitempty"`
	Expires     *time.Time        `json:"expires,omitempty"`
	Marketing   bool              `json:"marketing,omitempty"`
	At          time.Time         `json:"at"`
}

func pairs(hs []connector.Header) map[string]string {
	if len(hs) == 0 {
		return nil
	}
	out := make(map[string]string, len(hs))
	for _, h := range hs {
		out[h.Name] = h.Value
	}
	return out
}

// Send implements connector.Connector.
func (m *mailbox) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.list(); err != nil {
		return nil, err
	}
	outs := make([]connector.Outcome, len(batch))
	for i, msg := range batch {
		outs[i] = connector.Outcome{ID: msg.ID, Result: connector.Again, Reason: "out of time"}
		if ctx.Err() != nil {
			continue
		}
		if o, ok := refuse(msg, m.Describe().Channels); !ok {
			outs[i] = o
			continue
		}
		id, err := m.write(msg)
		if err != nil {
			outs[i].Reason = reason("writing the file", err).Error()
			continue
		}
		outs[i] = connector.Outcome{ID: msg.ID, Result: connector.Accepted, ProviderID: id}
	}
	m.prune()
	return outs, nil
}

// refuse finds what no provider would take either.
func refuse(m connector.Message, channels []string) (connector.Outcome, bool) {
	o := connector.Outcome{ID: m.ID, Result: connector.Refused, Class: connector.ClassContent}
	switch {
	case !slices.Contains(channels, m.Channel):
		o.Class, o.Reason = connector.ClassConfig, "no such channel"
	case m.To == "" || strings.ContainsAny(m.To, "\r\n\x00"):
		o.Class, o.Reason = connector.ClassAddress, "not an address"
	case strings.ContainsAny(m.Subject+m.ToName, "\r\n"):
		o.Reason = "a line break in the subject or the name"
	case slices.ContainsFunc(m.Headers, func(h connector.Header) bool { return strings.ContainsAny(h.Name+h.Value, "\r\n") }):
		o.Reason = "a line break in a header"
	default:
		return o, true
	}
	return o, false
}

// write puts one message into the folder and gives its file's name.
func (m *mailbox) write(msg connector.Message) (string, error) {
	sum := sha256.Sum256([]byte(msg.ID))
	tail := hex.EncodeToString(sum[:16]) + ".json"
	if name, ok := m.have[tail]; ok {
		return name, nil // it came before, and the answer was lost
	}
	now := time.Now
	if m.now != nil {
		now = m.now
	}
	f := file{
		ID: msg.ID, Channel: msg.Channel, To: msg.To, ToName: msg.ToName, Platform: msg.Platform,
		Subject: msg.Subject, Text: msg.Text, HTML: msg.HTML, Headers: pairs(msg.Headers), Data: pairs(msg.Data),
		Unsubscribe: msg.Unsubscribe, Link: msg.Link, Marketing: msg.Marketing, At: now().UTC(),
	}
	if !msg.Expires.IsZero() {
		f.Expires = &msg.Expires
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	// Names sort by time.
	name := f.At.Format("20060102T150405.000000000Z") + "-" + tail
	tmp := filepath.Join(m.dir, "."+name+".new")
	err = os.WriteFile(tmp, raw, 0o600)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(m.dir, name))
	}
	if err != nil {
		os.Remove(tmp)
		return "", err
	}
	m.add(name)
	return name, nil
}

// timeLength is how long the part of a file's name is that says when.
const timeLength = len("20060102T150405.000000000Z-")

func (m *mailbox) add(name string) {
	m.names = append(m.names, name)
	if len(name) > timeLength {
		m.have[name[timeLength:]] = name
	}
}

// list reads the folder, once.
func (m *mailbox) list() error {
	if m.have != nil {
		return nil
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return reason("reading the folder", err)
	}
	m.names, m.have = nil, make(map[string]string)
	for _, e := range entries { // sorted by name, and so by time
		switch n := e.Name(); {
		case strings.HasPrefix(n, ".") && strings.HasSuffix(n, ".new"):
			os.Remove(filepath.Join(m.dir, n)) // left by a process that was killed
		case !strings.HasPrefix(n, ".") && strings.HasSuffix(n, ".json"):
			m.add(n)
		}
	}
	return nil
}

// prune removes the oldest messages past what is kept.
func (m *mailbox) prune() {
	for len(m.names) > m.keep {
		if err := os.Remove(filepath.Join(m.dir, m.names[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // tried again with the next batch
		}
		if name := m.names[0]; len(name) > timeLength {
			delete(m.have, name[timeLength:])
		}
		m.names = m.names[1:]
	}
}

// Forget implements connector.Forgetter.
func (m *mailbox) Forget(ctx context.Context, addresses []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.have = nil // read what is really there
	if err := m.list(); err != nil {
		return err
	}
	defer func() { m.have = nil }()
	for _, name := range m.names {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(m.dir, name)
		raw, err := os.ReadFile(path)
		var f file
		if err == nil {
			err = json.Unmarshal(raw, &f)
		}
		// A file that cannot be read might be about the person.
		if err == nil && !slices.Contains(addresses, f.To) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return reason("removing a message", err)
		}
	}
	return nil
}

// Drain implements connector.Connector. Every Send left things complete.
func (m *mailbox) Drain(context.Context) error { return nil }
