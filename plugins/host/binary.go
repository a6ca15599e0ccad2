package host

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// binary is a program file that was verified. It is executed through the open
// file, so that no path can be exchanged in between.
type binary struct {
	*os.File
	path string
	sum  string // SHA-256, hex
	stat unix.Stat_t
}

var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// MaxProgram bounds a connector's file.
const MaxProgram = 256 << 20

// open finds and verifies a plugin's program. want is its SHA-256 in hex, or "".
func (h *Host) open(plugin, want string) (*binary, error) {
	if h.isClosed() {
		return nil, fmt.Errorf("connector %q: %w", plugin, ErrClosed)
	}
	b, err := find(h.o.Dirs, plugin)
	if err == nil {
		err = b.verify(want)
		if err == nil {
			return b, nil
		}
		b.Close()
	}
	err = fmt.Errorf("connector %q: %w", plugin, err)
	if errors.Is(err, ErrChecksum) || errors.Is(err, ErrUnsafe) {
		r := Refusal{Plugin: plugin, Err: err}
		if b != nil {
			r.Path, r.SHA256 = b.path, b.sum
		}
		h.o.Audit(r)
	}
	return nil, err
}

// find opens the first program of that name.
func find(dirs []string, plugin string) (*binary, error) {
	if !pluginName.MatchString(plugin) {
		return nil, fmt.Errorf("%w: a name is of a-z, 0-9, _ and -", ErrNotFound)
	}
	for _, dir := range dirs {
		b, err := openIn(dir, plugin)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return b, err
	}
	return nil, fmt.Errorf("%w in %s", ErrNotFound, strings.Join(dirs, ", "))
}

// safeFolder is a folder's real path, if nobody but root and this user can
// exchange what is in it.
func safeFolder(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// The folder itself may be reached by a link, since the operator wrote its
	// path; what counts is who can write where it leads.
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", err
	}
	for at := abs; ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err != nil {
			return "", &fs.PathError{Op: "stat", Path: at, Err: err}
		}
		if why := unsafe(st, true); why != "" {
			return "", fmt.Errorf("%w: folder %s %s", ErrUnsafe, at, why)
		}
		if at == "/" {
			return abs, nil
		}
	}
}

// openIn opens dir's file of that name, if nobody but root and this user could
// have put it there.
func openIn(dir, plugin string) (*binary, error) {
	abs, err := safeFolder(dir)
	if err != nil {
		return nil, err
	}
	folder, err := unix.Open(abs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: abs, Err: err}
	}
	defer unix.Close(folder)
	path := filepath.Join(abs, plugin)
	// Not blocking, for the pipe that somebody might have put there.
	fd, err := unix.Openat(folder, plugin, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	b := &binary{File: os.NewFile(uintptr(fd), path), path: path}
	if err := unix.Fstat(fd, &b.stat); err != nil {
		b.Close()
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return b, nil
}

// unsafe says how a file or folder could be changed by somebody else.
func unsafe(st unix.Stat_t, folder bool) string {
	switch {
	case st.Uid != 0 && st.Uid != uint32(os.Geteuid()):
		return fmt.Sprintf("belongs to user %d; chown it to root", st.Uid)
	case folder && st.Mode&unix.S_ISVTX != 0:
		return "" // as /tmp: what is in it can be replaced by its owner only
	case st.Mode&0o022 != 0:
		return fmt.Sprintf("is writable for others (mode %#o); chmod go-w it", st.Mode&0o7777)
	}
	return ""
}

// verify checks the file and its checksum.
func (b *binary) verify(want string) error {
	if b.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%w: %s is not a file", ErrUnsafe, b.path)
	}
	if why := unsafe(b.stat, false); why != "" {
		return fmt.Errorf("%w: %s %s", ErrUnsafe, b.path, why)
	}
	if b.stat.Mode&0o111 == 0 {
		return fmt.Errorf("%w: %s is not executable", ErrBroken, b.path)
	}
	if b.stat.Size > MaxProgram {
		return fmt.Errorf("%w: %s is larger than %d MiB", ErrBroken, b.path, MaxProgram>>20)
	}
	sum, err := b.hash()
	if err != nil {
		return err
	}
	b.sum = sum
	if want != "" && subtle.ConstantTimeCompare([]byte(b.sum), []byte(strings.ToLower(want))) != 1 {
		return fmt.Errorf("%w: %s has SHA-256 %s, the configuration says %s", ErrChecksum, b.path, b.sum, want)
	}
	return nil
}

func (b *binary) hash() (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(b, 0, MaxProgram)); err != nil {
		return "", fmt.Errorf("reading %s: %w", b.path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// unchanged makes sure that what runs is what was verified. It is asked while
// the process runs: then the kernel lets nobody write to its file any more.
func (b *binary) unchanged() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(b.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", b.path, err)
	}
	if st.Size == b.stat.Size && st.Ctim == b.stat.Ctim && st.Mtim == b.stat.Mtim {
		return nil
	}
	// An upgrade that unlinks the file changes its times too.
	sum, err := b.hash()
	if err != nil {
		return err
	}
	if sum != b.sum {
		return fmt.Errorf("%w: %s was changed while it was started", ErrChecksum, b.path)
	}
	return nil
}

// exitText says how a process ended, in words.
func exitText(s *os.ProcessState) string {
	if s == nil {
		return "did not end"
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return "was ended by signal " + w.Signal().String()
	}
	return fmt.Sprintf("ended with exit code %d", s.ExitCode())
}
