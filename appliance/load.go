package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/host"
)

// installedConnectors is where packages put connectors.
const installedConnectors = "/usr/lib/cloister/connectors"

// LocalConnectors is where connectors of others are installed, which no package
// of ours may touch.
const LocalConnectors = "/opt/cloister/connectors"

// Connectors are the directories that are searched for connectors' programs:
// the configured ones, those beside the running program, those of the package,
// those of others.
func Connectors(configured []string) []string {
	dirs := append([]string(nil), configured...)
	if self, err := os.Executable(); err == nil {
		if dir := filepath.Join(filepath.Dir(self), "connectors"); exists(dir) {
			dirs = append(dirs, dir)
		}
	}
	// Also where there is none yet: the first parcel makes the folder while the
	// daemon runs.
	return append(dirs, installedConnectors, LocalConnectors)
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// load reads the configuration for a start and prints what is wrong with it. The
// host of connectors is opened on the way, since connectors' settings are checked
// by the connectors.
func (a *appliance) load(ctx context.Context) (*config.Config, error) {
	paths := a.o.ConfigPaths
	if a.o.Demo != nil {
		path, err := a.writeDemo()
		if err != nil {
			return nil, err
		}
		paths = []string{path}
	}
	// What the files say of connectors' directories and of the data directory is
	// needed before the connectors can be asked; mistakes are told the second time.
	first, _ := config.Load(paths, config.LoadOptions{DataDir: a.dataDir()})
	if a.host == nil {
		if err := a.openHost(first); err != nil {
			return nil, err
		}
	}
	cfg, ds := config.Load(paths, config.LoadOptions{Connectors: a.host, DataDir: a.dataDir(), Starting: true})
	if len(ds) > 0 {
		if err := ds.WriteText(a.o.Stderr, false); err != nil {
			return nil, err
		}
	}
	if ds.HasErrors() {
		return nil, ErrConfig
	}
	return cfg, nil
}

// dataDir is the one that wins over the configuration's, "" if there is none.
func (a *appliance) dataDir() string {
	dir := a.o.DataDir
	if dir == "" && a.o.Demo != nil {
		dir = demoDir
	}
	if abs, err := filepath.Abs(dir); dir != "" && err == nil {
		dir = abs
	}
	return dir
}

func (a *appliance) openHost(cfg *config.Config) (err error) {
	dir := cfg.Appliance.DataDir
	if dir == "" {
		return fmt.Errorf("%w: no data directory", ErrConfig)
	}
	// The path of a socket is bounded, so it cannot lie deep in a data directory.
	runDir, err := os.MkdirTemp(temporary(), socketsOf(dir)+"*")
	if err != nil {
		return fmt.Errorf("making a folder for connectors' sockets: %w", err)
	}
	a.sockets = runDir
	a.closes(func() error { return os.RemoveAll(runDir) })
	a.host, err = host.Open(host.Options{
		Dirs: Connectors(cfg.Appliance.Connectors), RunDir: runDir, CacheDir: filepath.Join(dir, "connectors"),
		Protect: []string{
			filepath.Join(dir, "keyring"), filepath.Join(dir, "appliance"), filepath.Join(dir, "audit"),
			filepath.Join(dir, "journal"), filepath.Join(dir, "publishers"), cfg.Keyring.File,
		},
		Groups: a.o.Groups, NoGroups: a.o.NoGroups,
		Logger: a.log, Board: a.board, Audit: a.refusedProgram,
	})
	if err != nil {
		return fmt.Errorf("preparing for connectors: %w", err)
	}
	a.closes(a.host.Close)
	return nil
}

// temporary is where folders for sockets lie: not where TMPDIR says, if that is
// so long that a socket would not fit.
func temporary() string {
	if dir := os.TempDir(); len(dir) <= 32 {
		return dir
	}
	return "/tmp"
}

// socketsOf begins the names of the folders for sockets of a data directory.
func socketsOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "cloister-" + hex.EncodeToString(sum[:6]) + "-"
}

// sweepSockets removes the folders that killed daemons left behind. The data
// directory is locked by now, so nobody uses them.
func (a *appliance) sweepSockets(dir string) {
	stale, err := filepath.Glob(filepath.Join(temporary(), socketsOf(dir)+"*"))
	if err != nil {
		return // only a pattern can be wrong
	}
	for _, path := range stale {
		if path == a.sockets {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			a.log.Warn("a folder for connectors' sockets was left behind and cannot be removed", "error", err)
		}
	}
}

// refusedProgram writes down a connector's program that was not started. The
// audit may not be open yet, and must not hold up the host.
func (a *appliance) refusedProgram(r host.Refusal) {
	a.log.Error("a connector's program was refused", "plugin", r.Plugin, "path", r.Path, "sha256", r.SHA256, "error", r.Err)
	if a.audit == nil {
		return
	}
	go func() { // ends with the audit, which bounds how long it may take
		err := a.audit.Append(context.Background(), audit.Entry{
			Actor: "appliance", Action: "connector.refused", Subject: "plugin " + r.Plugin, Outcome: audit.Denied, Detail: r.Err.Error(),
		})
		if err != nil && !errors.Is(err, audit.ErrClosed) {
			a.log.Error("writing the audit", "error", err)
		}
	}()
}

// welcome says where to go.
func (a *appliance) welcome() {
	cfg := a.cfg.Load()
	var b strings.Builder
	fmt.Fprintf(&b, "\nCloister %s is running. Data: %s\n\n", a.o.Version, cfg.Appliance.DataDir)
	for _, s := range a.servers {
		if l := cfg.Listener(s.name); l.Name != "" {
			fmt.Fprintf(&b, "  %-8s %s\n", s.name, s.url(l))
		}
	}
	if link, err := a.signIn(); err != nil {
		a.log.Error("making a sign-in link", "error", err)
	} else if link != "" {
		fmt.Fprintf(&b, "\nSign in (once, within 30 minutes):\n\n  %s\n", link)
	}
	fmt.Fprintln(a.o.Stderr, b.String())
}

// signIn makes the link that a newcomer needs: to set up the first operator
// or, in the demo, to sign in.
func (a *appliance) signIn() (string, error) {
	var base string
	for _, s := range a.servers {
		if s.name == config.Console {
			base = s.url(a.cfg.Load().Listener(config.Console))
		}
	}
	if a.o.Demo != nil {
		token, err := a.demoLink()
		return base + "/sign-in#" + token, err
	}
	if !a.access.NeedsSetup() {
		return "", nil
	}
	token, _, err := a.access.SetupLink()
	return base + "/setup#" + token, err
}
