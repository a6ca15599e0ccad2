package people

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// Prefixes of the keys of the People keyspace; FORMAT.md.
const (
	keyIndex    = 'i' // hash -> kind, number
	keyRecord   = 'p' // number -> sealed record
	keyMerge    = 'm' // number -> the winner it was merged into, or 0 = kept apart
	keyErased   = 'x' // number -> nothing
	keySuppress = 's' // hash of an address -> why, when
	keySoft     = 'o' // hash of an address -> messages that came back in a row, since when
	keyHolder   = 'h' // hash of an address, number -> nothing
	keyLedger   = 'l' // number, sequence -> sealed decision
	keySweep    = 'w' // number that Sweep has to visit
	keyCounters = 'n' // highest number, highest sequence

	keyList      = 'u' // hash of a list's name -> sealed list
	keySet       = 'b' // set, piece -> sealed numbers
	keyListSweep = 'v' // set, number that Sweep has to take out of it
)

// hash stands for an identity, a device or an address wherever it must be
// found again without being kept: keyed, so that nobody else can try names.
type hash [16]byte

func numberKey(prefix byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefix}, n)
}

func hashKey(prefix byte, h hash) []byte { return append([]byte{prefix}, h[:]...) }

// idKind tells the ids that a publisher gives from those of devices.
type idKind byte

const (
	idIdentity idKind = 1
	idDevice   idKind = 2
)

// hashID is the hash of an identity or a device. They are apart: a device that
// calls itself like somebody's identity is still only a device.
func (p *People) hashID(kind idKind, id string) hash {
	domain := "people identity"
	if kind == idDevice {
		domain = "people device"
	}
	h := p.keys.Hash(domain, []byte(id))
	return hash(h[:16])
}

// hashAddress is the hash of an address on a channel.
func (p *People) hashAddress(channel, value string) hash {
	h := p.keys.Hash("people address", []byte(channel), []byte(sameForm(channel, value)))
	return hash(h[:16])
}

// list is a map by hash in front of the database, some 30 to 40 bytes an
// entry. The applier sees what it put at once, everybody else what Committed
// published.
type list[T any] struct {
	committed map[hash]T // written under People.mu, by the applier only
	pending   map[hash]T
}

func newList[T any]() list[T] {
	return list[T]{committed: make(map[hash]T), pending: make(map[hash]T)}
}

// find is the applier's.
func (l *list[T]) find(h hash) T {
	if v, ok := l.pending[h]; ok {
		return v
	}
	return l.committed[h]
}

// publish needs People.mu.
func (l *list[T]) publish() {
	for h, v := range l.pending {
		l.committed[h] = v
	}
	clear(l.pending)
}

// hashedSlots and maxHashedID bound the ids whose hashes the applier remembers
// and their length: 2 MB with common ids, 6 whatever comes.
const (
	hashedSlots = 1 << 15
	maxHashedID = 128
)

// hashedID is an id and its hash.
type hashedID struct {
	sum  uint64 // of the id: most others are told apart without reading theirs
	id   string
	kind idKind
	hash hash
}

// hashOf is hashID for the applier, which meets the same ids again and again:
// an HMAC for every fact was a seventh of its time. Each id has one place, and
// the one met last has it; so ids that never come again cost next to nothing,
// which a map that has to be emptied does not give.
func (p *People) hashOf(kind idKind, id string) hash {
	sum := maphash.String(valueSeed, id)
	e := &p.hashed[sum%hashedSlots]
	if e.sum == sum && e.kind == kind && e.id == id {
		return e.hash
	}
	h := p.hashID(kind, id)
	if len(id) <= maxHashedID {
		*e = hashedID{sum, id, kind, h}
	}
	return h
}

// owner gives the number that an id belongs to itself, before merges; 0 if it
// is unknown. Ids of the erased keep theirs: it is all that is remembered.
func (p *People) owner(kind idKind, id string) (uint32, hash) {
	h := p.hashOf(kind, id)
	return p.index.find(h), h
}

// point makes an id belong to a number from now on.
func (p *People) point(t *kv.Txn, kind idKind, h hash, n uint32) error {
	p.index.pending[h] = n
	if kind == idIdentity {
		p.identified.Add(n)
	}
	val := binary.BigEndian.AppendUint32([]byte{byte(kind)}, n)
	if err := t.Set(kv.People, hashKey(keyIndex, h), val); err != nil {
		return fmt.Errorf("indexing an id of person %d: %w", n, err)
	}
	return nil
}

// counters are what must never be given twice.
type counters struct {
	max uint32 // highest number given
	seq uint64 // of decisions about consent, across all people
}

func (p *People) saveCounters(t *kv.Txn) error {
	val := binary.BigEndian.AppendUint32(nil, p.count.max)
	val = binary.BigEndian.AppendUint64(val, p.count.seq)
	if err := t.Set(kv.People, []byte{keyCounters}, val); err != nil {
		return fmt.Errorf("noting the highest number: %w", err)
	}
	return nil
}

func loadCounters(t *kv.Txn) (counters, error) {
	val, err := t.Get(kv.People, []byte{keyCounters})
	if errors.Is(err, kv.ErrNotFound) {
		return counters{}, nil
	}
	if err != nil {
		return counters{}, err
	}
	if len(val) != 12 {
		return counters{}, fmt.Errorf("%w: the counters have %d bytes", ErrDamaged, len(val))
	}
	return counters{max: binary.BigEndian.Uint32(val), seq: binary.BigEndian.Uint64(val[4:])}, nil
}
