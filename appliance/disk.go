package appliance

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/kv"
)

const (
	diskEvery   = time.Second
	problemDisk = "disk.reserve"
)

// disk stops ingest before the disk is full, since a full disk kills a process
// that maps files; reading, unsubscribing and erasing go on in the reserve.
type disk struct {
	dir     string
	reserve int64
	board   *health.Board
	low     atomic.Bool
	free    atomic.Int64

	stop chan struct{}
	wg   sync.WaitGroup
}

func newDisk(dir string, reserve int64, board *health.Board) *disk {
	d := &disk{dir: dir, reserve: reserve, board: board, stop: make(chan struct{})}
	d.look()
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		t := time.NewTicker(diskEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				d.look()
			case <-d.stop:
				return
			}
		}
	}()
	return d
}

func (d *disk) look() {
	free, err := kv.Free(d.dir)
	if err != nil {
		d.board.Raise(health.Problem{Code: problemDisk, Severity: health.Warning,
			Summary: fmt.Sprintf("The free space of %s cannot be read: %v.", d.dir, err), Hint: "Check the file system."})
		return
	}
	d.free.Store(free)
	low := free < d.reserve
	d.low.Store(low)
	if !low {
		d.board.Clear(problemDisk, "")
		return
	}
	d.board.Raise(health.Problem{Code: problemDisk, Severity: health.Degraded,
		Summary: fmt.Sprintf("The disk has %d MiB left, less than its reserve of %d MiB: nothing is collected.", free>>20, d.reserve>>20),
		Hint:    "Free space or enlarge the file system; collecting goes on by itself."})
}

// ready says why nothing can be taken now.
func (d *disk) ready() error {
	if d.low.Load() {
		return ingest.ErrNoSpace
	}
	return nil
}

func (d *disk) close() error {
	close(d.stop)
	d.wg.Wait()
	return nil
}
