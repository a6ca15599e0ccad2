package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloisterhq/cloister/appliance/health"
)

// streamName is that of the one stream of each account, and of its subject.
const streamName = "journal"

// Calls to JetStream have a short time each and are repeated: just after a
// start the first may get no answer.
const (
	callTime  = 2 * time.Second
	callTries = 8
)

// engineSlack is how much larger JetStream may let a stream grow than we do,
// so that it is always our bound that is met.
const engineSlack = 64 << 20

// link is a journal's connection to one run of the engine.
type link struct {
	engine *engine
	nc     *nats.Conn
	js     jetstream.JetStream
	acks   chan *nats.Msg
	inbox  string
	closed context.Context // ends when it is closed
	end    context.CancelFunc
}

func (l *link) close() {
	l.end()
	l.nc.Close()
}

func (j *Journal) markPath() string { return filepath.Join(j.s.o.Dir, "marks", j.publisher) }

func (j *Journal) streamDir() string {
	return filepath.Join(j.s.o.Dir, "nats", server.JetStreamStoreDir, j.publisher, "streams", streamName)
}

// open reads the mark, or makes the journal, and connects.
func (j *Journal) open() error {
	file, m, err := openMark(j.markPath())
	if errors.Is(err, errNoMark) {
		file, m, err = j.create()
	}
	if err != nil {
		if errors.Is(err, ErrDamaged) {
			return j.damaged(0, nil, err.Error())
		}
		return err
	}
	j.file, j.mark = file, m
	if err := j.connect(false); err != nil {
		return errors.Join(err, file.close())
	}
	return nil
}

// create makes the mark of a new journal; its stream is made after it, so a
// stream without a mark has lost it.
func (j *Journal) create() (*markFile, mark, error) {
	if _, err := os.Stat(j.streamDir()); err == nil {
		return nil, mark{}, j.damaged(0, nil, "there are records, but the file "+j.markPath()+" that says which there must be is gone")
	}
	m := mark{incarnation: uint64(j.s.o.Now().UnixMicro())}
	file, err := makeMark(j.markPath(), m)
	return file, m, err
}

// connect checks what is on disk, lets the engine open it, checks what the
// engine made of it, and takes the connection into use. afterFault reads from
// the disk itself.
func (j *Journal) connect(afterFault bool) error {
	j.s.mu.RLock()
	defer j.s.mu.RUnlock()
	e := j.s.engine
	if e == nil {
		return ErrUnavailable
	}
	j.mu.Lock()
	m := j.mark
	j.mu.Unlock()
	s, err := j.check(m, afterFault)
	if err != nil {
		return err
	}
	held := max(s.last(), m.last)
	if err := j.repairMeta(m); err != nil {
		return err
	}
	account, _ := e.ns.LookupOrRegisterAccount(j.publisher)
	limits := server.JetStreamAccountLimits{MaxMemory: 0, MaxStore: -1, MaxStreams: 1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1}
	if err := account.EnableJetStream(map[string]server.JetStreamAccountLimits{"": limits}, nil); err != nil {
		return fmt.Errorf("enabling the account: %w", err)
	}
	l, err := j.dial(e)
	if err != nil {
		return err
	}
	state, err := j.stream(l)
	if err != nil {
		l.close()
		return err
	}
	// This cannot be after the check above, unless the engine's files have
	// changed their form.
	if state.LastSeq != held || held > m.trimmed && state.FirstSeq > m.trimmed+1 {
		l.close()
		return j.damaged(m.incarnation, nil, fmt.Sprintf("the engine opens records %d to %d where %d to %d were found", state.FirstSeq, state.LastSeq, m.trimmed+1, held))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closing {
		l.close()
		return ErrClosed
	}
	// Beyond the mark lie at most what was being written, and what had been
	// acknowledged but not marked yet.
	if s.last() > m.last {
		j.mark.last, j.mark.tag = s.last(), s.end
	}
	j.bytes = int64(state.Bytes)
	j.link, j.fault = l, nil
	j.notify()
	return nil
}

// check compares the stream's files with the mark.
func (j *Journal) check(m mark, uncached bool) (*survey, error) {
	s, err := surveyBlocks(filepath.Join(j.streamDir(), "msgs"), streamName, m.last, uncached)
	if err != nil {
		return nil, fmt.Errorf("reading the stream: %w", err)
	}
	if missing := s.missing(Range{m.trimmed + 1, m.last}); m.last > m.trimmed && len(missing) > 0 {
		return nil, j.damaged(m.incarnation, missing, fmt.Sprintf("records %d to %d were acknowledged", m.trimmed+1, m.last))
	}
	if s.found && m.tag != ([tagBytes]byte{}) && s.tag != m.tag {
		return nil, j.damaged(m.incarnation, []Range{{m.last, m.last}}, "another record stands in the place of one that was acknowledged")
	}
	return s, nil
}

// repairMeta sets a damaged description of the stream aside. The engine would
// ignore the stream for it; without one it adopts the records that are there.
func (j *Journal) repairMeta(m mark) error {
	dir := j.streamDir()
	if _, err := os.Stat(dir); err != nil || m.last == 0 {
		return nil // not made yet: the engine will
	}
	good, err := metaGood(dir, streamName)
	if err != nil || good {
		return err
	}
	aside := filepath.Join(j.s.o.Dir, "damaged", fmt.Sprintf("%s-%d", j.publisher, j.s.o.Now().UnixMicro()))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"meta.inf", "meta.sum"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("setting a damaged file aside: %w", err)
		}
	}
	j.s.o.Logger.Warn("the stream's description was damaged; it is made anew", "publisher", j.publisher, "aside", aside)
	j.s.o.Board.Raise(health.Problem{
		Code: ProblemRepaired, Subject: j.publisher, Severity: health.Warning,
		Summary: "A file of the journal was damaged and has been made anew; no record was lost.",
		Hint:    "Check the disk. What was found lies in " + aside + ".",
	})
	return nil
}

