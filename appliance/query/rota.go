package query

import (
	"sync"

	"github.com/cloisterhq/cloister/appliance/event"
)

// rota hands out the partitions to workers. Each begins at a place of its
// own, and helps the others from their ends when it is through: neighbouring
// partitions lie in the same blocks, and two workers who go through them side
// by side wait for each other to decode one.
type rota struct {
	mu    sync.Mutex
	spans [][2]int // of each worker: the partitions left, the second excluded
}

func newRota(workers int) *rota {
	s := &rota{spans: make([][2]int, workers)}
	for i := range s.spans {
		s.spans[i] = [2]int{i * event.Partitions / workers, (i + 1) * event.Partitions / workers}
	}
	return s
}

// take gives a worker its next partition; false if none is left.
func (s *rota) take(worker int) (partition int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := &s.spans[worker]; own[0] < own[1] {
		own[0]++
		return own[0] - 1, true
	}
	most := &s.spans[worker]
	for i := range s.spans {
		if o := &s.spans[i]; o[1]-o[0] > most[1]-most[0] {
			most = o
		}
	}
	if most[0] == most[1] {
		return 0, false
	}
	most[1]--
	return most[1], true
}
