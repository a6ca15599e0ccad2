package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// engineLog carries Badger's log into ours. Badger's "info" is chatter about
// its own housekeeping, so it counts as debug here.
type engineLog struct {
	to     *slog.Logger
	errors *atomic.Uint64               // how many errors it told
	failed *atomic.Pointer[func(error)] // told of each, once there is somebody
}

func newEngineLog(to *slog.Logger) engineLog {
	return engineLog{to, new(atomic.Uint64), new(atomic.Pointer[func(error)])}
}

func (l engineLog) Errorf(f string, a ...any) {
	l.errors.Add(1)
	text := said(f, a)
	l.to.Error("badger", "said", text)
	l.tell(text)
}

func (l engineLog) tell(text string) {
	if failed := l.failed.Load(); failed != nil {
		(*failed)(fmt.Errorf("%w: %s", errSaid, text))
	}
}

// Warningf is also what Badger says of a merge of tables that failed, which it
// tries again and again: a warning about an error is one.
func (l engineLog) Warningf(f string, a ...any) {
	text := said(f, a)
	l.to.Warn("badger", "said", text)
	if slices.ContainsFunc(a, func(v any) bool { _, is := v.(error); return is }) {
		l.tell(text)
	}
}

func (l engineLog) Infof(f string, a ...any) { l.to.Debug("badger", "said", said(f, a)) }
func (l engineLog) Debugf(string, ...any)    {} // prints keys

func said(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}

// errSaid is of an error that Badger only logged.
var errSaid = errors.New("badger reported an error in its log")

// commit commits tx and takes an error that Badger only logged meanwhile for
// one of the commit: a failed sync of the value log is told nowhere else.
func commit(tx *badger.Txn, b *badger.DB) error {
	log, watched := b.Opts().Logger.(engineLog)
	var before uint64
	if watched {
		before = log.errors.Load()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if watched && log.errors.Load() != before {
		return errSaid
	}
	return nil
}
