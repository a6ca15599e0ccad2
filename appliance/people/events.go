package people

import (
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// PersonalEvent holds the personal properties of one event.
type PersonalEvent struct {
	Time  int64
	Name  string
	Props []event.Prop
}

// SealEvent keeps the personal properties of an event with its person.
func (p *People) SealEvent(t *kv.Txn, person uint32, time int64, name string, personal []event.Prop) error {
	return nil
}

// OpenEvents gives a person's, from included, to excluded.
func (p *People) OpenEvents(person uint32, from, to int64) ([]PersonalEvent, error) { return nil, nil }
