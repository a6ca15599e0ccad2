package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/parcel"
)

// cardName is the file beside a program that says what it is, so that it need
// not be started to be asked. A plugin's name has no dot.
func cardName(plugin string) string { return plugin + ".json" }

// card reads the card of a plugin in a folder: nil if there is none, or one
// that cannot be used. It is as trusted as the program beside which it lies,
// and so must be as safe from others.
func (h *Host) card(dir, plugin string) *parcel.Manifest {
	m, err := readCard(dir, plugin)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.o.Logger.Warn("a connector's card cannot be used; its program is asked instead", "plugin", plugin, "error", err)
	}
	return m
}

func readCard(dir, plugin string) (*parcel.Manifest, error) {
	f, err := openIn(dir, cardName(plugin))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%w: %s is not a file", ErrUnsafe, f.path)
	}
	if why := unsafe(f.stat, false); why != "" {
		return nil, fmt.Errorf("%w: %s %s", ErrUnsafe, f.path, why)
	}
	raw, err := io.ReadAll(io.LimitReader(f, 2<<20)) // more than a manifest may have
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.path, err)
	}
	m, err := parcel.ParseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.path, err)
	}
	if m.Name != plugin {
		return nil, fmt.Errorf("%s is the card of %s", f.path, m.Name)
	}
	return m, nil
}

// absent is what is known of a plugin whose card is here and whose program is
// not; nil if there is no card either.
func (h *Host) absent(plugin string) *about {
	m := h.absentCard(plugin)
	if m == nil {
		return nil
	}
	reply, err := m.Describe()
	if err != nil {
		return nil // ParseManifest has read it
	}
	a, err := readAbout(reply)
	if err != nil {
		return nil
	}
	return a
}

// absentCard is the first card of a plugin whose program is not here.
func (h *Host) absentCard(plugin string) *parcel.Manifest {
	if !pluginName.MatchString(plugin) {
		return nil
	}
	for _, dir := range h.o.Dirs {
		if m := h.card(dir, plugin); m != nil {
			return m
		}
	}
	return nil
}

// cardOf is the card beside a program, if it is that program's; else nil.
func (h *Host) cardOf(bin *binary) *parcel.Manifest {
	m := h.card(filepath.Dir(bin.path), filepath.Base(bin.path))
	if m == nil || m.SHA256 != strings.ToLower(bin.sum) {
		return nil
	}
	return m
}

// onCard is what a program's card says.
func (h *Host) onCard(bin *binary) *connectorpb.DescribeReply {
	m := h.cardOf(bin)
	if m == nil {
		return nil
	}
	reply, err := m.Describe()
	if err != nil {
		return nil
	}
	return reply
}

// unasked is all that can be said of settings where the program does not run.
func unasked(a *about, s connector.Settings, why string) []connector.Problem {
	_, problems := a.policy(s, nil)
	return append(problems, connector.Problem{
		Severity: connector.SeverityWarning, Summary: why,
		Detail: "What its schema says was checked; what the program itself thinks of the settings is seen where it runs.",
	})
}

// Manifest asks a program what it is, for a parcel: what Write fills in is empty.
func (h *Host) Manifest(ctx context.Context, plugin string) (parcel.Manifest, error) {
	bin, err := h.open(plugin, "")
	if err != nil {
		return parcel.Manifest{}, err
	}
	defer bin.Close()
	reply, err := h.ask(ctx, bin, plugin)
	if err != nil {
		return parcel.Manifest{}, err
	}
	a, err := readAbout(reply)
	if err != nil {
		return parcel.Manifest{}, fmt.Errorf("connector %q: %w: its description: %w", plugin, ErrBroken, err)
	}
	m := parcel.Manifest{Name: a.description.Name, Version: a.description.Version}
	if err := m.SetAbout(reply); err != nil {
		return parcel.Manifest{}, fmt.Errorf("connector %q: %w", plugin, err)
	}
	return m, nil
}
