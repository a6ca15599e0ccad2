package kv

// Keyspace is the first byte of every key: it keeps the rooms that share a
// database apart. The numbers are on disk and never change; a new room takes
// the next free one. Keys are not sealed and Badger names them in its errors,
// so they hold numbers and keyed hashes, never what identifies a person.
type Keyspace byte

// The keyspaces. Each has one owner, the room it is named after.
const (
	Flow         Keyspace = iota + 1 // the applier's cursor
	People                           // identities, devices, profiles, consent, addresses
	PeopleEvents                     // personal properties of events
	History                          // the head and the list of blocks
	Campaign                         // triggers, timers, runs
	Delivery                         // outbox, decisions, caps
	Erasure                          // the ledger of forgetting
	Access                           // operators, tokens, sessions
	Programme                        // segments, boards, templates
	Repeats                          // hashes of facts seen
	Links                            // what recipients' links point to
	Publisher                        // what the publisher notes about itself
	endOfKeyspaces
)

// valid says whether k is one of the keyspaces above.
func (k Keyspace) valid() bool { return k > 0 && k < endOfKeyspaces }
