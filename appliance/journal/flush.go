package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

// flushLoop is the only writer of the stream. While one record is being synced
// the next gathers: nothing waits for more to come.
func (j *Journal) flushLoop() {
	var buf []byte
	for {
		l, pack, ok := j.next()
		switch {
		case !ok:
			return
		case l == nil:
			j.recover()
		default:
			buf = j.flush(l, pack, buf)
		}
	}
}

// next waits for something to write, and takes up to packBytes of it. l is nil
// if there is no connection; ok is false when the journal is closed and empty.
func (j *Journal) next() (l *link, pack []*request, ok bool) {
	for {
		j.mu.Lock()
		if j.link == nil {
			closing := j.closing
			j.mu.Unlock()
			if closing {
				j.failQueue(ErrClosed)
				return nil, nil, false
			}
			return nil, nil, true
		}
		size, taken := 0, 0
		for _, r := range j.queue {
			if len(pack) > 0 && size+len(r.facts) > packBytes {
				break
			}
			taken++
			if !r.state.CompareAndSwap(waiting, 1) {
				j.queued -= int64(len(r.facts)) // its caller has left
				continue
			}
			size += len(r.facts)
			pack = append(pack, r)
		}
		clear(j.queue[:taken])
		j.queue = j.queue[taken:]
		if len(j.queue) == 0 {
			j.queue = nil
		}
		l = j.link
		closing := j.closing
		j.mu.Unlock()
		if len(pack) > 0 {
			return l, pack, true
		}
		if closing {
			return nil, nil, false
		}
		<-j.wake
	}
}

// flush writes one pack as one record and answers its callers.
func (j *Journal) flush(l *link, pack []*request, buf []byte) []byte {
	buf = buf[:0]
	count := 0
	for _, r := range pack {
		buf = append(buf, r.facts...)
		count += r.count
	}
	err := j.write(l, buf, count)
	j.answer(pack, err)
	switch {
	case err == nil:
		return buf
	case errors.Is(err, ErrFull):
		j.s.o.Board.Raise(health.Problem{
			Code: ProblemFull, Subject: j.publisher, Severity: health.Down,
			Summary: "Nothing more can be written to the journal: " + err.Error() + ".",
			Hint:    "Free space on its disk, or raise the journal's limit; it goes on by itself.",
		})
		j.mu.Lock()
		j.full = true
		j.mu.Unlock()
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrDamaged):
		j.s.o.Logger.Error("a record could not be written", "publisher", j.publisher, "error", err)
		j.drop(err)
		if !errors.Is(err, ErrDamaged) {
			// Whatever the engine still does with it must be over before
			// anything is written again.
			if rerr := j.s.reopen(l.engine.number); rerr != nil {
				j.s.o.Logger.Error("opening the journal's engine again", "error", rerr)
			}
		}
		j.failQueue(err)
	default: // the keys are gone, say: this pack only
		j.s.o.Logger.Error("a record could not be sealed", "publisher", j.publisher, "error", err)
	}
	return buf
}

// write seals and publishes one record.
func (j *Journal) write(l *link, facts []byte, count int) error {
	if err := needFree(j.s.o.Dir, j.s.o.Reserve); err != nil {
		return err
	}
	j.mu.Lock()
	at := Cursor{j.mark.incarnation, j.mark.last + 1}
	j.mu.Unlock()
	record, err := sealRecord(j.keys, j.publisher, at, facts)
	if err != nil {
		return err
	}
	seq, err := l.publish(record, j.s.o.AckTimeout)
	if err != nil {
		return err
	}
	if seq != at.Sequence {
		return j.damaged(at.Incarnation, nil, fmt.Sprintf("the engine gave the next record the sequence %d where %d was due", seq, at.Sequence))
	}
	j.mu.Lock()
	j.mark.last, j.mark.tag = seq, tagOf(record)
	j.bytes += int64(len(record)) + blockHeader + int64(len(streamName)) + blockHash
	wasFull := j.full
	j.full = false
	j.notify()
	j.mu.Unlock()
	select {
	case j.markWake <- struct{}{}:
	default:
	}
	if wasFull {
		j.s.o.Board.Clear(ProblemFull, j.publisher)
	}
	j.facts.Add(uint64(count))
	j.records.Add(1)
	j.plain.Add(uint64(len(facts)))
	j.sealed.Add(uint64(len(record)))
	return nil
}

// answer tells the callers of a pack.
func (j *Journal) answer(pack []*request, err error) {
	var n int64
	for _, r := range pack {
		n += int64(len(r.facts))
	}
	j.mu.Lock()
	j.queued -= n
	j.mu.Unlock()
	for _, r := range pack {
		r.done <- err
	}
}

// failQueue answers everyone who waits.
func (j *Journal) failQueue(err error) {
	j.mu.Lock()
	queue := j.queue
	j.queue = nil
	j.mu.Unlock()
	j.answer(queue, err)
}

// recover makes a new connection, for as long as it takes. Damage is for the
// operator: then the journal stays as it is until it is closed.
func (j *Journal) recover() {
	j.faults.Add(1)
	j.s.o.Board.Raise(health.Problem{
		Code: ProblemUnavailable, Subject: j.publisher, Severity: health.Down,
		Summary: "The journal's engine stopped answering and is being opened again.",
		Hint:    "If this stays, look at the disk: a full or failing one is the usual cause.",
	})
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		j.mu.Lock()
		closing := j.closing
		j.mu.Unlock()
		if closing {
			return
		}
		err := j.reconnect()
		if err == nil {
			j.s.o.Board.Clear(ProblemUnavailable, j.publisher)
			return
		}
		j.mu.Lock()
		j.fault = err
		j.mu.Unlock()
		if errors.Is(err, ErrDamaged) {
			for !closing {
				j.pause(time.Hour)
				j.mu.Lock()
				closing = j.closing
				j.mu.Unlock()
			}
			return
		}
		j.s.o.Logger.Error("the journal cannot be opened again yet", "publisher", j.publisher, "error", err)
		j.pause(wait)
	}
}

func (j *Journal) reconnect() error {
	if err := needFree(j.s.o.Dir, j.s.o.Reserve); err != nil {
		return err
	}
	j.s.mu.RLock()
	down := j.s.engine == nil
	j.s.mu.RUnlock()
	if down {
		if err := j.s.reopen(0); err != nil {
			return err
		}
	}
	return j.connect(true)
}

// markLoop keeps the mark on disk a moment behind the stream, apart from the
// flusher, so that no caller waits for a second sync. What a crash leaves
// unmarked is on disk all the same; only, damage to just that would not be
// noticed (DESIGN.md).
func (j *Journal) markLoop() {
	for {
		select {
		case <-j.markWake:
		case <-j.stop.Done():
			return
		}
		for {
			j.mu.Lock()
			m := j.mark
			j.mu.Unlock()
			err := j.writeMark(m)
			j.mu.Lock()
			j.markFault = err
			j.mu.Unlock()
			if err == nil {
				break
			}
			j.s.o.Logger.Error("noting what is on disk", "publisher", j.publisher, "error", err)
			j.pause(time.Second)
			if j.stop.Err() != nil {
				return
			}
		}
	}
}

// writeMark puts m, or what is newer by now, on disk.
func (j *Journal) writeMark(m mark) error {
	j.markIO.Lock()
	defer j.markIO.Unlock()
	if j.marked == m {
		return nil
	}
	j.mu.Lock()
	m = j.mark
	j.mu.Unlock()
	if err := j.file.write(m); err != nil {
		return err
	}
	j.marked = m
	return nil
}
