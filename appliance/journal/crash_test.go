package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// crashDir tells the test binary that it is the process that is killed.
const crashDir = "CLOISTER_JOURNAL_CRASH_DIR"

// TestAppendForever is run by TestKill in a process of its own: it appends
// until it is killed and says on its standard output what was acknowledged.
func TestAppendForever(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("only as a child of TestKill")
	}
	s, err := Open(Options{Dir: dir, AckTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Journal("shop", plainSealer{}, StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	run := fmt.Sprint(j.End().Sequence)
	fmt.Println("open")
	var say sync.Mutex
	var callers sync.WaitGroup
	// Large enough that the engine begins a new file every hundred records or
	// so; every other time so large that two records are in flight.
	size := 4000
	if j.End().Sequence%2 == 1 {
		size = 80_000
	}
	for c := range 32 {
		noise := make([]byte, size)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		callers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", run, c, i)
				if err := j.Append(context.Background(), []event.Fact{{Kind: event.Track, ID: id, Name: "x", Body: slices.Concat([]byte(id), noise)}}); err != nil {
					return
				}
				at := time.Now().UnixNano()
				say.Lock()
				fmt.Println("ack", id, at)
				say.Unlock()
				if c == 0 && i%(400_000/size) == 0 {
					say.Lock()
					fmt.Println("trim")
					say.Unlock()
					end := j.End()
					end.Sequence -= min(end.Sequence, 30)
					if j.Trim(context.Background(), end) != nil {
						return
					}
				}
			}
		})
	}
	callers.Wait()
	t.Fatal("nothing can be appended any more")
}

// ackOf reads a line of the child: what was acknowledged, and when.
func ackOf(line string) (id string, at int64, ok bool) {
	n, err := fmt.Sscanf(line, "ack %s %d", &id, &at)
	return id, at, err == nil && n == 2
}

// plainSealer seals nothing, for processes and bytes that must not depend on keys.
type plainSealer struct{}

func (plainSealer) SealRecord(plain, aad []byte) ([]byte, error) {
	return append(bytes.Clone(plain), checkOf(plain, aad)...), nil
}

func (plainSealer) OpenRecord(sealed, aad []byte) ([]byte, error) {
	if len(sealed) < tagBytes {
		return nil, errors.New("too short")
	}
	plain := sealed[:len(sealed)-tagBytes]
	if !bytes.Equal(sealed[len(plain):], checkOf(plain, aad)) {
		return nil, errors.New("altered")
	}
	return plain, nil
}

func TestKill(t *testing.T) {
	rounds := 5
	if n, err := strconv.Atoi(os.Getenv("CLOISTER_KILLS")); err == nil {
		rounds = n
	}
	dir := t.TempDir() + "/journal"
	var acked []string
	trimmed, lost, found := 0, 0, 0
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAppendForever$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "open" {
			said := lines.Text()
			for lines.Scan() {
				said += "\n" + lines.Text()
			}
			t.Fatalf("round %d: the child said %s", round, said)
		}
		// The witness: whatever line came out whole was acknowledged.
		killAt := 20 + rand.IntN(4000)
		for n := 0; lines.Scan(); n++ {
			if id, _, ok := ackOf(lines.Text()); ok {
				acked = append(acked, id)
			}
			if lines.Text() == "trim" {
				trimmed += len(acked)
				acked = nil // they may go now
			}
			if n == killAt {
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		// Not each time: opening and closing it well changes what is killed next.
		if round%2 == 1 || round == rounds-1 {
			l, f := compare(t, dir, acked)
			lost, found = lost+l, found+f
		}
	}
	t.Logf("%d kills, %d acknowledged, of which %d may be trimmed, %d found, %d lost", rounds, trimmed+len(acked), trimmed, found, lost)
	if lost > 0 {
		t.Fail()
	}
}

// compare counts what the journal in dir holds, and what it lost of what was
// acknowledged; nothing may be there twice.
func compare(t *testing.T, dir string, acked []string) (lost, found int) {
	t.Helper()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	j, err := s.Journal("shop", plainSealer{}, StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := readIDs(t, j, j.Begin())
	there := map[string]bool{}
	for _, id := range ids {
		if there[id] {
			t.Errorf("%s is there twice", id)
		}
		there[id] = true
	}
	for _, id := range acked {
		if !there[id] {
			lost++
		}
	}
	return lost, len(ids)
}

// crashLimit makes the test binary one whose files cannot grow.
const crashLimit = "CLOISTER_JOURNAL_LIMIT_DIR"

// TestWriteFailsAndComesBack runs in a process of its own, whose files are
// limited in size for a while: writes fail as on a full disk that nobody
// foresaw, and JetStream then answers nothing at all.
func TestWriteFailsAndComesBack(t *testing.T) {
	dir := os.Getenv(crashLimit)
	if dir == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriteFailsAndComesBack$", "-test.v")
		cmd.Env = append(os.Environ(), crashLimit+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	s, err := Open(Options{Dir: dir, AckTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Journal("shop", plainSealer{}, StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	big := func(i int) error {
		noise := make([]byte, 50_000)
		for k := range noise {
			noise[k] = byte(rand.Uint32())
		}
		return j.Append(context.Background(), []event.Fact{{Kind: event.Track, ID: fmt.Sprint(i), Name: "x", Body: noise}})
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	whole := limit.Cur
	limit.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	var acked []string
	failed := 0
	for i := 0; failed < 3 && i < 200; i++ {
		if err := big(i); err == nil {
			acked = append(acked, fmt.Sprint(i))
		} else if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		} else {
			failed++
		}
	}
	if failed == 0 || len(acked) == 0 {
		t.Fatalf("the fault did not land: %d acknowledged, %d failed", len(acked), failed)
	}
	limit.Cur = whole
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for i := 1000; ; i++ {
		if err := big(i); err == nil {
			acked = append(acked, fmt.Sprint(i))
			break
		}
		if time.Since(back) > 30*time.Second {
			t.Fatal("it did not come back in 30 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("back after %v, %d faults", time.Since(back).Round(time.Millisecond), j.Stats().Faults)
	ids, _ := readIDs(t, j, Cursor{})
	there := map[string]bool{}
	for _, id := range ids {
		there[id] = true
	}
	for _, id := range acked {
		if !there[id] {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
