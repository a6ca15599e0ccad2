package keyring

import (
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// maxEpochs bounds the epoch keys alive. Days pass slowly and old epochs are
// destroyed; who makes so many has stopped trimming the journal.
const maxEpochs = 16384

// epoch is a stretch of time with a key of its own.
type epoch struct {
	number uint32
	day    int32 // UTC days since 1970 at its beginning
	key    [keyBytes]byte
}

const epochBytes = 4 + 4 + keyBytes

// epochs are those alive, numbered without gaps from low. The last is the
// present one.
type epochs struct {
	low  uint32 // all below are destroyed; the first of all is 1
	list []epoch
}

// present gives the number of the last epoch, 0 before there is any.
func (e *epochs) present() uint32 { return e.low + uint32(len(e.list)) - 1 }

// key gives the key of an epoch that is alive.
func (e *epochs) key(number uint32) (*[keyBytes]byte, error) {
	if number == 0 || number > e.present() {
		return nil, fmt.Errorf("%w: there was no epoch %d", ErrForged, number)
	}
	if number < e.low {
		return nil, fmt.Errorf("%w: that of epoch %d", ErrDestroyed, number)
	}
	return &e.list[number-e.low].key, nil
}

func (e *epochs) encode() []byte {
	b := make([]byte, 0, 4+len(e.list)*epochBytes)
	b = binary.BigEndian.AppendUint32(b, e.low)
	for i := range e.list {
		b = binary.BigEndian.AppendUint32(b, e.list[i].number)
		b = binary.BigEndian.AppendUint32(b, uint32(e.list[i].day))
		b = append(b, e.list[i].key[:]...)
	}
	return b
}

func decodeEpochs(b []byte) (epochs, error) {
	if len(b) < 4 || (len(b)-4)%epochBytes != 0 {
		return epochs{}, fmt.Errorf("%w: %d bytes of epochs", ErrForged, len(b))
	}
	e := epochs{low: binary.BigEndian.Uint32(b)}
	if e.low == 0 {
		return epochs{}, fmt.Errorf("%w: epochs from 0", ErrForged)
	}
	for b = b[4:]; len(b) > 0; b = b[epochBytes:] {
		ep := epoch{number: binary.BigEndian.Uint32(b), day: int32(binary.BigEndian.Uint32(b[4:]))}
		copy(ep.key[:], b[8:])
		if ep.number != e.low+uint32(len(e.list)) {
			return epochs{}, fmt.Errorf("%w: epoch %d out of order", ErrForged, ep.number)
		}
		e.list = append(e.list, ep)
	}
	return e, nil
}

func (p *Publisher) epochsPath() string { return filepath.Join(p.dir, "epochs") }

// loadEpochs reads the epochs.
func (p *Publisher) loadEpochs() error {
	sealed, err := readFile(p.epochsPath(), kindEpochs, 0)
	if err != nil {
		return err
	}
	plain, err := openFrom(sealed, p.wrap, bind(p.name, kindEpochs, 0, nil))
	if err == nil {
		p.epochs, err = decodeEpochs(plain)
	}
	if err == nil && len(p.epochs.list) == 0 {
		err = fmt.Errorf("%w: no epoch", ErrForged)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.epochsPath(), err)
	}
	return nil
}

// keepEpochs writes e and, once that is on disk, uses it.
func (p *Publisher) keepEpochs(e epochs) error {
	sealed := sealTo(nil, p.wrap, e.encode(), bind(p.name, kindEpochs, 0, nil))
	if err := replaceFile(p.epochsPath(), frame(kindEpochs, 0, sealed)); err != nil {
		return fmt.Errorf("keeping epoch keys: %w", err)
	}
	p.epochs = e
	return nil
}

