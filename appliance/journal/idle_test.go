package journal

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// TestTwentyPublishersAreCheap bounds what idle journals cost.
func TestTwentyPublishersAreCheap(t *testing.T) {
	h := newHouse(t)
	h.open()
	for i := range 20 {
		appendOne(t, h.journal(fmt.Sprint("p", i), StreamOptions{}), "1")
	}
	h.close()
	before := heap()
	start := time.Now()
	h.open()
	for i := range 20 {
		h.journal(fmt.Sprint("p", i), StreamOptions{})
	}
	took := time.Since(start)
	grown := heap() - before
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS") {
			t.Log(strings.TrimSpace(line))
		}
	}
	t.Logf("20 journals: %d KiB of heap, %d goroutines, opened in %v", grown>>10, runtime.NumGoroutine(), took.Round(time.Millisecond))
	if grown > 40<<20 {
		t.Errorf("%d MiB for 20 idle journals", grown>>20)
	}
}

func heap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
