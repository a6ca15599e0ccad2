package campaign

import (
	"context"
	"errors"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Campaigns are one publisher's. Apply and Forget belong to the applier's
// goroutine; everything else may be used concurrently.
type Campaigns struct{}

var errNotYet = errors.New("campaign: not there yet")

// Open loads the campaigns from db. Start starts the workers.
func Open(db *kv.DB, o Options) (*Campaigns, error) { return nil, errNotYet }

// Start starts the workers: call it when the applier has caught up once.
func (c *Campaigns) Start() {}

// Apply carries one fact: it is called by the applier, in its transaction, in
// the journal's order. person is whom the fact concerns (0 = nobody), profile
// reads that person's profile. It returns what is to go into the outbox in the
// same transaction.
func (c *Campaigns) Apply(t *kv.Txn, f *event.Fact, person uint32, profile func(key string) event.Value) ([]Intention, error) {
	return nil, errNotYet
}

// Committed tells that the applier's transaction is on disk.
func (c *Campaigns) Committed() {}

// Forget drops the person's timers, in the applier's transaction.
func (c *Campaigns) Forget(t *kv.Txn, person uint32) error { return errNotYet }

// Validate checks a campaign's JSON as a Programme fact would carry it. The
// error is a Mistakes.
func (c *Campaigns) Validate(body []byte) (*Campaign, error) { return nil, errNotYet }

// List gives all campaigns, by id.
func (c *Campaigns) List() []Status { return nil }

// Get gives one campaign, or ErrUnknown.
func (c *Campaigns) Get(id string) (Status, error) { return Status{}, errNotYet }

// Revision gives a campaign as it was in one of its revisions, but with the
// state it has now, or ErrUnknown.
func (c *Campaigns) Revision(id string, revision int) (*Campaign, error) { return nil, errNotYet }

// Wanted says whether a message decided earlier is still wanted: the campaign
// runs, and for an inaction the awaited event has not happened since. reason
// says why not.
func (c *Campaigns) Wanted(campaign, message string) (ok bool, reason string, err error) {
	return false, "", errNotYet
}

// Close stops the workers and waits for them, or for ctx.
func (c *Campaigns) Close(ctx context.Context) error { return nil }
