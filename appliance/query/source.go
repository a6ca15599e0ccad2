package query

import (
	"context"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/history"
)

// History is what happened, as of one moment: *history.Snapshot.
type History interface {
	Scan(ctx context.Context, partition int, w history.Want, fn func(*history.Rows) error) error
	People(name string, day int32) (*roaring.Bitmap, error)
	// AnyPeople are those with any event of the apps.
	AnyPeople(day int32) (*roaring.Bitmap, error)
	Days(name string) []int32
	Names() []history.NameInfo
}

// People is who, as of the same moment: *people.Snapshot.
type People interface {
	Winner(person uint32) uint32
	Losers(partition int) map[uint32][]uint32
	Hidden(person uint32) bool
	Exists() *roaring.Bitmap
	Profile(key string) *block.Column
	Reachable(channel string) *roaring.Bitmap
	Consented(purpose, channel string) *roaring.Bitmap
	// Lists are the names of the uploaded lists, in order; List is who is on
	// one, winners alone, nil if there is no such list.
	Lists() []string
	List(name string) *roaring.Bitmap
	// Identity looks a person up as of now: people.ErrErased if they were
	// erased since.
	Identity(person uint32) (string, error)
}
