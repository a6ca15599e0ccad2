package kv

import "slices"

// write is a pending change of one key.
type write struct {
	val     []byte
	deleted bool
}

// overlay holds one keyspace's pending writes, found by key and walked in
// order. Badger's own transactions sort every pending write anew for each
// scan, which makes a transaction with many of both quadratic; here a scan
// pays only for the keys added to its keyspace since the last one.
type overlay struct {
	writes map[string]*write
	sorted []string // keys in order; a scan that runs keeps the slice it began with
	fresh  []string // keys added since
}

// find gives the pending write of key, or nil. Its nil case must be cheap:
// most reads are of keys that this transaction has not written.
func (o *overlay) find(key []byte) *write { return o.writes[string(key)] }

func (o *overlay) put(key []byte, w *write) {
	if o.writes == nil {
		o.writes = make(map[string]*write)
	}
	k := string(key)
	if _, there := o.writes[k]; !there {
		o.fresh = append(o.fresh, k)
	}
	o.writes[k] = w
}

// order gives the keys in order. The slice is never written to again.
func (o *overlay) order() []string {
	if len(o.fresh) == 0 {
		return o.sorted
	}
	slices.Sort(o.fresh)
	merged := make([]string, 0, len(o.sorted)+len(o.fresh))
	i := 0
	for _, k := range o.fresh {
		for i < len(o.sorted) && o.sorted[i] < k {
			merged = append(merged, o.sorted[i])
			i++
		}
		merged = append(merged, k)
	}
	o.sorted = append(merged, o.sorted[i:]...)
	o.fresh = nil
	return o.sorted
}
