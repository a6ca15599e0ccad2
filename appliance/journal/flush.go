package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

// bigPack is how much must wait for a second record to be sent while the first
// is being synced: sealing and copying it goes on meanwhile. Less than that had
// better gather, since each record costs a sync.
const bigPack = packBytes / 2

// flight is a record that was sent and is not acknowledged yet.
type flight struct {
	pack          []*request
	at            uint64
	tag           [tagBytes]byte
	facts         int
	plain, sealed int
}

// flushLoop is the only writer of the stream. While one record is being synced
// the next gathers: nothing waits for more to come.
func (j *Journal) flushLoop() {
	var w writer
	for {
		l, pack, ok := j.next(len(w.flying))
		switch {
		case !ok:
			return
		case l == nil:
			j.abandon(&w, ErrUnavailable)
			j.recover()
		case pack != nil:
			j.send(&w, l, pack)
		default:
			j.land(&w, l)
		}
	}
}

// writer is the flusher's own state.
type writer struct {
	flying []flight // oldest first, at most two
	facts  []byte   // buffers for the next record
	packed []byte
}

// next takes up to packBytes of what waits to be written. With nothing in
// flight it waits for something; else it takes only what is worth a record
// beside the one in flight, and otherwise gives no pack. l is nil if there is
// no connection; ok is false when the journal is closed and empty.
func (j *Journal) next(flying int) (l *link, pack []*request, ok bool) {
	for {
		j.mu.Lock()
		l, closing := j.link, j.closing
		if l == nil {
			j.mu.Unlock()
			if closing {
				j.failQueue(ErrClosed)
				return nil, nil, flying > 0
			}
			return nil, nil, true
		}
		if flying == 0 || flying == 1 && j.waits(bigPack) {
			pack = j.takePack()
		}
		j.mu.Unlock()
		if len(pack) > 0 || flying > 0 {
			return l, pack, true
		}
		if closing {
			return nil, nil, false
		}
		<-j.wake
	}
}

// waits says whether so many bytes wait. The caller holds mu.
func (j *Journal) waits(bytes int) bool {
	for _, r := range j.queue {
		if bytes -= len(r.facts); bytes <= 0 {
			return true
		}
	}
	return false
}

// takePack takes a record's worth off the queue. The caller holds mu.
func (j *Journal) takePack() (pack []*request) {
	size, n := 0, 0
	for _, r := range j.queue {
		if len(pack) > 0 && size+len(r.facts) > packBytes {
			break
		}
		n++
		if !r.state.CompareAndSwap(waiting, taken) {
			j.queued -= int64(len(r.facts)) // its caller has left
			continue
		}
		size += len(r.facts)
		pack = append(pack, r)
	}
	clear(j.queue[:n])
	if j.queue = j.queue[n:]; len(j.queue) == 0 {
		j.queue = nil
	}
	return pack
}

// send seals a pack as one record and gives it to the engine.
func (j *Journal) send(w *writer, l *link, pack []*request) {
	f := flight{pack: pack}
	facts := pack[0].facts
	for _, r := range pack {
		f.facts += r.count
	}
	if len(pack) > 1 {
		w.facts = w.facts[:0]
		for _, r := range pack {
			w.facts = append(w.facts, r.facts...)
		}
		facts = w.facts
	}
	if err := needFree(j.s.o.Dir, j.s.o.Reserve); err != nil {
		j.refused(pack, err)
		return
	}
	j.mu.Lock()
	at := Cursor{j.mark.incarnation, j.mark.last + uint64(len(w.flying)) + 1}
	j.mu.Unlock()
	record, packed, err := sealRecord(j.keys, j.publisher, at, facts, w.packed)
	if err != nil { // the keys are gone, say: this pack only
		j.s.o.Logger.Error("a record could not be sealed", "publisher", j.publisher, "error", err)
		j.answer(pack, err)
		return
	}
	w.packed = packed
	f.at, f.tag, f.plain, f.sealed = at.Sequence, tagOf(record), len(facts), len(record)
	w.flying = append(w.flying, f)
	// The one behind another must not be stored in its place if that is refused.
	if err := l.send(record, len(w.flying) > 1, at.Sequence-1); err != nil {
		j.broken(w, l, err)
	}
}

// land waits for the oldest record in flight to be on disk.
func (j *Journal) land(w *writer, l *link) {
	f := w.flying[0]
	seq, err := l.landed(j.s.o.AckTimeout)
	if err == nil && seq != f.at {
		err = j.damaged(j.End().Incarnation, nil, fmt.Sprintf("the engine gave the next record the sequence %d where %d was due", seq, f.at))
	}
	switch {
	case errors.Is(err, ErrFull):
		w.flying = w.flying[1:]
		j.refused(f.pack, err)
		return
	case err != nil:
		j.broken(w, l, err)
		return
	}
	w.flying = w.flying[1:]
	j.mu.Lock()
	j.mark.last, j.mark.tag = seq, f.tag
	j.bytes += int64(f.sealed) + blockHeader + int64(len(streamName)) + blockHash
	wasFull := j.full
	j.full = false
	j.notify()
	j.mu.Unlock()
	j.facts.Add(uint64(f.facts))
	j.records.Add(1)
	j.plain.Add(uint64(f.plain))
	j.sealed.Add(uint64(f.sealed))
	j.answer(f.pack, nil)
	select {
	case j.markWake <- struct{}{}:
	default:
	}
	if wasFull {
		j.s.o.Board.Clear(ProblemFull, j.publisher)
	}
}

// refused answers a pack for which there is no room.
func (j *Journal) refused(pack []*request, err error) {
	j.s.o.Board.Raise(health.Problem{
		Code: ProblemFull, Subject: j.publisher, Severity: health.Down,
		Summary: "Nothing more can be written to the journal: " + err.Error() + ".",
		Hint:    "Free space on its disk, or raise the journal's limit; it goes on by itself.",
	})
	j.mu.Lock()
	j.full = true
	j.mu.Unlock()
	j.answer(pack, err)
}

// broken ends a connection on which nobody knows what was written. Whatever
// the engine still does with it must be over before anything is written again.
func (j *Journal) broken(w *writer, l *link, err error) {
	j.s.o.Logger.Error("a record could not be written", "publisher", j.publisher, "error", err)
	j.drop(err)
	if !errors.Is(err, ErrDamaged) {
		if rerr := j.s.reopen(l.engine.number); rerr != nil {
			j.s.o.Logger.Error("opening the journal's engine again", "error", rerr)
		}
	}
	j.abandon(w, err)
	j.failQueue(err)
}

// abandon answers for what is in flight.
func (j *Journal) abandon(w *writer, err error) {
	for _, f := range w.flying {
		j.answer(f.pack, err)
	}
	w.flying = nil
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