// beginEpoch adds an epoch. The caller holds mu.
func (p *Publisher) beginEpoch() error {
	if len(p.epochs.list) >= maxEpochs {
		return fmt.Errorf("keyring: %d epochs of %s are alive, and no more can be: trim the journal", maxEpochs, p.name)
	}
	next := epoch{number: p.epochs.present() + 1, day: p.today()}
	if _, err := io.ReadFull(p.ring.o.Rand, next.key[:]); err != nil {
		return fmt.Errorf("making an epoch key: %w", err)
	}
	list := append(append([]epoch(nil), p.epochs.list...), next)
	return p.keepEpochs(epochs{low: p.epochs.low, list: list})
}

// today counts UTC days since 1970.
func (p *Publisher) today() int32 {
	return int32(p.ring.o.Now().Unix() / int64(24*time.Hour/time.Second))
}

// stale says whether the day of the present epoch is over. A clock that was
// set back begins a new one too, else a jump ahead would end the daily change.
func (p *Publisher) stale() bool {
	return p.epochs.list[len(p.epochs.list)-1].day != p.today()
}

// Epoch gives the number of the present epoch, which seals the next record
// unless the day is over. Numbers only grow.
func (p *Publisher) Epoch() uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.epochs.present()
}

// NewEpoch begins a new epoch at once, whatever the day, and gives its number.
// Its key is on disk when it returns.
func (p *Publisher) NewEpoch() (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, ErrClosed
	}
	if err := p.beginEpoch(); err != nil {
		return 0, err
	}
	return p.epochs.present(), nil
}

// rollEpoch begins a new epoch if the day is over.
func (p *Publisher) rollEpoch() error {
	p.mu.RLock()
	stale := p.stale()
	p.mu.RUnlock()
	if !stale {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if !p.stale() { // someone else was first
		return nil
	}
	return p.beginEpoch()
}

// SealRecord seals plain under the key of the present epoch, which changes
// with the UTC day. OpenRecord needs the same aad.
func (p *Publisher) SealRecord(plain, aad []byte) ([]byte, error) {
	if err := p.rollEpoch(); err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	number := p.epochs.present()
	key, err := p.epochs.key(number)
	if err != nil {
		return nil, err
	}
	header := binary.BigEndian.AppendUint32([]byte{version, byte(kindRecord)}, number)
	return sealTo(header, newAEAD(key[:]), plain, bind(p.name, kindRecord, number, aad)), nil
}

// OpenRecord opens what SealRecord sealed with the same aad. It answers
// ErrDestroyed if the epoch's key is gone, ErrForged if the bytes are not what
// was sealed.
func (p *Publisher) OpenRecord(sealed, aad []byte) ([]byte, error) {
	number, err := p.EpochOf(sealed)
	if err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	key, err := p.epochs.key(number)
	if err != nil {
		return nil, err
	}
	return openFrom(sealed[6:], newAEAD(key[:]), bind(p.name, kindRecord, number, aad))
}

// EpochOf tells which epoch's key a record says that it was sealed with. Only
// OpenRecord proves it.
func (p *Publisher) EpochOf(sealed []byte) (uint32, error) {
	rest, err := body(sealed, kindRecord)
	if err != nil {
		return 0, err
	}
	if len(rest) < 4 {
		return 0, fmt.Errorf("%w: only %d bytes", ErrForged, len(sealed))
	}
	return binary.BigEndian.Uint32(rest), nil
}

// DestroyEpochsBefore destroys the keys of all epochs below epoch, which must
// not be above the present one. They are gone from disk when it returns;
// after an error, call it again.
func (p *Publisher) DestroyEpochsBefore(epoch uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if epoch > p.epochs.present() {
		return fmt.Errorf("keyring: epoch %d has not begun; the present one is %d", epoch, p.epochs.present())
	}
	if epoch <= p.epochs.low {
		return nil
	}
	gone := p.epochs.list[:epoch-p.epochs.low]
	alive := append(p.epochs.list[:0:0], p.epochs.list[epoch-p.epochs.low:]...)
	if err := p.keepEpochs(epochs{low: epoch, list: alive}); err != nil {
		return err
	}
	for i := range gone {
		clear(gone[i].key[:])
	}
	return nil
}
