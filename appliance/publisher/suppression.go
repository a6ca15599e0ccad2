package publisher

import (
	"context"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// Suppress puts addresses on the suppression list, or takes them off; it is in
// force when it returns. kept are those that are on it for another reason, and
// so stay as they were.
func (p *Publisher) Suppress(ctx context.Context, remove bool, addresses []event.Address) (kept int, err error) {
	if len(addresses) > people.MaxSuppress {
		return 0, &query.Error{Code: query.CodeBudget, Path: "addresses", Message: fmt.Sprintf("at most %d addresses at once", people.MaxSuppress)}
	}
	if err := p.save(ctx, event.TypeSuppression, "", p.people.SuppressionBody(remove, addresses)); err != nil {
		return 0, err
	}
	for _, a := range addresses {
		s, on, err := p.people.Suppression(a.Channel, a.Value)
		if err != nil {
			return 0, err
		}
		if on && (remove || s.Reason != people.SuppressedOperator) {
			kept++
		}
	}
	return kept, nil
}

// Suppression says whether and why an address is on the suppression list.
func (p *Publisher) Suppression(channel, address string) (people.Suppression, bool, error) {
	return p.people.Suppression(channel, address)
}

// Suppressions gives a page of the list: people.Suppressions.
func (p *Publisher) Suppressions(ctx context.Context, reason, after string, limit int) ([]people.Suppression, string, error) {
	return p.people.Suppressions(ctx, reason, after, limit)
}

// SuppressionCounts says how many addresses are on it, by reason.
func (p *Publisher) SuppressionCounts(ctx context.Context) (map[string]int64, error) {
	return p.people.SuppressionCounts(ctx)
}
