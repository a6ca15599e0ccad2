package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxList bounds what List gives.
const MaxList = 10_000

// List gives the newest entries first, at most limit of them; with a publisher
// only those about it. It reads what is on disk, not more than it needs.
func (l *Log) List(ctx context.Context, publisher string, limit int) ([]Entry, error) {
	limit = min(limit, MaxList)
	l.mu.RLock()
	view := l.view
	l.mu.RUnlock()
	out := []Entry{}
	for i := len(view) - 1; i >= 0 && len(out) < limit; i-- {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("listing the audit: %w", err)
		}
		var err error
		if out, err = view[i].list(out, publisher, limit); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				break // trimmed meanwhile
			}
			return nil, fmt.Errorf("listing the audit: %w", err)
		}
	}
	return out, nil
}

// list appends a file's entries, the last first.
func (s stretch) list(out []Entry, publisher string, limit int) ([]Entry, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, s.bytes)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\n'})
	for i := len(lines) - 1; i > 0 && len(out) < limit; i-- { // lines[0] is the file's own
		var e Entry
		if err := json.Unmarshal(lines[i], &e); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if publisher == "" || e.Publisher == publisher {
			out = append(out, e)
		}
	}
	return out, nil
}
