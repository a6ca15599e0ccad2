package appliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/console"
	"github.com/cloisterhq/cloister/appliance/demo"
)

// The plugin that keeps messages as files, and its setting of the folder; the
// files are described in connectors/mailbox/README.md.
const (
	mailboxPlugin = "mailbox"
	mailboxDir    = "dir"
	maxMailFile   = 4 << 20
)

// mailFile is what the console and the demo need of one file.
type mailFile struct {
	ID          string    `json:"id"`
	Channel     string    `json:"channel"`
	To          string    `json:"to"`
	Subject     string    `json:"subject"`
	Text        string    `json:"text"`
	HTML        string    `json:"html"`
	Link        string    `json:"link"`
	Unsubscribe string    `json:"unsubscribe"`
	At          time.Time `json:"at"`
}

// mailboxes are the folders of a publisher's mailbox connectors.
func (o *house) mailboxes() []string {
	var dirs []string
	for _, c := range o.cfg.Connectors {
		if dir := c.Settings.Text(mailboxDir); c.Plugin == mailboxPlugin && dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// mails reads the newest files of a folder, at most limit, whose names come
// after one ("" = all): names sort by time.
func mails(dir, after string, limit int) (out []mailFile, last string, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, after, nil // nothing was ever sent
	}
	if err != nil {
		return nil, after, fmt.Errorf("opening a mailbox: %w", err)
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, after, fmt.Errorf("reading a mailbox: %w", err)
	}
	last = after
	for _, e := range slices.Backward(entries) {
		name := e.Name()
		if name <= after || len(out) == limit {
			break
		}
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != ".json" {
			continue
		}
		last = max(last, name)
		if info, err := e.Info(); err != nil || info.Size() > maxMailFile {
			continue // pruned meanwhile, or none of ours
		}
		b, err := fs.ReadFile(root.FS(), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, after, fmt.Errorf("reading a message of a mailbox: %w", err)
		}
		var m mailFile
		if json.Unmarshal(b, &m) == nil {
			out = append(out, m)
		}
	}
	return out, last, nil
}

// Mailbox gives what a publisher's mailbox connectors kept, the newest first.
func (d desk) Mailbox(_ context.Context, limit int) ([]console.Mail, error) {
	dirs := d.mailboxes()
	if len(dirs) == 0 {
		return nil, fmt.Errorf("mailbox: %w", console.ErrNotFound)
	}
	var all []mailFile
	for _, dir := range dirs {
		some, _, err := mails(dir, "", limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b mailFile) int { return b.At.Compare(a.At) })
	var out []console.Mail
	for _, m := range all[:min(len(all), limit)] {
		out = append(out, m.console())
	}
	return out, nil
}

func (m *mailFile) console() console.Mail {
	return console.Mail{ID: m.ID, Channel: m.Channel, To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML, At: m.At}
}

// Mail gives one message of a mailbox by its id.
func (d desk) Mail(_ context.Context, id string) (console.Mail, error) {
	for _, dir := range d.mailboxes() {
		all, _, err := mails(dir, "", 100_000)
		if err != nil {
			return console.Mail{}, err
		}
		for i := range all {
			if all[i].ID == id {
				return all[i].console(), nil
			}
		}
	}
	return console.Mail{}, fmt.Errorf("message %q in the mailbox: %w", id, console.ErrNotFound)
}

// newMail gives the demo what came since the last call.
func newMail(dirs []string) func() ([]demo.Mail, error) {
	seen := map[string]string{}
	return func() ([]demo.Mail, error) {
		var out []demo.Mail
		for _, dir := range dirs {
			files, last, err := mails(dir, seen[dir], 500)
			if err != nil {
				return nil, err
			}
			seen[dir] = last
			for _, m := range files {
				out = append(out, demo.Mail{ID: m.ID, Channel: m.Channel, HTML: m.HTML, Text: m.Text, Link: m.Link, Unsubscribe: m.Unsubscribe})
			}
		}
		slices.SortStableFunc(out, func(a, b demo.Mail) int { return cmp.Compare(a.ID, b.ID) })
		return out, nil
	}
}
