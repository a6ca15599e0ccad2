package journal

import (
	"fmt"
	"log/slog"
	"sync"
)

// engineLog gives NATS our logger. An error is also a sign of trouble: some
// failed writes are never answered, only logged.
type engineLog struct {
	to      *slog.Logger
	trouble *trouble
}

func (l *engineLog) Noticef(format string, v ...any) {
	l.to.Debug("nats: " + fmt.Sprintf(format, v...))
}
func (l *engineLog) Debugf(format string, v ...any) {}
func (l *engineLog) Tracef(format string, v ...any) {}
func (l *engineLog) Warnf(format string, v ...any)  { l.to.Warn("nats: " + fmt.Sprintf(format, v...)) }

func (l *engineLog) Errorf(format string, v ...any) {
	l.to.Error("nats: " + fmt.Sprintf(format, v...))
	l.trouble.happened()
}

// Fatalf must not end the process: the journal notices that nothing answers.
func (l *engineLog) Fatalf(format string, v ...any) { l.Errorf(format, v...) }

// trouble says, once, that an engine has logged an error.
type trouble struct {
	once sync.Once
	c    chan struct{}
}

func newTrouble() *trouble { return &trouble{c: make(chan struct{})} }

func (t *trouble) happened() { t.once.Do(func() { close(t.c) }) }
