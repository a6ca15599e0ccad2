//go:build faults

package journal

import (
	"bufio"
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
)

// TestPowerCut appends on a file system of its own (a loop device, so it needs
// root) and cuts that off at random moments, as a power failure does: what was
// not synced is gone. Run it with -tags faults; CLOISTER_CUTS sets the rounds.
func TestPowerCut(t *testing.T) {
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv("CLOISTER_CUTS")); err == nil {
		rounds = n
	}
	dir := t.TempDir()
	image, mount := dir+"/disk", dir+"/mnt"
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run("mkfs.ext4", "-q", image)
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
