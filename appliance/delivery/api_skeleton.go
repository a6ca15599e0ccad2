package delivery

import (
	"context"
	"errors"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// Delivery is one publisher's. Enqueue, Apply and Forget run in a caller's
// transaction; everything else may be used concurrently.
type Delivery struct{}

var errNotYet = errors.New("delivery: not there yet")

// Open opens the outbox in db. Nothing is sent before Start.
func Open(db *kv.DB, o Options) (*Delivery, error) { return nil, errNotYet }

// Start settles what an earlier process left behind and starts the workers:
// call it when the applier has caught up once.
func (d *Delivery) Start() {}

// Enqueue puts an intention into the outbox, in the caller's transaction. A
// message that is known, waiting or settled, is left as it is.
func (d *Delivery) Enqueue(t *kv.Txn, in Intention) error { return errNotYet }

// Committed tells that a transaction with Enqueue is on disk.
func (d *Delivery) Committed() {}

// Forget drops what waits for the person, and where their links lead.
func (d *Delivery) Forget(t *kv.Txn, person uint32) error { return errNotYet }

// Explain gives the decision of a message, or ErrUnknown.
func (d *Delivery) Explain(message string) (Decision, error) { return Decision{}, errNotYet }

// Message gives what links of a message need, or ErrUnknown.
func (d *Delivery) Message(message string) (Message, error) { return Message{}, errNotYet }

// Receipts turns what providers report into facts and appends them. Receipts
// that name no message known here are counted and dropped.
func (d *Delivery) Receipts(ctx context.Context, rs []connector.Receipt) error { return errNotYet }

// Unknown lists messages whose hand-off was not answered, newest first.
func (d *Delivery) Unknown(limit int) ([]Decision, error) { return nil, errNotYet }

// Pause keeps a channel's messages in the outbox; Resume lets them go on.
func (d *Delivery) Pause(channel string)  {}
func (d *Delivery) Resume(channel string) {}

// Stats counts since Open.
func (d *Delivery) Stats() Stats { return Stats{} }

// Close ends what was begun, and waits for it or for ctx.
func (d *Delivery) Close(ctx context.Context) error { return nil }

var _ = event.Track
