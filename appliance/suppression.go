package appliance

import (
	"context"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

func (d desk) SuppressionCounts(ctx context.Context) (map[string]int64, error) {
	if d.rooms == nil {
		return nil, errRoomsAway
	}
	return d.rooms.SuppressionCounts(ctx)
}

func (d desk) Suppression(channel, address string) (people.Suppression, bool, error) {
	if d.rooms == nil {
		return people.Suppression{}, false, errRoomsAway
	}
	return d.rooms.Suppression(channel, address)
}

func (d desk) Suppressions(ctx context.Context, reason, after string, limit int) ([]people.Suppression, string, error) {
	if d.rooms == nil {
		return nil, "", errRoomsAway
	}
	return d.rooms.Suppressions(ctx, reason, after, limit)
}

func (d desk) Suppress(ctx context.Context, remove bool, addresses []event.Address) (int, error) {
	if d.rooms == nil {
		return 0, errRoomsAway
	}
	kept, err := d.rooms.Suppress(ctx, remove, addresses)
	return kept, stopped(err)
}
