package publisher

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

// A checkpoint is a consistent copy of the state, sealed, in one file: what
// lies in the journal behind it is not needed any more (DESIGN.md).
//
// The file, DIR/checkpoint: magic "CLCP", version 1, then chunks of a length
// (4, big endian) and so many bytes, sealed with the chunk's number (8, big
// endian) as aad; a chunk of plain length 0 ends it.
const (
	checkpointFile  = "checkpoint"
	checkpointChunk = 1 << 20
	checkpointEvery = 24 * time.Hour
	checkpointSoon  = time.Hour // after the last one
	checkpointRetry = time.Hour
	problemNoCopy   = "publisher.checkpoint"
)

var checkpointMagic = []byte("CLCP\x01")

var errCheckpoint = errors.New("publisher: the checkpoint is damaged")

// keepCheckpoints makes one a day, and one sooner where disk waits for it.
func (p *Publisher) keepCheckpoints() {
	last, every := p.o.Now(), checkpointEvery
	if info, err := os.Stat(p.checkpointPath()); err == nil {
		last = info.ModTime()
	}
	for {
		if left := every - p.o.Now().Sub(last); left > 0 {
			select {
			case <-time.After(min(left, lookEvery)):
			case <-p.emptied:
				every = min(every, checkpointSoon)
			case <-p.ctx.Done():
				return
			}
			continue
		}
		last, every = p.o.Now(), checkpointEvery
		if err := p.Checkpoint(p.ctx); err != nil && p.ctx.Err() == nil {
			p.o.Logger.Error("making a checkpoint failed", "error", err)
			every = checkpointRetry
		}
	}
}

// shelvesWait notes that a checkpoint would free disk.
func (p *Publisher) shelvesWait() {
	select {
	case p.emptied <- struct{}{}:
	default:
	}
}

func (p *Publisher) checkpointPath() string { return filepath.Join(p.o.Dir, checkpointFile) }

// Checkpoint copies the state, reads the copy back, and only then lets the
// journal go up to where the copy had applied it, with the keys of the epochs
// that end there. After an erasure it is what makes the person's bytes go.
func (p *Publisher) Checkpoint(ctx context.Context) (err error) {
	defer func() {
		if err == nil {
			p.clear(problemNoCopy)
		} else if ctx.Err() == nil {
			p.raise(health.Problem{
				Code: problemNoCopy, Severity: health.Warning, Summary: "The daily checkpoint could not be made, so the journal keeps growing.",
				Hint: "See the log for why; usually the disk is full.",
			})
		}
	}()
	p.copying.Lock()
	defer p.copying.Unlock()
	// What was sealed so far stays in epochs that can go as a whole.
	epoch, err := p.o.Keys.NewEpoch()
	if err != nil {
		return fmt.Errorf("beginning an epoch before a checkpoint: %w", err)
	}
	// Records go into the journal in the order they are sealed, so behind this
	// fact there is none of an earlier epoch. The copy, made once it is applied,
	// covers all before it.
	if err := p.save(ctx, typeCheckpoint, "", nil); err != nil {
		return err
	}
	upTo := p.applier.Position()
	emptied := p.history.Emptied()
	// What connectors must still be told of the erased is sealed like a record.
	if err := p.erasure.Reseal(); err != nil {
		return fmt.Errorf("before a checkpoint: %w", err)
	}
	if err := p.writeCheckpoint(); err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	if err := p.journal.Trim(ctx, upTo); err != nil {
		return fmt.Errorf("trimming the journal behind a checkpoint: %w", err)
	}
	if err := p.o.Keys.DestroyEpochsBefore(epoch); err != nil {
		return fmt.Errorf("destroying the keys of epochs behind a checkpoint: %w", err)
	}
	// The copy before this one may have named them.
	if err := p.history.RemoveEmptied(ctx, emptied); err != nil {
		return fmt.Errorf("removing shelves behind a checkpoint: %w", err)
	}
	return nil
}

func (p *Publisher) writeCheckpoint() (err error) {
	path := p.checkpointPath() + ".new"
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	w := &sealedWriter{p: p, w: bufio.NewWriterSize(f, 1<<20)}
	if _, err := w.w.Write(checkpointMagic); err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(w, checkpointChunk)
	if err := p.db.Backup(buffered); err != nil {
		return err
	}
	if err := errors.Join(buffered.Flush(), w.seal(nil), w.w.Flush(), f.Sync()); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if n, err := p.verifyCheckpoint(bufio.NewReaderSize(f, 1<<20)); err != nil || n != w.plain {
		return errors.Join(err, fmt.Errorf("%w: %d bytes were written and %d read back", errCheckpoint, w.plain, n))
	}
	if err := os.Rename(path, p.checkpointPath()); err != nil {
		return err
	}
	dir, err := os.Open(p.o.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sealedWriter seals what is written to it, a chunk a Write.
type sealedWriter struct {
	p      *Publisher
	w      *bufio.Writer
	number uint64
	plain  int64
}

func (s *sealedWriter) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), checkpointChunk)
		if err := s.seal(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func (s *sealedWriter) seal(b []byte) error {
	sealed, err := s.p.o.Keys.SealChunk(b, checkpointAAD(s.number))
	if err != nil {
		return err
	}
	s.number++
	s.plain += int64(len(b))
	if err := binary.Write(s.w, binary.BigEndian, uint32(len(sealed))); err != nil {
		return err
	}
	_, err = s.w.Write(sealed)
	return err
}

func checkpointAAD(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("checkpoint"), number)
}

// verifyCheckpoint reads a checkpoint to its end and gives its plain bytes.
func (p *Publisher) verifyCheckpoint(r io.Reader) (plain int64, err error) {
	magic := make([]byte, len(checkpointMagic))
	if _, err := io.ReadFull(r, magic); err != nil || !bytes.Equal(magic, checkpointMagic) {
		return 0, fmt.Errorf("%w: it does not begin like one", errCheckpoint)
	}
	for number := uint64(0); ; number++ {
		var size uint32
		if err := binary.Read(r, binary.BigEndian, &size); err != nil {
			return plain, fmt.Errorf("%w: it ends before its last chunk", errCheckpoint)
		}
		if size > 2*checkpointChunk {
			return plain, fmt.Errorf("%w: chunk %d says it has %d bytes", errCheckpoint, number, size)
		}
		sealed := make([]byte, size)
		if _, err := io.ReadFull(r, sealed); err != nil {
			return plain, fmt.Errorf("%w: chunk %d is short", errCheckpoint, number)
		}
		b, err := p.o.Keys.OpenChunk(sealed, checkpointAAD(number))
		if err != nil {
			return plain, fmt.Errorf("%w: chunk %d: %w", errCheckpoint, number, err)
		}
		if len(b) == 0 {
			return plain, nil
		}
		plain += int64(len(b))
	}
}

func (p *Publisher) raise(q health.Problem) {
	if p.o.Board != nil {
		q.Subject = p.o.Name
		p.o.Board.Raise(q)
	}
}

func (p *Publisher) clear(code string) {
	if p.o.Board != nil {
		p.o.Board.Clear(code, p.o.Name)
	}
}
