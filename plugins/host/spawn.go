package host

import "runtime"

// spawner starts processes from one thread that lives as long as the host. A
// process asks to be killed when its parent dies, and the kernel takes that to
// mean the parent's thread: started from any other, it would be killed
// whenever the runtime lets that thread go.
type spawner struct {
	work chan func()
	quit chan struct{}
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		defer close(s.done)
		for {
			select {
			case f := <-s.work:
				f()
			case <-s.quit:
				return
			}
		}
	}()
	return s
}

// run runs f on the thread and gives its error.
func (s *spawner) run(f func() error) error {
	answer := make(chan error, 1)
	select {
	case s.work <- func() { answer <- f() }:
		return <-answer
	case <-s.done:
		return ErrClosed
	}
}

// close ends the thread, and with it every process that was started by it and
// still runs. It may be called twice.
func (s *spawner) close() {
	select {
	case s.quit <- struct{}{}:
	case <-s.done:
	}
	<-s.done
}
