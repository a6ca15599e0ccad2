package people

import "github.com/RoaringBitmap/roaring/v2"

// bits is a set of people of which snapshots can be taken cheaply: a clone
// shares its containers until they are written to. Only the applier uses it.
type bits struct {
	b      *roaring.Bitmap
	shared *roaring.Bitmap // nil = changed since
}

func newBits() *bits {
	b := roaring.New()
	b.SetCopyOnWrite(true)
	return &bits{b: b}
}

func (s *bits) has(n uint32) bool { return s.b.Contains(n) }

func (s *bits) set(n uint32, in bool) {
	if s.b.Contains(n) == in {
		return // writing would copy the container for nothing
	}
	s.shared = nil
	if in {
		s.b.Add(n)
	} else {
		s.b.Remove(n)
	}
}

// view gives the set as it is now; nobody may change it.
func (s *bits) view() *roaring.Bitmap {
	if s.shared == nil {
		s.shared = s.b.Clone()
		// Cloning a bitmap that copies on write marks its containers, which
		// readers of one snapshot would do at the same time.
		s.shared.SetCopyOnWrite(false)
	}
	return s.shared
}