// dial connects to the publisher's account.
func (j *Journal) dial(e *engine) (*link, error) {
	nc, err := nats.Connect("",
		nats.InProcessServer(e.ns), nats.UserInfo(j.publisher, e.token), nats.NoReconnect(),
		nats.Name(j.publisher), nats.Timeout(10*time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.s.o.Logger.Warn("journal connection", "publisher", j.publisher, "error", err)
		}))
	if err != nil {
		return nil, fmt.Errorf("%w: connecting: %w", ErrUnavailable, err)
	}
	l := &link{engine: e, nc: nc, acks: make(chan *nats.Msg, 4), inbox: nc.NewInbox()}
	l.closed, l.end = context.WithCancel(context.Background())
	if _, err = nc.ChanSubscribe(l.inbox, l.acks); err == nil {
		l.js, err = jetstream.New(nc)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("%w: connecting: %w", ErrUnavailable, err)
	}
	return l, nil
}

// stream makes the stream what it must be and gives its state.
func (j *Journal) stream(l *link) (jetstream.StreamState, error) {
	want := jetstream.StreamConfig{
		Name: streamName, Subjects: []string{streamName},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxBytes: j.o.MaxBytes + engineSlack, MaxMsgSize: maxPayload, MaxMsgs: -1, MaxMsgsPerSubject: -1,
		MaxConsumers: -1, Replicas: 1, AllowDirect: true,
		Duplicates: 100 * time.Millisecond, // we send no ids for it to remember
	}
	var state jetstream.StreamState
	err := j.call(func(ctx context.Context) error {
		s, err := l.js.Stream(ctx, streamName)
		if errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && s.CachedInfo().Config.MaxBytes != want.MaxBytes {
			s, err = l.js.CreateOrUpdateStream(ctx, want)
		}
		if err != nil {
			return err
		}
		state = s.CachedInfo().State
		return nil
	})
	return state, err
}

// call runs fn, again after a failure that may pass.
func (j *Journal) call(fn func(context.Context) error) error {
	var err error
	for range callTries {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		err = fn(ctx)
		cancel()
		var refused *jetstream.APIError
		if err == nil || errors.As(err, &refused) && refused.Code < 500 {
			break
		}
		j.pause(100 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// drop closes the connection, after which the flusher makes another, and
// refuses with why until then.
func (j *Journal) drop(why error) {
	j.mu.Lock()
	l := j.link
	j.link = nil
	if j.fault == nil {
		j.fault = why
	}
	j.notify()
	j.mu.Unlock()
	if l != nil {
		l.close()
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// ack is JetStream's answer to a publication.
type ack struct {
	Sequence uint64 `json:"seq"`
	Error    *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// JetStream's codes for "there is no room", and for a record that was to stand
// behind another which is not there.
const (
	wrongLast   = 10071
	storeFailed = 10077 // the stream's own bound, or a closed store
	noStorage   = 10047
	noResources = 10023
)

// send gives one record to the engine; after, if it is asked, only behind the
// record of that sequence.
func (l *link) send(record []byte, behind bool, after uint64) error {
	m := &nats.Msg{Subject: streamName, Reply: l.inbox, Data: record}
	if behind {
		m.Header = nats.Header{jetstream.ExpectedLastSeqHeader: []string{strconv.FormatUint(after, 10)}}
	}
	if err := l.nc.PublishMsg(m); err != nil {
		return fmt.Errorf("%w: publishing: %w", ErrUnavailable, err)
	}
	return nil
}

// landed waits for the oldest record sent to be on disk and gives its
// sequence. ErrFull means that it was not written; with ErrUnavailable nobody
// knows.
func (l *link) landed(timeout time.Duration) (uint64, error) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	trouble := l.engine.trouble.c
	asked := time.Now()
	for {
		select {
		case m := <-l.acks:
			return readAck(m)
		case <-l.closed.Done():
			return 0, fmt.Errorf("%w: the connection was closed", ErrUnavailable)
		case <-trouble:
			// An error was logged: the answer may never come.
			trouble = nil
			t.Reset(min(timeout, 500*time.Millisecond))
		case <-t.C:
			return 0, fmt.Errorf("%w: no answer in %v", ErrUnavailable, time.Since(asked).Round(time.Millisecond))
		}
	}
}

func readAck(m *nats.Msg) (uint64, error) {
	if len(m.Data) == 0 { // "no responders" comes as a header alone
		return 0, fmt.Errorf("%w: nobody takes records", ErrUnavailable)
	}
	var a ack
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return 0, fmt.Errorf("%w: an answer that is none: %w", ErrUnavailable, err)
	}
	if a.Error == nil {
		return a.Sequence, nil
	}
	switch {
	case a.Error.ErrCode == wrongLast:
		return 0, fmt.Errorf("%w: so was the record before it", ErrFull)
	case a.Error.ErrCode == noStorage, a.Error.ErrCode == noResources,
		a.Error.ErrCode == storeFailed && a.Error.Description == server.ErrMaxBytes.Error():
		return 0, fmt.Errorf("%w: %s", ErrFull, a.Error.Description)
	}
	return 0, fmt.Errorf("%w: %s", ErrUnavailable, a.Error.Description)
}
