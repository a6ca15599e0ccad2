package mix

import (
	"hash/fnv"
	"path/filepath"
	"testing"
)

// TestGenerate holds what the measuring relies on: the number, the order, no
// two instants alike of one person, the same again from the same seed.
func TestGenerate(t *testing.T) {
	const n = 50_000
	sum := func(seed uint64) uint64 {
		h := fnv.New64a()
		latest := make(map[uint32]int64)
		before, count := int64(0), 0
		var b []byte
		err := Generate(n, seed, func(list []Event) error {
			for i := range list {
				e := &list[i]
				if e.Time < before {
					t.Fatalf("event %d lies before the one ahead of it", count)
				}
				if before = e.Time; latest[e.Person] >= e.Time {
					t.Fatalf("event %d is not after its person's last one", count)
				}
				latest[e.Person] = e.Time
				if (e.Name == cart || e.Name == charged) != (e.Amount > 0) {
					t.Fatalf("event %d: an amount of %d on %s", count, e.Amount, Names[e.Name])
				}
				b = e.AppendJSON(b[:0])
				h.Write(b)
				count++
			}
			return nil
		})
		if err != nil || count != n {
			t.Fatalf("%d events: %v", count, err)
		}
		return h.Sum64()
	}
	if a, b := sum(1), sum(1); a != b {
		t.Error("the same seed made other events")
	}
	if a, b := sum(1), sum(2); a == b {
		t.Error("another seed made the same events")
	}
}

// TestFile writes events and reads them back.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	if err := Write(path, 10_001, 1); err != nil {
		t.Fatal(err)
	}
	var want []Event
	if err := Generate(10_001, 1, func(list []Event) error { want = append(want, list...); return nil }); err != nil {
		t.Fatal(err)
	}
	err := Read(path, 1000, func(list []Event) error {
		for _, e := range list {
			if e != want[0] {
				t.Fatalf("%v, not %v", e, want[0])
			}
			want = want[1:]
		}
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Fatalf("%d left: %v", len(want), err)
	}
}
