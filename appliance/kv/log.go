package kv

import (
	"fmt"
	"log/slog"
	"strings"
)

// engineLog carries Badger's log into ours. Badger's "info" is chatter about
// its own housekeeping, so it counts as debug here.
type engineLog struct{ to *slog.Logger }

func (l engineLog) Errorf(f string, a ...any)   { l.to.Error("badger", "said", said(f, a)) }
func (l engineLog) Warningf(f string, a ...any) { l.to.Warn("badger", "said", said(f, a)) }
func (l engineLog) Infof(f string, a ...any)    { l.to.Debug("badger", "said", said(f, a)) }
func (l engineLog) Debugf(string, ...any)       {} // prints keys

func said(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
