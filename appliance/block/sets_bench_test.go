package block

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
)

// anyone is about one person in so many, of half a million.
func anyone(in float64) *roaring.Bitmap {
	r := rand.New(rand.NewPCG(1, 2))
	set := roaring.New()
	for v := 0.0; v < 500_000; v += 1 + float64(int(r.ExpFloat64()*(in-1))) {
		set.Add(uint32(v))
	}
	return set
}

// cpuTime is what this process took: less disturbed by what else runs than the
// clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkSets(b *testing.B) {
	for _, in := range []float64{2, 5, 10, 30, 300, 10_000} {
		set := anyone(in)
		n := int(set.GetCardinality())
		data, err := AppendSet(nil, set)
		if err != nil {
			b.Fatal(err)
		}
		raw, err := set.ToBytes()
		if err != nil {
			b.Fatal(err)
		}
		old := appendSection(nil, raw)
		measure := func(name string, work func() error) {
			b.Run(fmt.Sprintf("one in %v/%s", in, name), func(b *testing.B) {
				before := cpuTime(b)
				for b.Loop() {
					if err := work(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*n), "cpu-ns/person")
				b.ReportMetric(float64(len(data))*8/float64(n), "bits/person")
			})
		}
		measure("write", func() error { _, err := AppendSet(nil, set); return err })
		measure("read", func() error { _, err := ReadSet(data, n); return err })
		measure("read roaring", func() error { _, err := ReadSet(old, n); return err })
	}
}
