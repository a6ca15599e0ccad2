package host

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/parcel"
)

func authorKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// parcelOf is a parcel of a script that cannot be a connector: whoever starts it
// finds out.
func parcelOf(t *testing.T, version, script, platform string, key ed25519.PrivateKey) *parcel.Parcel {
	t.Helper()
	m := parcel.Manifest{Name: "beeper", Version: version, Platform: platform}
	err := m.SetAbout(&connectorpb.DescribeReply{
		Description: &connectorpb.Description{Name: "beeper", Version: version, Channels: []string{"sms"}, Batch: 1},
		Schema:      &connectorpb.Schema{Settings: []*connectorpb.Setting{{Name: "url", Type: "string", Doc: "Where."}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := parcel.Write(&out, m, []byte(script), key); err != nil {
		t.Fatal(err)
	}
	p, err := parcel.Open(&out, parcel.PublicKey(key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name()+" "+info.Mode().String())
	}
	return strings.Join(out, ", ")
}

func TestInstall(t *testing.T) {
	const any, laid = "linux/any", "beeper -rwxr-xr-x, beeper.json -rw-r--r--"
	ours, theirs := authorKey(1), authorKey(2)
	dir := filepath.Join(t.TempDir(), "connectors")
	for _, step := range []struct {
		what            string
		version, script string
		platform        string
		key             ed25519.PrivateKey
		o               InstallOptions
		done            bool
		err             error
		is              string // the program afterwards
	}{
		{"elsewhere", "1.0.0", "#!/1.0", "linux/" + other(), ours, InstallOptions{}, false, ErrPlatform, ""},
		{"first", "1.0.0", "#!/1.0", any, ours, InstallOptions{}, true, nil, "#!/1.0"},
		{"again", "1.0.0", "#!/1.0", any, ours, InstallOptions{}, false, nil, "#!/1.0"},
		{"another program of that version", "1.0.0", "#!/1.0b", any, ours, InstallOptions{}, false, ErrTaken, "#!/1.0"},
		{"another author's", "9.0.0", "#!/9.0", any, theirs, InstallOptions{}, false, ErrTaken, "#!/1.0"},
		{"newer", "1.1.0", "#!/1.1", any, ours, InstallOptions{}, true, nil, "#!/1.1"},
		{"older", "1.0.0", "#!/1.0", any, ours, InstallOptions{}, false, ErrTaken, "#!/1.1"},
		{"older on purpose", "1.0.0", "#!/1.0", any, ours, InstallOptions{Replace: true}, true, nil, "#!/1.0"},
		{"another author's on purpose", "9.0.0", "#!/9.0", any, theirs, InstallOptions{Replace: true}, true, nil, "#!/9.0"},
	} {
		done, err := Install(dir, parcelOf(t, step.version, step.script, step.platform, step.key), step.o)
		if done != step.done || !errors.Is(err, step.err) || (err != nil) != (step.err != nil) {
			t.Fatalf("%s: %v, %v", step.what, done, err)
		}
		if step.is == "" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, "beeper"))
		if err != nil || string(raw) != step.is {
			t.Fatalf("%s: it is %q, %v", step.what, raw, err)
		}
		if got := names(t, dir); got != laid {
			t.Fatalf("%s: there are %s", step.what, got)
		}
	}
}

func other() string {
	if parcel.RunsHere("linux/amd64") {
		return "arm64"
	}
	return "amd64"
}

// What came by no parcel, links and what a crash left are not written over or through.
func TestInstallBeside(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(elsewhere, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".beeper.new")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "beeper"), []byte("#!/by hand"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := func() *parcel.Parcel { return parcelOf(t, "1.0.0", "#!/1.0", "linux/any", authorKey(1)) }
	if _, err := Install(dir, p(), InstallOptions{}); !errors.Is(err, ErrTaken) {
		t.Fatalf("over one that came by no parcel: %v", err)
	}
	if done, err := Install(dir, p(), InstallOptions{Replace: true}); err != nil || !done {
		t.Fatal(done, err)
	}
	if raw, err := os.ReadFile(elsewhere); err != nil || string(raw) != "kept" {
		t.Errorf("written through a link: %q, %v", raw, err)
	}
	if err := os.Remove(filepath.Join(dir, "beeper")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "beeper")); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(dir, p(), InstallOptions{}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link under the name: %v", err)
	}
}

// A program that is not what was signed leaves nothing.
func TestInstallDamaged(t *testing.T) {
	m := parcel.Manifest{Name: "beeper", Version: "1.0.0", Platform: "linux/any"}
	if err := m.SetAbout(&connectorpb.DescribeReply{Description: &connectorpb.Description{Name: "beeper", Version: "1.0.0"}}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := parcel.Write(&out, m, []byte("#!/good"), authorKey(1)); err != nil {
		t.Fatal(err)
	}
	raw := out.Bytes()
	raw[len(raw)-1] ^= 1
	for _, damaged := range [][]byte{raw, raw[:len(raw)-1], append(bytes.Clone(raw), 0)} {
		dir := t.TempDir()
		p, err := parcel.Open(bytes.NewReader(damaged), parcel.PublicKey(authorKey(1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Install(dir, p, InstallOptions{}); !errors.Is(err, parcel.ErrSignature) && !errors.Is(err, parcel.ErrFormat) {
			t.Errorf("got %v", err)
		}
		if got := names(t, dir); got != "" {
			t.Errorf("left %s", got)
		}
	}
}

// Whatever root's umask is, the service's user can enter the folders that are made.
func TestInstallMakesFolders(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "vendor", "connectors")
	defer syscall.Umask(syscall.Umask(0o077))
	if _, err := Install(dir, parcelOf(t, "1.0.0", "#!/x", "linux/any", authorKey(1)), InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{filepath.Dir(dir), dir} {
		if info, err := os.Stat(at); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", at, info.Mode(), err)
		}
	}
}

func TestInstallFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{dir, filepath.Join(dir, "below")} {
		if _, err := Install(at, parcelOf(t, "1.0.0", "#!/x", "linux/any", authorKey(1)), InstallOptions{}); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// With its card a program is not started to hear what it is, and need not be
// here at all; a card of another program, or one that others could write, is
// not looked at.
func TestCard(t *testing.T) {
	r := newRig(t, Options{})
	if _, err := Install(r.dir, parcelOf(t, "1.0.0", "#!/nothing", "linux/any", authorKey(1)), InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	described := func() error {
		r.Host.mu.Lock()
		clear(r.abouts)
		r.Host.mu.Unlock()
		d, schema, err := r.Describe(short(t), "beeper")
		if err == nil && (d.Version != "1.0.0" || len(schema.Settings) != 1 || schema.Settings[0].Name != "url") {
			t.Errorf("%+v %+v", d, schema)
		}
		return err
	}
	if err := described(); err != nil {
		t.Errorf("with the card: %v", err)
	}
	program, card := filepath.Join(r.dir, "beeper"), filepath.Join(r.dir, "beeper.json")
	if err := os.WriteFile(program, []byte("#!/something else"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := described(); err == nil {
		t.Error("another program was described by the card")
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := described(); err != nil {
		t.Errorf("with the card alone: %v", err)
	}
	problems, err := r.Validate(short(t), "beeper", connector.Settings{"url": "x"}, "")
	if err != nil || len(problems) != 1 || problems[0].Severity != connector.SeverityWarning {
		t.Errorf("validated with the card alone: %v, %v", problems, err)
	}
	if err := os.Chmod(card, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := described(); !errors.Is(err, ErrNotFound) {
		t.Errorf("with a card that others could write: %v", err)
	}
}

// Of a folder that was copied from another kind of machine the cards count too.
func TestCardOfAnotherMachine(t *testing.T) {
	r := newRig(t, Options{})
	const script = "#!/nothing"
	p := parcelOf(t, "1.0.0", script, "linux/"+other(), authorKey(1))
	if _, err := Install(r.dir, p, InstallOptions{CardOnly: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "beeper"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	problems, err := r.Validate(short(t), "beeper", connector.Settings{"url": "x"}, "")
	if err != nil || len(problems) != 1 || problems[0].Severity != connector.SeverityWarning || !strings.Contains(problems[0].Summary, other()) {
		t.Errorf("%v, %v", problems, err)
	}
	if err := os.Remove(filepath.Join(r.dir, "beeper.json")); err != nil {
		t.Fatal(err)
	}
	if problems, err := r.Validate(short(t), "beeper", connector.Settings{"url": "x"}, ""); err == nil {
		// The description is remembered by checksum; the program still does not start.
		t.Errorf("without the card: %v", problems)
	}
}

func TestManifest(t *testing.T) {
	r := newRig(t, Options{}, "good", "noname")
	m, err := r.Manifest(short(t), "good")
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Manifest(short(t), "good")
	if err != nil || string(again.About) != string(m.About) || m.Name == "" || m.Version == "" {
		t.Errorf("%s %s: %s, and then %s, %v", m.Name, m.Version, m.About, again.About, err)
	}
	if _, err := r.Manifest(short(t), "noname"); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
}
