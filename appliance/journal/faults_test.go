//go:build faults

package journal

import (
	"bufio"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/appliance/event"
)

// TestPowerCut appends on a file system of its own (a loop device, so it needs
// root) and cuts that off at random moments, as a power failure does: what was
// not synced is gone. Run it with -tags faults; CLOISTER_CUTS sets the rounds.
func TestPowerCut(t *testing.T) {
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv("CLOISTER_CUTS")); err == nil {
		rounds = n
	}
	image, mount := makeDisk(t, 1<<30)
	run := func(args ...string) { t.Helper(); command(t, args...) }
	var acked []string
	trimmed, lost, found := 0, 0, 0
	for round := range rounds {
		run("mount", "-o", "loop", image, mount)
		cmd := exec.Command(os.Args[0], "-test.run=^TestAppendForever$")
		cmd.Env = append(os.Environ(), crashDir+"="+mount+"/journal")
		cmd.Dir = "/"
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "open" {
			t.Fatalf("the child said %q", lines.Text())
		}
		cutTime := int64(math.MaxInt64)
		cutAt := 20 + rand.IntN(3000)
		for n := 0; lines.Scan(); n++ {
			// A sync that is under way when the file system is shut down may
			// still return as if it had been done, which a machine without
			// power cannot: so what was acknowledged later does not count.
			if id, at, ok := ackOf(lines.Text()); ok && at < cutTime {
				acked = append(acked, id)
			}
			if lines.Text() == "trim" {
				trimmed += len(acked)
				acked = nil // they may go now
			}
			if n == cutAt {
				cutTime = time.Now().UnixNano()
				cut(t, mount)
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		run("umount", mount)
		// Not each time: opening and closing it well changes what is cut next.
		if round%2 == 1 || round == rounds-1 {
			run("mount", "-o", "loop", image, mount)
			l, f := compare(t, mount+"/journal", acked)
			lost, found = lost+l, found+f
			run("umount", mount)
		}
	}
	t.Logf("%d power cuts, %d acknowledged, of which %d may be trimmed, %d found, %d lost", rounds, trimmed+len(acked), trimmed, found, lost)
	if lost > 0 {
		t.Fail()
	}
}

func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// makeDisk makes a file with a file system in it, and a place to mount it.
func makeDisk(t *testing.T, bytes int64) (image, mount string) {
	t.Helper()
	dir := t.TempDir()
	image, mount = dir+"/disk", dir+"/mnt"
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, bytes); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", image)
	return image, mount
}

// TestDiskFull fills a small disk to its last block, without a reserve: what was
// acknowledged stays, and the journal goes on by itself when there is space.
func TestDiskFull(t *testing.T) {
	image, mount := makeDisk(t, 64<<20)
	command(t, "mount", "-o", "loop", image, mount)
	defer command(t, "umount", mount)
	if err := os.WriteFile(mount+"/ballast", make([]byte, 30<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: mount + "/journal", AckTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.o.Reserve = -1 << 60 // nobody looks how much is free
	j, err := s.Journal("shop", plainSealer{}, StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var acked []string
	add := func(id string) error {
		noise := make([]byte, 100_000)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		err := j.Append(context.Background(), []event.Fact{{Kind: event.Track, ID: id, Name: "x", Body: noise}})
		if err == nil {
			acked = append(acked, id)
		}
		return err
	}
	failed := 0
	for i := 0; failed < 5 && i < 2000; i++ {
		if err := add(strconv.Itoa(i)); err != nil {
			if !errors.Is(err, ErrFull) && !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			t.Log(err)
			failed++
		}
	}
	full := len(acked)
	if failed == 0 || full == 0 {
		t.Fatalf("the fault did not land: %d acknowledged, %d failed", full, failed)
	}
	if err := os.Remove(mount + "/ballast"); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	for i := 10_000; add(strconv.Itoa(i)) != nil; i++ {
		if time.Since(freed) > 30*time.Second {
			t.Fatal("it did not come back in 30 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	back := time.Since(freed)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lost, found := compare(t, mount+"/journal", acked)
	t.Logf("full after %d, back %v after space was freed, %d found, %d lost", full, back.Round(time.Millisecond), found, lost)
	if lost > 0 {
		t.Fail()
	}
}

// cut shuts the file system down without writing anything back.
func cut(t *testing.T, mount string) {
	t.Helper()
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	f, err := os.Open(mount)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		t.Fatal(errno)
	}
}
