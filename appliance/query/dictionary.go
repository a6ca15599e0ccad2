package query

import (
	"math"
	"sync"

	"github.com/cloisterhq/cloister/appliance/event"
)

// dictionary gives every distinct value that a question meets one number, so
// that rows carry numbers and two values are the same if their numbers are.
// 0 is the missing value. Values of different kinds are different values. It
// is safe for concurrent use.
type dictionary struct {
	mu     sync.RWMutex
	ids    map[string]uint32
	values []event.Value
	bytes  int64 // about, held since grown was last asked
}

func newDictionary() *dictionary {
	return &dictionary{ids: map[string]uint32{}, values: []event.Value{{}}}
}

func (d *dictionary) id(v event.Value) uint32 {
	if v.IsNull() {
		return 0
	}
	var buf [64]byte
	key := event.AppendValue(buf[:0], v)
	d.mu.RLock()
	id, ok := d.ids[string(key)]
	d.mu.RUnlock()
	if ok {
		return id
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := d.ids[string(key)]; ok {
		return id
	}
	id = uint32(len(d.values))
	d.ids[string(key)] = id
	d.values = append(d.values, v)
	d.bytes += int64(2*len(key)) + entryBytes
	return id
}

// entryBytes is about what an entry takes beside its text.
const entryBytes = 200

// grown gives the bytes that the dictionary came to hold since the last call.
func (d *dictionary) grown() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.bytes
	d.bytes = 0
	return n
}

func (d *dictionary) value(id uint32) event.Value {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.values[id]
}

// elements is what a value counts under in a breakdown: itself, or each
// distinct element of a list.
func (d *dictionary) elements(id uint32, dim dimension) []uint32 {
	v := d.value(id)
	if dim.place == ofItem {
		return d.itemValues(v, dim.key)
	}
	if v.Kind() != event.List {
		return []uint32{id}
	}
	var out []uint32
	for _, e := range v.List() {
		out = addOnce(out, d.id(e))
	}
	return out
}

func (d *dictionary) itemValues(items event.Value, key string) []uint32 {
	list := items.List()
	if items.Kind() == event.Object {
		list = []event.Value{items}
	}
	if len(list) == 0 {
		return []uint32{0}
	}
	var out []uint32
	for _, it := range list {
		v := event.Lookup(it.Object(), key)
		if v.Kind() != event.List {
			out = addOnce(out, d.id(v))
			continue
		}
		for _, e := range v.List() {
			out = addOnce(out, d.id(e))
		}
	}
	return out
}

func addOnce(ids []uint32, id uint32) []uint32 {
	for _, o := range ids {
		if o == id {
			return ids
		}
	}
	return append(ids, id)
}

// memo is one worker's view of the dictionary: numbers by their bits, since
// columns of numbers have no codes to remember by, and short texts, which come
// back with the dictionary of every block.
type memo struct {
	d       *dictionary
	numbers map[uint64]uint32
	texts   map[string]uint32
}

const (
	maxMemo     = 1 << 16 // entries
	maxMemoText = 64      // bytes
)

func (m *memo) id(v event.Value) uint32 {
	if v.Kind() != event.Text || len(v.Text()) > maxMemoText {
		return m.d.id(v)
	}
	id, ok := m.texts[v.Text()]
	if !ok {
		if id = m.d.id(v); len(m.texts) < maxMemo {
			m.texts[v.Text()] = id
		}
	}
	return id
}

func (m *memo) number(f float64) uint32 {
	if math.IsNaN(f) {
		return 0
	}
	bits := math.Float64bits(f)
	if id, ok := m.numbers[bits]; ok {
		return id
	}
	id := m.d.id(event.OfFloat(f))
	if len(m.numbers) < maxMemo {
		m.numbers[bits] = id
	}
	return id
}
