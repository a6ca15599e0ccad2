package clevertap

import (
	"crypto/rand"
	"sync"
	"time"
)

// Bounds of what is kept for a while, of one publisher.
const (
	maxCursors = 200
	maxResults = 1000
	resultLife = 10 * time.Minute
)

// shelf keeps things for a while, each publisher's apart: nobody finds
// another's, and nobody's crowd out another's. It is in memory: what a restart
// takes is asked for anew.
type shelf[T any] struct {
	most int // of one publisher

	mu sync.Mutex
	of map[string]map[string]*kept[T] // publisher -> id
}

type kept[T any] struct {
	value T
	made  time.Time
	used  time.Time
	life  time.Duration
	idle  time.Duration // 0 = it may lie unused
}

func (k *kept[T]) over(now time.Time) bool {
	return now.Sub(k.made) > k.life || k.idle > 0 && now.Sub(k.used) > k.idle
}

// put keeps a value and gives an id that nobody can guess. Where there are too
// many, the one unused for longest goes.
func (s *shelf[T]) put(publisher string, value T, life, idle time.Duration, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.of[publisher]
	if mine == nil {
		if s.of == nil {
			s.of = make(map[string]map[string]*kept[T])
		}
		mine = make(map[string]*kept[T])
		s.of[publisher] = mine
	}
	var oldest string
	for id, k := range mine {
		switch {
		case k.over(now):
			delete(mine, id)
		case oldest == "" || k.used.Before(mine[oldest].used):
			oldest = id
		}
	}
	if len(mine) >= s.most {
		delete(mine, oldest)
	}
	id := rand.Text()
	mine[id] = &kept[T]{value, now, now, life, idle}
	return id
}

func (s *shelf[T]) get(publisher, id string, now time.Time) (value T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.of[publisher][id]
	if k == nil || k.over(now) {
		delete(s.of[publisher], id)
		return value, false
	}
	k.used = now
	return k.value, true
}
