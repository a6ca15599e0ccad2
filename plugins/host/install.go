package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/parcel"
)

// What keeps a parcel from being installed, to be matched with errors.Is.
var (
	// ErrTaken means that something of that name is there which this parcel does
	// not follow: an older or equal version of the same author's is followed.
	ErrTaken = errors.New("something else of that name is installed")
	// ErrPlatform means that the program is for other machines.
	ErrPlatform = errors.New("the program is not for this machine")
)

// InstallOptions say how a parcel is installed.
type InstallOptions struct {
	Replace  bool // whatever is there
	CardOnly bool // the program stays away: for checking configurations elsewhere
}

// Install lays a parcel's program into dir, with its card, for root or the user
// that this is. The folder, and those above, must be such that nobody else can
// write there. Until the program is whole and its checksum right, nothing is
// there under its name; then all of it is, also after a crash. It says whether
// anything was done: the same program again is not.
func Install(dir string, p *parcel.Parcel, o InstallOptions) (bool, error) {
	if !o.CardOnly && !parcel.RunsHere(p.Platform) {
		return false, fmt.Errorf("installing %s: %w: it is for %s", p.Name, ErrPlatform, p.Platform)
	}
	if err := makeFolders(dir); err != nil {
		return false, fmt.Errorf("installing %s: %w", p.Name, err)
	}
	path, err := safeFolder(dir)
	if err != nil {
		return false, fmt.Errorf("installing %s: %w", p.Name, err)
	}
	folder, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("installing %s: %w", p.Name, err)
	}
	defer folder.Close()
	done, err := layInto(folder, p, o)
	if err != nil {
		return false, fmt.Errorf("installing %s: %w", p.Name, err)
	}
	return done, nil
}

// makeFolders makes dir and what is missing above it such that the service's user
// can enter, whatever the umask is. What is there stays as it is.
func makeFolders(dir string) error {
	if exists(dir) {
		return nil
	}
	if err := makeFolders(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

func layInto(folder *os.File, p *parcel.Parcel, o InstallOptions) (bool, error) {
	dir := folder.Name()
	// One at a time: the next waits, and then sees what this one did.
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		return false, &fs.PathError{Op: "flock", Path: dir, Err: err}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	same := false
	if !o.CardOnly {
		same, err = follows(dir, p, o.Replace)
		if err != nil {
			return false, err
		}
	}
	// The program goes first: a card that is not the program's is not looked at,
	// and a program without one is asked.
	if !same && !o.CardOnly {
		err := lay(root, p.Name, 0o755, p.Program)
		if err != nil {
			return false, err
		}
	}
	if card, err := readCard(dir, p.Name); err == nil && card.SHA256 == p.SHA256 && (same || o.CardOnly) {
		return false, nil
	}
	err = lay(root, cardName(p.Name), 0o644, func(w io.Writer) error {
		_, err := w.Write(p.Card)
		return err
	})
	if err != nil {
		return false, err
	}
	return true, folder.Sync()
}

// follows says whether p may take the place of what is there, and whether that
// is the same program.
func follows(dir string, p *parcel.Parcel, replace bool) (same bool, err error) {
	there, err := openIn(dir, p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer there.Close()
	if err := there.verify(p.SHA256); err == nil {
		return true, nil
	} else if !errors.Is(err, ErrChecksum) && !replace {
		return false, fmt.Errorf("%w: %w", ErrTaken, err)
	}
	if replace {
		return false, nil
	}
	card, err := readCard(dir, p.Name)
	switch {
	case err != nil || card.SHA256 != there.sum:
		return false, fmt.Errorf("%w: %s came by no parcel", ErrTaken, there.path)
	case card.Author != p.Author:
		return false, fmt.Errorf("%w: %s %s is another author's (%s)", ErrTaken, card.Name, card.Version, card.Author)
	case !p.Newer(card.Version):
		return false, fmt.Errorf("%w: %s %s, and this is %s", ErrTaken, card.Name, card.Version, p.Version)
	}
	return false, nil
}

// lay writes a file whole or not at all.
func lay(root *os.Root, name string, mode os.FileMode, write func(io.Writer) error) (err error) {
	// What a crash left there is nobody's: the folder is locked.
	tmp := "." + name + ".new"
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return nil
}

// Shadow is the program of that name in a folder that is searched before dir, ""
// if there is none.
func Shadow(dirs []string, dir, name string) string {
	for _, d := range dirs {
		if filepath.Clean(d) == filepath.Clean(dir) {
			return ""
		}
		if at := filepath.Join(d, name); exists(at) {
			return at
		}
	}
	return ""
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }
