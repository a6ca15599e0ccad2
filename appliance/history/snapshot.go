package history

import (
	"context"
	"errors"

	"github.com/RoaringBitmap/roaring/v2"
)

// Want says which rows a Scan is after. It only leaves out what cannot match:
// the caller still tests every row.
type Want struct {
	From, To int64    // microseconds, To exclusive; both 0 = all
	Names    []string // nil = any
	Keys     []string // properties that will be asked for; nil = none
}

// NameInfo says what there is of one event name.
type NameInfo struct {
	Name        string
	Rows        int64
	First, Last int64 // microseconds
}

// Snapshot is a history that does not change. It is safe for concurrent use.
type Snapshot struct{}

// Release lets go of the snapshot and of all that was read through it.
func (s *Snapshot) Release() {}

// Scan calls fn for each stretch of the partition's rows that can match,
// oldest generation first. An error of fn ends it and is returned as it is.
func (s *Snapshot) Scan(ctx context.Context, partition int, w Want, fn func(*Rows) error) error {
	return errors.ErrUnsupported
}

// People gives the numbers of the people with that event on that day of the
// publisher's. The bitmap is shared: it must not be changed.
func (s *Snapshot) People(name string, day int32) (*roaring.Bitmap, error) {
	return nil, errors.ErrUnsupported
}

// Days lists the days that have such an event, in order.
func (s *Snapshot) Days(name string) []int32 { return nil }

// Names describes the event names there are, by name.
func (s *Snapshot) Names() []NameInfo { return nil }

// Keys lists the property keys that were ever seen with the event, in order.
func (s *Snapshot) Keys(name string) []string { return nil }

// Bounds gives the earliest and the latest time of a row; ok is false where
// there is none.
func (s *Snapshot) Bounds() (first, last int64, ok bool) { return 0, 0, false }

// Rows counts the rows.
func (s *Snapshot) Rows() int64 { return 0 }

// Timeline gives at most limit rows of these people before an instant (0 =
// all), newest first or, with asc, oldest first.
func (s *Snapshot) Timeline(ctx context.Context, persons []uint32, before int64, limit int, asc bool) ([]Row, error) {
	return nil, errors.ErrUnsupported
}
